//! The three graphs, and what each is asked.

use crate::decode::Photo;
use crate::error::RecognitionError;
use crate::geometry::Map;
use crate::network::Network;
use crate::prepare::{Scratch, prepare_as_it_is};
use crate::reading::{LineReader, run_on_line};

/// The three graphs.
pub struct Networks {
    pub detector: Network,
    pub direction: Network,
    pub reader: LineReader,
}

impl Networks {
    /// The detector's map of a picture: the probability of text of each pixel.
    pub fn map(&self, picture: &Photo, scratch: &mut Scratch) -> Result<Map, RecognitionError> {
        let (width, height) = (picture.width as usize, picture.height as usize);
        prepare_as_it_is(picture, picture.width, &self.detector.input, scratch);
        let outputs = self.detector.run_prepared(&[1, 3, height, width], scratch)?;
        match outputs.into_iter().next() {
            Some(output) if output.shape == [1, 1, height, width] => {
                Ok(Map { width, height, values: output.values })
            }
            output => Err(RecognitionError::Failed(format!(
                "the detector's output has the shape {:?} for a picture of {width}x{height}",
                output.map(|output| output.shape)
            ))),
        }
    }

    /// How likely it is that the line stands on its head.
    pub fn turned(&self, line: &Photo, scratch: &mut Scratch) -> Result<f64, RecognitionError> {
        let width = self.direction.input.width;
        match run_on_line(&self.direction, line, &[width], scratch)?.map(|output| output.values) {
            Some(values) if values.len() == 2 => Ok(values[1].into()),
            _ => Err(RecognitionError::Failed(
                "the direction's output must be two probabilities: upright, turned".to_owned(),
            )),
        }
    }
}
