//! What a task sees of an engine: a graph that runs.

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
