//! Engines: what runs an ONNX graph. A task sees a [`Session`] and never which engine is behind it.

mod tract;

use super::error::LoadError;

/// One output tensor of a graph, as f32.
pub struct Output {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A graph that is ready to run, with the input shape it was loaded for. Shared by all workers: each
/// call runs on the calling thread alone.
pub trait Session: Send + Sync {
    /// Runs the graph on one input tensor, whose length is the product of the shape. The error is
    /// the engine's own sentence.
    fn run(&self, input: &[f32]) -> Result<Vec<Output>, String>;

    /// The engine's name, as INFO and `IMAGE.MODELS` show it.
    fn engine(&self) -> &'static str;
}

/// Loads an ONNX graph with one input of a concrete shape. (A symbolic batch is five times slower.)
pub fn load(onnx: &[u8], shape: &[usize]) -> Result<Box<dyn Session>, LoadError> {
    Ok(Box::new(tract::TractSession::load(onnx, shape)?))
}
