//! The models of this node: loaded from `models-path` at start, looked up by every request.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;

use crate::error::{Error, Word, quoted};
use crate::metrics::ModelMetrics;
use crate::recognition::Recognizer;
use crate::recognition::engine::Engines;
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
}

/// One folder of `models-path`.
pub struct Entry {
    pub name: String,
    /// The model, or why it cannot be used.
    pub state: Result<Arc<ServedModel>, String>,
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

/// Loads every folder of `path`, several at a time, and says in the log what became of each.
pub fn load_all(path: &Path, engines: &Engines) {
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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let entries =
        folders.chunks(cores).flat_map(|folders| load_together(folders, engines)).collect();
    *REGISTRY.write() = Some(Registry {
        path: path.to_owned(),
        engine: engines.name(),
        engine_reason: engines.describe(),
        entries,
    });
}

/// Loads some folders at the same time.
fn load_together(folders: &[PathBuf], engines: &Engines) -> Vec<Entry> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            folders.iter().map(|folder| scope.spawn(|| load(folder, engines))).collect();
        threads
            .into_iter()
            .zip(folders)
            .map(|(thread, folder)| {
                thread.join().unwrap_or_else(|_| Entry {
                    name: folder_name(folder),
                    state: Err("loading it panicked".to_owned()),
                })
            })
            .collect()
    })
}

/// Forgets the models, at unload.
pub fn forget_all() {
    *REGISTRY.write() = None;
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn folder_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn load(folder: &Path, engines: &Engines) -> Entry {
    let start = Instant::now();
    let name = folder_name(folder);
    match Recognizer::load(folder, engines) {
        Ok(recognizer) => {
            log::notice(&format!(
                "model {}@{}: {}, {}, {:.1} MB, loaded in {} ms",
                recognizer.name(),
                recognizer.version(),
                recognizer.task(),
                recognizer.engine(),
                recognizer.memory() as f64 / 1e6,
                start.elapsed().as_millis()
            ));
            Entry { name, state: Ok(Arc::new(ServedModel::new(recognizer))) }
        }
        Err(error) => {
            log::warning(&format!("model {name} cannot be loaded: {error}"));
            Entry { name, state: Err(error.0) }
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

/// The model of that name, or `NOMODEL` with the reason.
pub fn find(name: &str) -> Result<Arc<ServedModel>, Error> {
    let registry = REGISTRY.read();
    let entry = registry
        .as_ref()
        .and_then(|registry| registry.entries.iter().find(|entry| entry.name == name));
    match entry {
        Some(Entry { state: Ok(model), .. }) => Ok(model.clone()),
        Some(Entry { state: Err(reason), .. }) => Err(Error::new(
            Word::NoModel,
            format!("model {} could not be loaded: {reason}", quoted(name.as_bytes())),
        )),
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
