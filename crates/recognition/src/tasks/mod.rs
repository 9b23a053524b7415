//! Tasks: what a model is for. Each is one file, or one folder, that declares the task's part of the manifest and
//! turns a photo into a result. A new task is a new file and a line in [`open`].

mod barcodes;
mod classify;
mod embed;
mod faces;
mod objects;
mod plates;
mod task;
mod text;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::embedding::GalleryRules;
use super::engine::Engines;
use super::error::LoadError;
use super::folder::{Folder, hex};
use super::manifest::Manifest;
use super::network::Loading;
use super::prepare::Scratch;
use barcodes::Barcodes;
use classify::Classify;
use embed::Embed;
use faces::Faces;
use objects::Objects;
use plates::Plates;
use task::{Body, TaskKind};
pub use task::{Outcome, Task};
use text::Text;

/// A model's folder, read: everything but its weights.
pub struct Opened {
    pub task: &'static str,
    pub version: String,
    /// The weight files, relative to the folder.
    pub files: Vec<String>,
    /// Only when it is first used, not at start.
    pub lazy: bool,
    /// What galleries need to know, or why there can be none.
    pub gallery: Result<GalleryRules, LoadError>,
    load: LoadGraphs,
}

type LoadGraphs = Box<dyn Fn(&mut Loading) -> Result<Box<dyn Task>, LoadError> + Send + Sync>;

/// What loading a task gives.
pub struct Loaded {
    pub task: Box<dyn Task>,
    pub engine: &'static str,
    /// Bytes of weights.
    pub memory: usize,
}

/// Reads the manifest and what else the model's version depends on.
pub fn open(folder: &Folder) -> Result<Opened, LoadError> {
    let manifest = folder.manifest()?;
    match manifest.task.as_str() {
        Barcodes::NAME => open_as::<Barcodes>(folder, manifest),
        Classify::NAME => open_as::<Classify>(folder, manifest),
        Embed::NAME => open_as::<Embed>(folder, manifest),
        Faces::NAME => open_as::<Faces>(folder, manifest),
        Objects::NAME => open_as::<Objects>(folder, manifest),
        Plates::NAME => open_as::<Plates>(folder, manifest),
        Text::NAME => open_as::<Text>(folder, manifest),
        other => Err(LoadError(format!("model.toml: unknown task `{other}`; known are {KNOWN}"))),
    }
}

const KNOWN: &str = "barcodes, classify, embed, faces, objects, plates, text";

fn open_as<Kind: TaskKind>(folder: &Folder, manifest: Manifest) -> Result<Opened, LoadError> {
    let lazy = manifest.lazy;
    let body: Kind::Manifest = manifest.body()?;
    let labels = body.labels().map_or(Ok(Vec::new()), |file| folder.labels(file))?;
    for graph in body.graphs() {
        graph.input.check()?;
    }
    body.check(&labels)?;
    Ok(Opened {
        task: Kind::NAME,
        version: version(Kind::NAME, Kind::REVISION, &body, &labels)?,
        files: body.graphs().iter().map(|graph| graph.file.clone()).collect(),
        lazy,
        gallery: body.gallery(),
        load: Box::new(move |loading| Kind::load(&body, &labels, loading)),
    })
}

impl Opened {
    /// Checks the weights against the manifest's SHA-256, loads the graphs and runs each once.
    pub fn load(&self, folder: &Folder, engines: &Engines) -> Result<Loaded, LoadError> {
        let mut loading = Loading::new(folder, engines);
        let task = (self.load)(&mut loading)?;
        task.try_out(&mut Scratch::default())
            .map_err(|error| LoadError(format!("the trial run failed: {error}")))?;
        Ok(Loaded { task, engine: loading.engine, memory: loading.memory })
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
