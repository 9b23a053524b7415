//! Engines: what runs an ONNX graph. A task sees a [`Session`] and never which engine is behind it.
//!
//! `tract` is built in. `onnxruntime` is about three times as fast and is a shared library, which
//! is used where it is found; nothing of it is linked. Both give the same results within .01, so
//! the engine is no part of a result's version.

mod onnxruntime;
mod session;
mod spare;
mod tract;

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use super::error::LoadError;
pub use session::{Onnx, Output, Session};

/// Which engine is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineChoice {
    /// onnxruntime where it can be used, else tract; for each model.
    Auto,
    Tract,
    OnnxRuntime,
}

impl EngineChoice {
    pub fn parse(text: &str) -> Option<EngineChoice> {
        match text {
            "auto" => Some(EngineChoice::Auto),
            "tract" => Some(EngineChoice::Tract),
            "onnxruntime" => Some(EngineChoice::OnnxRuntime),
            _ => None,
        }
    }
}

/// The engines of this process, as they were found at its start.
pub struct Engines {
    choice: EngineChoice,
    /// The library in use, or why there is none.
    onnxruntime: Result<onnxruntime::Library, String>,
}

impl Engines {
    /// Looks for onnxruntime, unless only tract is wanted: a file, or a folder that holds
    /// `libonnxruntime.so…`, in this order.
    pub fn find(choice: EngineChoice, places: &[PathBuf]) -> Engines {
        let onnxruntime = match choice {
            EngineChoice::Tract => Err("image.engine is tract".to_owned()),
            EngineChoice::Auto | EngineChoice::OnnxRuntime => onnxruntime::Library::find(places),
        };
        Engines { choice, onnxruntime }
    }

    /// What is used and why, in a sentence.
    pub fn describe(&self) -> String {
        match (self.choice, &self.onnxruntime) {
            (_, Ok(library)) => library.describe(),
            (EngineChoice::OnnxRuntime, Err(reason)) => format!("no engine: {reason}"),
            (_, Err(reason)) => format!("tract: {reason}"),
        }
    }

    /// The engine that models are loaded with, as INFO names it.
    pub fn name(&self) -> &'static str {
        match (self.choice, &self.onnxruntime) {
            (_, Ok(_)) => onnxruntime::NAME,
            (EngineChoice::OnnxRuntime, Err(_)) => "none",
            (_, Err(_)) => tract::NAME,
        }
    }

    /// How many threads run graphs at the same time, from now on. What the engines keep for more than
    /// those goes with [`Engines::shrink`], and as runs end.
    pub fn set_workers(&self, count: usize) {
        if let Ok(library) = &self.onnxruntime {
            library.pools.set_most(count);
        }
    }

    /// Drops what is kept for more workers than there are: not for a thread that is waited for.
    pub fn shrink(&self) {
        if let Ok(library) = &self.onnxruntime {
            library.pools.shrink();
        }
    }

    /// The sessions of onnxruntime in memory: of each graph one for every worker that has run it.
    pub fn sessions(&self) -> usize {
        self.onnxruntime.as_ref().map_or(0, |library| library.sessions.load(Relaxed))
    }

    /// Loads an ONNX graph with one input, and prepares it for that shape.
    pub fn load(&self, onnx: Onnx, shape: &[usize]) -> Result<Box<dyn Session>, LoadError> {
        let by_tract = || -> Result<Box<dyn Session>, LoadError> {
            Ok(Box::new(tract::TractSession::load(onnx, shape)?))
        };
        match (self.choice, &self.onnxruntime) {
            (EngineChoice::Tract, _) | (EngineChoice::Auto, Err(_)) => by_tract(),
            (EngineChoice::OnnxRuntime, Err(reason)) => Err(LoadError(format!(
                "image.engine is onnxruntime, and {reason}; `make onnxruntime` fetches the library, image.onnxruntime-path names it"
            ))),
            (EngineChoice::OnnxRuntime, Ok(library)) => {
                Ok(Box::new(onnxruntime::OnnxRuntimeSession::load(library, onnx)?))
            }
            (EngineChoice::Auto, Ok(library)) => {
                match onnxruntime::OnnxRuntimeSession::load(library, onnx) {
                    Ok(session) => Ok(Box::new(session)),
                    // What one engine lacks the other may have.
                    Err(error) => {
                        by_tract().map_err(|other| LoadError(format!("{error}; {other}")))
                    }
                }
            }
        }
    }
}
