//! A graph of a model, loaded: what a task runs.

use std::time::Instant;

use super::decode::Photo;
use super::engine::{Engines, Onnx, Output, Session};
use super::error::{LoadError, RecognitionError};
use super::folder::Folder;
use super::manifest::{Graph, Input};
use super::prepare::{Placement, Scratch, prepare};

/// One graph with an engine behind it.
pub struct Network {
    session: Box<dyn Session>,
    file: String,
    /// How a picture becomes the graph's input.
    pub input: Input,
}

impl Network {
    /// Runs the graph on a photo, which is prepared as the manifest says.
    ///
    /// # Errors
    /// `Failed` if the engine fails, or gives a value that is not a finite number.
    pub fn run(
        &self,
        photo: &Photo,
        scratch: &mut Scratch,
    ) -> Result<Vec<Output>, RecognitionError> {
        self.run_placed(photo, scratch).map(|(outputs, _)| outputs)
    }

    /// As `run`; and where the photo was in the input.
    pub fn run_placed(
        &self,
        photo: &Photo,
        scratch: &mut Scratch,
    ) -> Result<(Vec<Output>, Placement), RecognitionError> {
        self.run_sized(photo, self.input.width, self.input.height, scratch)
    }

    /// As `run_placed`, with an input of another size than the manifest's.
    pub fn run_sized(
        &self,
        photo: &Photo,
        width: u32,
        height: u32,
        scratch: &mut Scratch,
    ) -> Result<(Vec<Output>, Placement), RecognitionError> {
        let input = Input { width, height, ..self.input.clone() };
        let placement = prepare(photo, &input, scratch)?;
        Ok((self.run_prepared(&input.shape(), scratch)?, placement))
    }

    /// Runs the graph on a photo and scales its first output to unit length.
    ///
    /// # Errors
    /// As `run`; `Failed` if the output has no length.
    pub fn embedding(
        &self,
        photo: &Photo,
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>, RecognitionError> {
        let output = self.run(photo, scratch)?.into_iter().next();
        let mut values = output.map(|output| output.values).unwrap_or_default();
        let square: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        if square == 0.0 {
            return Err(RecognitionError::Failed(format!(
                "{}: the graph gave an embedding without length",
                self.file
            )));
        }
        let length = square.sqrt();
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
        Ok(values)
    }

    /// Runs the graph on the tensor that lies in the scratch.
    pub fn run_prepared(
        &self,
        shape: &[usize],
        scratch: &mut Scratch,
    ) -> Result<Vec<Output>, RecognitionError> {
        let start = Instant::now();
        let outputs = self.session.run(shape, &scratch.input).map_err(RecognitionError::Failed)?;
        scratch.inference += start.elapsed();
        let is_finite = |output: &Output| output.values.iter().all(|value| value.is_finite());
        if outputs.iter().all(is_finite) {
            Ok(outputs)
        } else {
            Err(RecognitionError::Failed(format!(
                "{}: the graph gave a value that is not a number",
                self.file
            )))
        }
    }
}

/// The loading of a model's graphs, which adds up what they are.
pub struct Loading<'a> {
    folder: &'a Folder,
    engines: &'a Engines,
    /// The engine of the last graph: engines differ between graphs only where one lacks an operator.
    pub engine: &'static str,
    /// Bytes of weights.
    pub memory: usize,
}

impl<'a> Loading<'a> {
    pub fn new(folder: &'a Folder, engines: &'a Engines) -> Loading<'a> {
        Loading { folder, engines, engine: "none", memory: 0 }
    }

    pub fn network(&mut self, graph: &Graph) -> Result<Network, LoadError> {
        let weights = self.folder.weights(graph)?;
        let onnx = Onnx { bytes: &weights, output: graph.output.as_deref() };
        let session = self
            .engines
            .load(onnx, &graph.input.shape())
            .map_err(|error| LoadError(format!("{}: {error}", graph.file)))?;
        self.engine = session.engine();
        self.memory += weights.len();
        Ok(Network { session, file: graph.file.clone(), input: graph.input.clone() })
    }
}
