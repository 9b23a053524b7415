//! The recognition core: from the bytes of an image file to the JSON text of a result.
//!
//! It knows nothing of Redis and may not: everything here is plain Rust, tested alone. Data flows
//! one way: `decode` → `prepare` → `engine` → `tasks`.

pub mod decode;
pub mod engine;
mod error;
mod folder;
mod json;
mod manifest;
mod prepare;
mod tasks;

use std::path::Path;
use std::time::{Duration, Instant};

use decode::{DecodeLimits, Detail};
use engine::Engines;
pub use error::{LoadError, RecognitionError};
pub use folder::{Folder, hex};
pub use json::trim_lists;
pub use prepare::Scratch;

/// A model that is ready to recognise: one folder of `models/`, loaded.
pub struct Recognizer {
    name: String,
    version: String,
    task_name: &'static str,
    engine_name: &'static str,
    files: Vec<String>,
    memory: usize,
    task: Box<dyn tasks::Task>,
}

impl Recognizer {
    /// Loads the model in `path`, whose last component is its name. Checks the weights against the
    /// manifest's SHA-256 and runs the graph once, so that what loads also works.
    pub fn load(path: &Path, engines: &Engines) -> Result<Recognizer, LoadError> {
        let folder = Folder::open(path)?;
        let loaded = tasks::load(&folder, engines)?;
        Ok(Recognizer {
            name: folder.name().to_owned(),
            version: loaded.version,
            task_name: loaded.name,
            engine_name: loaded.engine,
            files: loaded.files,
            memory: loaded.memory,
            task: loaded.task,
        })
    }

    /// The folder's name, as clients say it in `MODEL name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Eight hex digits of SHA-256 over all that a result depends on.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The manifest's `task`.
    pub fn task(&self) -> &'static str {
        self.task_name
    }

    /// The engine that runs the graphs.
    pub fn engine(&self) -> &'static str {
        self.engine_name
    }

    /// The weight files, relative to the model's folder.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Bytes of the loaded weights. The engine's packed copies and work buffers come on top.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Recognises one image file.
    pub fn recognize(
        &self,
        payload: &[u8],
        limits: &DecodeLimits,
        scratch: &mut Scratch,
    ) -> Result<Recognition, RecognitionError> {
        let start = Instant::now();
        let photo = decode::decode(payload, limits, Detail::Full)?;
        let decoding = start.elapsed();
        scratch.inference = Duration::ZERO;
        let json = self.task.recognize(&photo, scratch)?;
        Ok(Recognition { json, decoding, inference: scratch.inference })
    }
}

/// What recognising one image gives.
pub struct Recognition {
    /// The result's JSON text, which is what gets stored.
    pub json: String,
    /// How long decoding took.
    pub decoding: Duration,
    /// How long the graphs ran.
    pub inference: Duration,
}
