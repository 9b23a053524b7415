//! The models of this node: loaded from `models-path` at start, looked up by every request.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use parking_lot::RwLock;

use crate::error::{Error, Word, quoted};
use crate::metrics::ModelMetrics;
use crate::recognition::engine::Engines;
use crate::recognition::{Recognizer, State};
use crate::server::log;
use crate::settings;

/// A model that can be asked.
pub struct ServedModel {
    pub recognizer: Recognizer,
    /// The field of its results, `name@version`.
    pub field: CString,
    pub metrics: ModelMetrics,
}

impl ServedModel {
    fn new(recognizer: Recognizer) -> ServedModel {
        let field = format!("{}@{}", recognizer.name(), recognizer.version());
        // A name has no NUL (`Folder::is_name`), a version is hex digits.
        let field = CString::new(field).unwrap_or_default();
        ServedModel { recognizer, field, metrics: ModelMetrics::default() }
    }

    /// Loads the graphs, unless they are, and says in the log what became of it.
    pub fn load(&self) {
        let start = Instant::now();
        let known = !matches!(self.recognizer.state(), State::Waiting);
        let loaded = self.recognizer.load();
        let field = self.field.to_string_lossy();
        match (loaded, self.recognizer.state()) {
            (Ok(true), State::Ready { engine, memory }) => log::notice(&format!(
                "model {field}: {}, {engine}, {:.1} MB, loaded in {} ms",
                self.recognizer.task(),
                memory as f64 / 1e6,
                start.elapsed().as_millis()
            )),
            (Err(error), _) if !known => {
                log::warning(&format!("model {field} cannot be loaded: {error}"));
            }
            _ => (),
        }
    }

    /// `NOMODEL` if the graphs could not be loaded. Stored results can be had nevertheless.
    pub fn check_loaded(&self) -> Result<(), Error> {
        match self.recognizer.state() {
            State::Failed(reason) => Err(cannot_be_loaded(self.recognizer.name(), &reason.0)),
            State::Waiting | State::Ready { .. } => Ok(()),
        }
    }
}

fn cannot_be_loaded(name: &str, reason: &str) -> Error {
    let name = quoted(name.as_bytes());
    Error::new(Word::NoModel, format!("model {name} could not be loaded: {reason}"))
}

/// One folder of `models-path`.
pub struct Entry {
    pub name: String,
    /// The model, or what is wrong with its manifest.
    pub model: Result<Arc<ServedModel>, String>,
}

#[derive(Default)]
struct Registry {
    path: PathBuf,
    engine: &'static str,
    /// What is used and why.
    engine_reason: String,
    entries: Vec<Entry>,
}

/// Written once, when the module loads.
static REGISTRY: RwLock<Option<Registry>> = RwLock::new(None);

/// Opens every folder of `path` and loads what is not lazy, several at a time. The log says what
/// became of each.
pub fn load_all(path: &Path, engines: Engines) {
    let mut folders: Vec<PathBuf> = match std::fs::read_dir(path) {
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir() && !is_hidden(path))
            .collect(),
        Err(error) => {
            log::warning(&format!("no models: {}: {error}", path.display()));
            Vec::new()
        }
    };
    folders.sort();
    let engines = Arc::new(engines);
    let entries: Vec<Entry> = folders.iter().map(|folder| open(folder, &engines)).collect();
    let models = entries.iter().filter_map(|entry| entry.model.as_ref().ok());
    load_together(&models.filter(|model| !model.recognizer.is_lazy()).collect::<Vec<_>>());
    *REGISTRY.write() = Some(Registry {
        path: path.to_owned(),
        engine: engines.name(),
        engine_reason: engines.describe(),
        entries,
    });
}

/// Loads models on every core.
fn load_together(models: &[&Arc<ServedModel>]) {
    let next = AtomicUsize::new(0);
    let load_next = || {
        while let Some(model) = models.get(next.fetch_add(1, Relaxed)) {
            model.load();
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(models.len()) {
            scope.spawn(load_next);
        }
    });
}

/// Forgets the models of a module that could not be loaded.
pub fn forget_all() {
    *REGISTRY.write() = None;
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn folder_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn open(folder: &Path, engines: &Arc<Engines>) -> Entry {
    let name = folder_name(folder);
    match Recognizer::open(folder, engines.clone()) {
        Ok(recognizer) => Entry { name, model: Ok(Arc::new(ServedModel::new(recognizer))) },
        Err(error) => {
            log::warning(&format!("model {name} cannot be loaded: {error}"));
            Entry { name, model: Err(error.0) }
        }
    }
}

/// The model of that name, or the default one.
pub fn find_or_default(name: Option<&str>) -> Result<Arc<ServedModel>, Error> {
    match name {
        Some(name) => find(name),
        None => find(&settings::MODEL.get()),
    }
}

/// The model of that name, or `NOMODEL` with the reason. Its graphs may not be loaded.
pub fn find(name: &str) -> Result<Arc<ServedModel>, Error> {
    let registry = REGISTRY.read();
    let entry = registry
        .as_ref()
        .and_then(|registry| registry.entries.iter().find(|entry| entry.name == name));
    match entry {
        Some(Entry { model: Ok(model), .. }) => Ok(model.clone()),
        Some(Entry { model: Err(reason), .. }) => Err(cannot_be_loaded(name, reason)),
        None => {
            let path = registry.as_ref().map(|registry| registry.path.clone()).unwrap_or_default();
            Err(Error::new(
                Word::NoModel,
                format!(
                    "there is no model {} in {}; IMAGE.MODELS lists what there is",
                    quoted(name.as_bytes()),
                    path.display()
                ),
            ))
        }
    }
}

/// Whether the models are loaded and one has this name. Before they are, nobody knows.
pub fn is_unknown(name: &str) -> bool {
    let registry = REGISTRY.read();
    registry
        .as_ref()
        .is_some_and(|registry| !registry.entries.iter().any(|entry| entry.name == name))
}

/// The engine that models are loaded with, and why it; never waits.
pub fn engine() -> (&'static str, String) {
    let registry = REGISTRY.try_read();
    let found = registry.as_ref().and_then(|registry| registry.as_ref());
    found.map_or(("none", String::new()), |found| (found.engine, found.engine_reason.clone()))
}

/// Hands every entry to `visit`; never waits, as INFO in a crash report must not.
pub fn for_each(mut visit: impl FnMut(&Entry)) {
    if let Some(registry) = REGISTRY.try_read()
        && let Some(registry) = registry.as_ref()
    {
        registry.entries.iter().for_each(&mut visit);
    }
}
