//! `text`: the lines of text in the picture, in reading order. Networks of PP-OCR's kind: one gives a
//! map of where text is, one tells whether a line stands on its head, one reads it.
//!
//! There are two settings. `quick` looks at the picture once, as the common implementations of these
//! networks do (RapidOCR; DB, Liao et al. 2020). `thorough` looks again where it has to: at small
//! print, turned pages, strips, curved lines, and reads what is doubtful more than once.

mod line;
mod networks;
mod quick;
mod rows;
mod rules;
mod thorough;

#[cfg(test)]
mod tests_bounds;
#[cfg(test)]
mod tests_shared;

use serde::{Deserialize, Serialize};

use super::task::{Body, Outcome, Task, TaskKind};
use crate::decode::{Background, Photo};
use crate::error::{LoadError, RecognitionError};
use crate::manifest::{Graph, check_shares};
use crate::network::Loading;
use crate::prepare::Scratch;
use crate::reading::{LineReader, ReaderRules};
use line::Line;
use networks::Networks;
use rules::{TextRules, TextSetting};

/// More lines of a picture than these a manifest may not ask for.
const MOST_LINES: usize = 2000;
/// Nor may it let more pixels of width be read: so many lines, 1600 wide.
const MOST_READ: u64 = 1600 * MOST_LINES as u64;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TextManifest {
    graph: TextGraphs,
    reader: ReaderRules,
    output: TextRules,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TextGraphs {
    detect: Graph,
    direction: Graph,
    read: Graph,
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
    rules: TextRules,
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
struct TextResult {
    task: &'static str,
    lines: Vec<Line>,
    width: u32,
    height: u32,
}

impl Task for Text {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError> {
        let lines = match self.rules.setting {
            TextSetting::Quick => quick::lines(photo, &self.networks, &self.rules, scratch)?,
            TextSetting::Thorough => thorough::lines(photo, &self.networks, &self.rules, scratch)?,
        };
        Outcome::of(&TextResult {
            task: Text::NAME,
            lines,
            width: photo.width,
            height: photo.height,
        })
    }

    fn background(&self) -> Background {
        match self.rules.setting {
            TextSetting::Quick => Background::White,
            TextSetting::Thorough => Background::Contrast,
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
