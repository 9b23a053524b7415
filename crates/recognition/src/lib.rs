//! The recognition core: from the bytes of an image file to the JSON text of a result.
//!
//! It knows nothing of Redis and may not: everything here is plain Rust, tested alone. Data flows
//! one way: `decode` → `prepare` → `engine` → `tasks`.

#![deny(unsafe_code)]

// Its `#[test]` takes the place of the standard one in every module.
#[cfg(test)]
#[macro_use]
extern crate attribute;

mod ctc;
pub mod decode;
pub mod embedding;
pub mod engine;
mod error;
pub mod files;
mod folder;
mod geometry;
mod json;
pub mod manifest;
mod network;
mod prepare;
mod reading;
pub mod stored;
mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use decode::{DecodeLimits, Wanted};
use embedding::{Embedded, GalleryRules};
use engine::Engines;
pub use error::{LoadError, RecognitionError};
pub use folder::{Folder, hex};
pub use json::trim_lists;
pub use prepare::Scratch;

/// A model: one folder of `models/`. Once opened it has a version; its graphs are loaded with it, or
/// when they are first used if its manifest says `lazy`.
pub struct Recognizer {
    folder: Folder,
    opened: tasks::Opened,
    engines: Arc<Engines>,
    loaded: OnceLock<Result<tasks::Loaded, LoadError>>,
}

/// What has become of a model's graphs.
pub enum State<'a> {
    /// To be loaded when they are first used.
    Waiting,
    Ready {
        engine: &'static str,
        /// Bytes of the loaded weights. The engine's packed copies and work buffers come on top.
        memory: usize,
    },
    Failed(&'a LoadError),
}

impl Recognizer {
    /// Reads the model in `path`, whose last component is its name, all but its weights.
    pub fn open(path: &Path, engines: Arc<Engines>) -> Result<Recognizer, LoadError> {
        let folder = Folder::open(path)?;
        let opened = tasks::open(&folder)?;
        Ok(Recognizer { folder, opened, engines, loaded: OnceLock::new() })
    }

    /// The folder's name, as clients say it in `MODEL name`.
    pub fn name(&self) -> &str {
        self.folder.name()
    }

    /// Eight hex digits of SHA-256 over all that a result depends on.
    pub fn version(&self) -> &str {
        &self.opened.version
    }

    /// The manifest's `task`.
    pub fn task(&self) -> &'static str {
        self.opened.task
    }

    /// What galleries need to know of it, or why it cannot serve them.
    pub fn gallery(&self) -> Result<&GalleryRules, &LoadError> {
        self.opened.gallery.as_ref()
    }

    /// The weight files, relative to the model's folder.
    pub fn files(&self) -> &[String] {
        &self.opened.files
    }

    /// Whether the graphs are to be loaded when they are first used only.
    pub fn is_lazy(&self) -> bool {
        self.opened.lazy
    }

    /// Never waits, not even for a load that is under way.
    pub fn state(&self) -> State<'_> {
        match self.loaded.get() {
            None => State::Waiting,
            Some(Ok(loaded)) => State::Ready { engine: loaded.engine, memory: loaded.memory },
            Some(Err(error)) => State::Failed(error),
        }
    }

    /// Loads the graphs, unless they are: checks the weights against the manifest's SHA-256 and runs
    /// each graph once, so that what loads also works. Whoever else needs them waits meanwhile. True
    /// if it was this call that loaded them.
    pub fn load(&self) -> Result<bool, LoadError> {
        let mut loads = false;
        let load = || self.opened.load(&self.folder, &self.engines);
        let loaded = self.loaded.get_or_init(|| {
            loads = true;
            catch_unwind(AssertUnwindSafe(load))
                .unwrap_or_else(|_| Err(LoadError("loading it panicked".to_owned())))
        });
        loaded.as_ref().map(|_| loads).map_err(LoadError::clone)
    }

    /// Recognises one image file.
    pub fn recognize(
        &self,
        payload: &[u8],
        limits: &DecodeLimits,
        scratch: &mut Scratch,
    ) -> Result<Recognition, RecognitionError> {
        self.load().map_err(RecognitionError::NotLoaded)?;
        let Some(Ok(tasks::Loaded { task, .. })) = self.loaded.get() else {
            return Err(RecognitionError::Failed("the model is not loaded".to_owned()));
        };
        let start = Instant::now();
        let wanted = Wanted { detail: task.detail(), background: task.background() };
        let photo = decode::decode(payload, limits, wanted)?;
        let decoding = start.elapsed();
        scratch.inference = Duration::ZERO;
        let tasks::Outcome { json, embeddings } = task.recognize(&photo, scratch)?;
        Ok(Recognition { json, embeddings, decoding, inference: scratch.inference })
    }
}

/// What recognising one image gives.
pub struct Recognition {
    /// The result's JSON text, which is what gets stored.
    pub json: String,
    /// The embeddings in it, as values.
    pub embeddings: Vec<Embedded>,
    /// How long decoding took.
    pub decoding: Duration,
    /// How long the graphs ran.
    pub inference: Duration,
}

#[cfg(test)]
fn main() -> std::process::ExitCode {
    harness::main()
}
