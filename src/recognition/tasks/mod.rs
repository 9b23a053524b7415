//! Tasks: what a model is for. Each is one file, or folder, that declares the task's part of the manifest and
//! turns raw outputs into a result. A new task is a new file and a line in [`load`].

mod barcodes;
mod classify;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::decode::Photo;
use super::engine::Engines;
use super::error::{LoadError, RecognitionError};
use super::folder::{Folder, hex};
use super::prepare::Scratch;

/// A task with its graphs loaded.
pub trait Task: Send + Sync {
    /// The JSON text of the photo's result (DESIGN: fixed key order, no spaces, never NaN).
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<String, RecognitionError>;
}

/// What loading a task gives.
pub struct Loaded {
    pub task: Box<dyn Task>,
    pub name: &'static str,
    pub version: String,
    pub engine: &'static str,
    pub files: Vec<String>,
    /// Bytes of weights.
    pub memory: usize,
}

/// Loads the task that the folder's manifest names.
pub fn load(folder: &Folder, engines: &Engines) -> Result<Loaded, LoadError> {
    let manifest = folder.manifest()?;
    match manifest.task.as_str() {
        barcodes::NAME => barcodes::load(manifest),
        classify::NAME => classify::load(folder, manifest, engines),
        other => Err(LoadError(format!(
            "model.toml: unknown task `{other}`; known are `{}`, `{}`",
            barcodes::NAME,
            classify::NAME
        ))),
    }
}

/// First 8 hex digits of SHA-256 over all that a result depends on: the task and its revision, the
/// manifest's fields (the weights' hashes among them; a field that only says where something comes
/// from is not serialised) and the labels.
fn version(
    name: &str,
    revision: u32,
    manifest: &impl Serialize,
    labels: &[String],
) -> Result<String, LoadError> {
    // Text, not a JSON tree: its order of keys would depend on a feature of `serde_json` that any
    // dependency may turn on.
    let parts = serde_json::to_string(&(name, revision, manifest, labels))
        .map_err(|error| LoadError(format!("model.toml: {error}")))?;
    let mut version = hex(&Sha256::digest(parts));
    version.truncate(8);
    Ok(version)
}
