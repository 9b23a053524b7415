//! Looks at a plate: parts of the photo around it, made upright and read.

use super::choosing::Judge;
use crate::ctc::Probabilities;
use crate::decode::Photo;
use crate::error::RecognitionError;
use crate::geometry::{Patch, Quad, grown, sides};
use crate::prepare::Scratch;
use crate::reading::LineReader;

/// Pixels: a shorter line than this is no number.
const SHORTEST: f64 = 16.0;
/// Samples of a pixel's side, at most, where the photo is finer than the line that is read.
const FINEST: f64 = 4.0;

/// A crop: the plate's width and height that it takes in, and how much wider it is made than it is.
pub struct PlateCrop {
    width: f64,
    height: f64,
    stretch: f64,
}

/// What most plates are read best from: a little less than their height, made wider.
pub const FLAT: PlateCrop = PlateCrop { width: 1.0, height: 0.85, stretch: 1.25 };
/// Further ones, where one look was not enough.
pub const FURTHER: [PlateCrop; 2] = [
    PlateCrop { width: 1.0, height: 1.0, stretch: 1.25 },
    PlateCrop { width: 0.96, height: 0.96, stretch: 1.0 },
];
/// How much wider lines of text are made than they are.
pub const LINE_STRETCH: f64 = 1.1;

/// The eyes of the task, on one photo.
pub struct PlateReader<'a> {
    pub lines: &'a LineReader,
    pub judge: &'a Judge,
    pub photo: &'a Photo,
}

impl PlateReader<'_> {
    /// Reads a quad as one line. None if it is no quad.
    pub fn look(
        &self,
        quad: &Quad,
        stretch: f64,
        scratch: &mut Scratch,
    ) -> Result<Option<Probabilities>, RecognitionError> {
        let (line_height, longest) = self.lines.height_and_longest();
        let (width, height) = sides(quad);
        let line_width = f64::from(line_height) * width / height.max(1e-6) * stretch;
        let line_width = line_width.ceil().clamp(SHORTEST, f64::from(longest)) as u32;
        let fineness = (height / f64::from(line_height)).round_ties_even().clamp(1.0, FINEST);
        let patch = Patch::cut_out(self.photo, quad, line_width, line_height, fineness as u32);
        let Some(patch) = patch else { return Ok(None) };
        let steps = self.lines.read_patch(&patch, scratch)?;
        Ok(Some(self.judge.alphabet.kept(&steps)))
    }

    /// Reads a crop of a plate.
    pub fn look_at(
        &self,
        plate: &Quad,
        crop: &PlateCrop,
        scratch: &mut Scratch,
    ) -> Result<Option<Probabilities>, RecognitionError> {
        match grown(plate, crop.width, crop.height) {
            Some(quad) => self.look(&quad, crop.stretch, scratch),
            None => Ok(None),
        }
    }
}
