//! `text`: the lines of text in the picture, in reading order. Networks of PP-OCR's kind: one gives a
//! map of where text is, one tells whether a line stands on its head, one reads it.
//!
//! There are two settings. `quick` looks at the picture once, as the common implementations of these
//! networks do (RapidOCR; DB, Liao et al. 2020). `thorough` looks again where it has to: at small
//! print, turned pages, strips, curved lines, and reads what is doubtful more than once.

mod quick;
mod rows;
mod thorough;

#[cfg(test)]
mod tests_bounds;
#[cfg(test)]
mod tests_shared;

use serde::{Deserialize, Serialize};

use super::{Body, Outcome, Task, TaskKind};
use crate::decode::{Ground, Photo};
use crate::error::{LoadError, RecognitionError};
use crate::geometry::{Map, Point, Quad};
use crate::json;
use crate::manifest::{Graph, check_shares};
use crate::network::{Loading, Network};
use crate::prepare::{Scratch, prepare_as_it_is};
use crate::reading::{LineReader, ReaderRules, run_on_line};

/// More lines of a picture than these a manifest may not ask for.
const MOST_LINES: usize = 2000;
/// Nor may it let more pixels of width be read: so many lines, 1600 wide.
const MOST_READ: u64 = 1600 * MOST_LINES as u64;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TextManifest {
    graph: Graphs,
    reader: ReaderRules,
    output: OutputRules,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Graphs {
    detect: Graph,
    direction: Graph,
    read: Graph,
}

#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OutputRules {
    setting: Setting,
    /// Pixels of the detector's map above this are text.
    pixel_threshold: f64,
    /// How much lines are grown: they are found too tight.
    unclip: f64,
    /// The least mean of a line in the detector's map.
    box_threshold: Thresholds,
    /// The least mean score of a line's characters.
    score_threshold: Thresholds,
    /// The same for lines that only a second or third look has found.
    late_score_threshold: f64,
    /// The most lines of a picture; the largest are kept.
    max_lines: usize,
    /// Pixels of width after which *thorough* reads no further line, and no line another way.
    max_read: u64,
    max_read_again: u64,
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Setting {
    Quick,
    Thorough,
}

/// A threshold of each setting.
#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    quick: f64,
    thorough: f64,
}

impl Body for TextManifest {
    fn graphs(&self) -> Vec<&Graph> {
        vec![&self.graph.detect, &self.graph.direction, &self.graph.read]
    }

    fn labels(&self) -> Option<&str> {
        Some(&self.reader.characters.file)
    }

    fn check(&self, _labels: &[String]) -> Result<(), LoadError> {
        let output = &self.output;
        self.reader.check()?;
        check_shares(&[
            ("pixel-threshold", output.pixel_threshold),
            ("box-threshold", output.box_threshold.quick),
            ("box-threshold", output.box_threshold.thorough),
            ("score-threshold", output.score_threshold.quick),
            ("score-threshold", output.score_threshold.thorough),
            ("late-score-threshold", output.late_score_threshold),
        ])?;
        if !(0.0..=10.0).contains(&output.unclip) {
            return Err(LoadError("model.toml: unclip must be 0 to 10".to_owned()));
        }
        if output.max_lines > MOST_LINES {
            return Err(LoadError(format!("model.toml: max-lines must be at most {MOST_LINES}")));
        }
        if output.max_read.max(output.max_read_again) > MOST_READ {
            return Err(LoadError(format!(
                "model.toml: max-read and max-read-again must be at most {MOST_READ}"
            )));
        }
        Ok(())
    }
}

pub struct Text {
    networks: Networks,
    rules: OutputRules,
}

/// The three graphs.
struct Networks {
    detector: Network,
    direction: Network,
    reader: LineReader,
}

impl TaskKind for Text {
    const NAME: &'static str = "text";
    const REVISION: u32 = 1;
    type Manifest = TextManifest;

    fn load(
        manifest: &TextManifest,
        labels: &[String],
        loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError> {
        Ok(Box::new(Text::open(manifest, labels, loading)?))
    }
}

impl Text {
    fn open(
        manifest: &TextManifest,
        labels: &[String],
        loading: &mut Loading,
    ) -> Result<Text, LoadError> {
        let TextManifest { graph, reader, output } = manifest;
        let networks = Networks {
            detector: loading.network(&graph.detect)?,
            direction: loading.network(&graph.direction)?,
            reader: LineReader::load(&graph.read, reader, labels, loading)?,
        };
        Ok(Text { networks, rules: output.clone() })
    }
}

#[derive(Serialize)]
struct Reading {
    task: &'static str,
    lines: Vec<Line>,
    width: u32,
    height: u32,
}

/// A line that could be read.
#[derive(Serialize)]
struct Line {
    text: String,
    #[serde(serialize_with = "json::score")]
    score: f32,
    /// Within the photo.
    quad: Quad,
}

impl Task for Text {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError> {
        let lines = match self.rules.setting {
            Setting::Quick => quick::lines(photo, &self.networks, &self.rules, scratch)?,
            Setting::Thorough => thorough::lines(photo, &self.networks, &self.rules, scratch)?,
        };
        Outcome::of(&Reading { task: Text::NAME, lines, width: photo.width, height: photo.height })
    }

    fn ground(&self) -> Ground {
        match self.rules.setting {
            Setting::Quick => Ground::White,
            Setting::Thorough => Ground::Contrast,
        }
    }

    fn try_out(&self, scratch: &mut Scratch) -> Result<(), RecognitionError> {
        let Networks { detector, direction, reader } = &self.networks;
        let grey = |width: u32, height: u32| {
            Photo::new(width, height, vec![127; width as usize * height as usize * 3])
        };
        self.networks.map(&grey(detector.input.width, detector.input.height), scratch)?;
        self.networks.turned(&grey(direction.input.width, direction.input.height), scratch)?;
        reader.try_out(scratch)
    }
}

impl Networks {
    /// The detector's map of a picture: the probability of text of each pixel.
    fn map(&self, picture: &Photo, scratch: &mut Scratch) -> Result<Map, RecognitionError> {
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
    fn turned(&self, line: &Photo, scratch: &mut Scratch) -> Result<f64, RecognitionError> {
        let width = self.direction.input.width;
        match run_on_line(&self.direction, line, &[width], scratch)?.map(|output| output.values) {
            Some(values) if values.len() == 2 => Ok(values[1].into()),
            _ => Err(RecognitionError::Failed(
                "the direction's output must be two probabilities: upright, turned".to_owned(),
            )),
        }
    }
}

/// The part of the quad inside the photo.
fn clipped(quad: Quad, photo: &Photo) -> Quad {
    let (width, height) = (f64::from(photo.width), f64::from(photo.height));
    quad.map(|Point { x, y }| Point { x: x.clamp(0.0, width), y: y.clamp(0.0, height) })
}
