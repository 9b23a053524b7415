//! Engines: what runs an ONNX graph. A task sees a [`Session`] and never which engine is behind it.
//!
//! `tract` is built in. `onnxruntime` is about three times as fast and is a shared library, which
//! is used where it is found; nothing of it is linked. Both give the same results within .01, so
//! the engine is no part of a result's version.

mod onnxruntime;
mod spare;
mod tract;

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use super::error::LoadError;

/// One output tensor of a graph, as f32.
pub struct Output {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// An ONNX file's content and what is wanted of it.
#[derive(Clone, Copy)]
pub struct Onnx<'a> {
    pub bytes: &'a [u8],
    /// The one value to give, whether the file calls it an output or not; without it, all outputs.
    pub output: Option<&'a str>,
}

/// A graph that is ready to run. Shared by all workers: each call runs on the calling thread alone.
pub trait Session: Send + Sync {
    /// Runs the graph on one input tensor, whose length is the product of the shape. A shape that is
    /// new may cost the time of a compilation. The error is the engine's own sentence.
    fn run(&self, shape: &[usize], input: &[f32]) -> Result<Vec<Output>, String>;

    /// The engine's name, as INFO and `IMAGE.MODELS` show it.
    fn engine(&self) -> &'static str;
}

/// Which engine is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// onnxruntime where it can be used, else tract; for each model.
    Auto,
    Tract,
    OnnxRuntime,
}

impl Wish {
    pub fn parse(text: &str) -> Option<Wish> {
        match text {
            "auto" => Some(Wish::Auto),
            "tract" => Some(Wish::Tract),
            "onnxruntime" => Some(Wish::OnnxRuntime),
            _ => None,
        }
    }
}

/// The engines of this process, as they were found at its start.
pub struct Engines {
    wish: Wish,
    /// The library in use, or why there is none.
    onnxruntime: Result<onnxruntime::Library, String>,
}

impl Engines {
    /// Looks for onnxruntime, unless only tract is wanted: a file, or a folder that holds
    /// `libonnxruntime.so…`, in this order.
    pub fn find(wish: Wish, places: &[PathBuf]) -> Engines {
        let onnxruntime = match wish {
            Wish::Tract => Err("image.engine is tract".to_owned()),
            Wish::Auto | Wish::OnnxRuntime => onnxruntime::Library::find(places),
        };
        Engines { wish, onnxruntime }
    }

    /// What is used and why, in a sentence.
    pub fn describe(&self) -> String {
        match (self.wish, &self.onnxruntime) {
            (_, Ok(library)) => library.describe(),
            (Wish::OnnxRuntime, Err(reason)) => format!("no engine: {reason}"),
            (_, Err(reason)) => format!("tract: {reason}"),
        }
    }

    /// The engine that models are loaded with, as INFO names it.
    pub fn name(&self) -> &'static str {
        match (self.wish, &self.onnxruntime) {
            (_, Ok(_)) => onnxruntime::NAME,
            (Wish::OnnxRuntime, Err(_)) => "none",
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
        match (self.wish, &self.onnxruntime) {
            (Wish::Tract, _) | (Wish::Auto, Err(_)) => by_tract(),
            (Wish::OnnxRuntime, Err(reason)) => Err(LoadError(format!(
                "image.engine is onnxruntime, and {reason}; `make onnxruntime` fetches the library, image.onnxruntime-path names it"
            ))),
            (Wish::OnnxRuntime, Ok(library)) => {
                Ok(Box::new(onnxruntime::OnnxRuntimeSession::load(library, onnx)?))
            }
            (Wish::Auto, Ok(library)) => {
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
