//! The models of this node: loaded from `models-path` at start, looked up by every request. What is
//! served changes by [`reload`] only.

pub mod reload;

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use parking_lot::RwLock;
use recognition::engine::Engines;
use recognition::{Recognizer, State};

use crate::error::{Error, ErrorCode, quoted};
use crate::metrics::ModelMetrics;
use crate::server::log;
use crate::settings;

/// Tells one model from another, also from an earlier one of the same name; never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelId(u64);

/// A model that can be asked.
pub struct ServedModel {
    pub id: ModelId,
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
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ModelId(NEXT.fetch_add(1, Relaxed));
        ServedModel { id, recognizer, field, metrics: ModelMetrics::default() }
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
    Error::new(ErrorCode::NoModel, format!("model {name} could not be loaded: {reason}"))
}

/// One folder of `models-path`.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    /// The model, or what is wrong with its manifest.
    pub model: Result<Arc<ServedModel>, String>,
    /// Why what the folder holds by now is not what is served: a reload could not take it over.
    pub not_taken: Option<String>,
}

/// The models that are served, and what it takes to load others.
#[derive(Clone)]
pub struct Registry {
    pub path: PathBuf,
    pub engines: Arc<Engines>,
    /// By name.
    pub entries: Vec<Entry>,
}

/// Written when the module loads and when a reload has ended, by the main thread.
static REGISTRY: RwLock<Option<Registry>> = RwLock::new(None);

/// Opens every folder of `path` and loads what is not lazy, several at a time. The log says what
/// became of each.
pub fn load_all(path: &Path, engines: Engines) {
    let folders = folders(path).unwrap_or_else(|reason| {
        log::warning(&format!("no models: {reason}"));
        Vec::new()
    });
    let engines = Arc::new(engines);
    let entries: Vec<Entry> = folders.iter().map(|folder| open_folder(folder, &engines)).collect();
    let models = entries.iter().filter_map(|entry| entry.model.as_ref().ok());
    load_together(&models.filter(|model| !model.recognizer.is_lazy()).collect::<Vec<_>>());
    *REGISTRY.write() = Some(Registry { path: path.to_owned(), engines, entries });
}

/// The folders of `path`, each of which is a model; by name.
pub fn folders(path: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        if folder.is_dir() && !is_hidden(&folder) {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
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

pub fn folder_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Opens a model's folder, without loading its graphs.
pub fn open_folder(folder: &Path, engines: &Arc<Engines>) -> Entry {
    let name = folder_name(folder);
    let opened = Recognizer::open(folder, engines.clone());
    if let Err(error) = &opened {
        log::warning(&format!("model {name} cannot be loaded: {error}"));
    }
    let model = opened.map(|recognizer| Arc::new(ServedModel::new(recognizer)));
    Entry { name, model: model.map_err(|error| error.0), not_taken: None }
}

/// What is served now.
pub fn registry() -> Option<Registry> {
    REGISTRY.read().clone()
}

/// Serves these from now on; gives back what was served before.
pub fn replace(entries: Vec<Entry>) -> Vec<Entry> {
    let mut registry = REGISTRY.write();
    let served = registry.as_mut().map(|registry| &mut registry.entries);
    served.map_or(Vec::new(), |served| std::mem::replace(served, entries))
}

/// Warns if requests that name no model cannot be served.
pub fn check_default() -> Result<(), Error> {
    let checked = find(&settings::MODEL.get()).and_then(|model| model.check_loaded());
    if let Err(error) = &checked {
        log::warning(&format!("the default model is not there: {error}"));
    }
    checked
}

/// Whether requests get this very model; it may have been replaced since it was found.
pub fn is_served(model: &ServedModel) -> bool {
    find(model.recognizer.name()).is_ok_and(|served| served.id == model.id)
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
                ErrorCode::NoModel,
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
    found.map_or(("none", String::new()), |found| (found.engines.name(), found.engines.describe()))
}

/// How many workers there are from now on. The engines drop what they keep for more of them in
/// [`shrink_engines`].
pub fn set_workers(count: usize) {
    if let Some(registry) = REGISTRY.read().as_ref() {
        registry.engines.set_workers(count);
    }
}

/// Not for the main thread: it takes a while.
pub fn shrink_engines() {
    let engines = REGISTRY.read().as_ref().map(|registry| registry.engines.clone());
    if let Some(engines) = engines {
        engines.shrink();
    }
}

/// The sessions of onnxruntime in memory; never waits.
pub fn engine_sessions() -> usize {
    let registry = REGISTRY.try_read();
    let found = registry.as_ref().and_then(|registry| registry.as_ref());
    found.map_or(0, |found| found.engines.sessions())
}

/// Hands every entry to `visit`; never waits, as INFO in a crash report must not.
pub fn for_each(mut visit: impl FnMut(&Entry)) {
    if let Some(registry) = REGISTRY.try_read()
        && let Some(registry) = registry.as_ref()
    {
        registry.entries.iter().for_each(&mut visit);
    }
}

/// Two models without weights: the same folder opened twice, as a reload does.
#[cfg(test)]
pub fn two_for_tests() -> [Arc<ServedModel>; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/barcodes");
    let engines = Arc::new(Engines::find(recognition::engine::EngineChoice::Tract, &[]));
    [(); 2].map(|()| open_folder(&folder, &engines).model.expect("models/barcodes can be opened"))
}
