//! Reading one line of text: a network that gives for each step along the line how likely each
//! character is, and CTC, which makes a text of it. (PP-OCR's recognisers and their kind.)

use serde::{Deserialize, Serialize};

use super::decode::Photo;
use super::engine::Output;
use super::error::{LoadError, RecognitionError};
use super::geometry::Patch;
use super::manifest::{Graph, LabelList};
use super::network::{Loading, Network};
use super::prepare::{Scratch, prepare_as_it_is, prepare_patch, scaled};

/// CTC's class for "nothing here".
const BLANK: usize = 0;

/// How a reading network is described in a manifest: `[reader]`.
#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReaderRules {
    /// The characters of the classes 1, 2, …, one a line. Class 0 is CTC's blank; the last class, if
    /// there is one more than characters, is the space.
    #[serde(skip_serializing)]
    pub characters: LabelList,
    /// The widths that the graph is run with, ascending: a line is padded to the next of them, and
    /// one that is longer than the last is squeezed. Few, as engines prepare themselves for each.
    pub widths: Vec<u32>,
}

impl ReaderRules {
    pub fn check(&self) -> Result<(), LoadError> {
        const MAX_WIDTH: u32 = 8192;
        let ascending = self.widths.is_sorted_by(|a, b| a < b);
        let bounded = self.widths.iter().all(|width| (8..=MAX_WIDTH).contains(width));
        if self.widths.is_empty() || !ascending || !bounded {
            return Err(LoadError(format!(
                "model.toml: widths must be ascending numbers of 8 to {MAX_WIDTH} pixels"
            )));
        }
        Ok(())
    }
}

/// A network that reads lines.
pub struct LineReader {
    network: Network,
    widths: Vec<u32>,
    characters: Vec<String>,
}

/// What the network sees along a line: for each step a probability for each class.
pub struct Steps {
    classes: usize,
    values: Vec<f32>,
}

/// One character of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Character<'a> {
    pub text: &'a str,
    /// Its probability at its first step.
    pub score: f32,
}

impl LineReader {
    pub fn load(
        graph: &Graph,
        rules: &ReaderRules,
        characters: &[String],
        loading: &mut Loading,
    ) -> Result<LineReader, LoadError> {
        Ok(LineReader {
            network: loading.network(graph)?,
            widths: rules.widths.clone(),
            characters: characters.to_vec(),
        })
    }

    /// Reads a picture of one line, scaled to the height that the network takes.
    pub fn read(&self, line: &Photo, scratch: &mut Scratch) -> Result<Steps, RecognitionError> {
        let output = run_on_line(&self.network, line, &self.widths, scratch)?;
        self.steps(output)
    }

    /// Height of the lines that the network takes, and the longest of them: pixels.
    pub fn height_and_longest(&self) -> (u32, u32) {
        let height = self.network.input.height;
        (height, self.widths.last().copied().unwrap_or(height))
    }

    /// Reads a patch of the network's height that is not longer than its longest line.
    pub fn read_patch(
        &self,
        patch: &Patch,
        scratch: &mut Scratch,
    ) -> Result<Steps, RecognitionError> {
        let padded = padded(patch.width, &self.widths);
        prepare_patch(patch, padded, &self.network.input, scratch);
        let shape = [1, 3, self.network.input.height as usize, padded as usize];
        let output = self.network.run_prepared(&shape, scratch)?.into_iter().next();
        self.steps(output)
    }

    fn steps(&self, output: Option<Output>) -> Result<Steps, RecognitionError> {
        match output {
            Some(output) if self.fits(&output.shape) => {
                Ok(Steps { classes: output.shape[2], values: output.values })
            }
            Some(output) => Err(RecognitionError::Failed(format!(
                "the reader's output has the shape {:?}, which does not fit {} characters",
                output.shape,
                self.characters.len()
            ))),
            None => Err(RecognitionError::Failed("the reader has no output".to_owned())),
        }
    }

    /// `[1, steps, classes]`, of blank, characters, and maybe the space.
    fn fits(&self, shape: &[usize]) -> bool {
        let known = self.characters.len() + 1;
        matches!(shape, [1, _, classes] if *classes == known || *classes == known + 1)
    }

    /// The likeliest characters: the best class of each step, without repeats and blanks.
    pub fn characters(&self, steps: &Steps) -> Vec<Character<'_>> {
        let mut characters = Vec::new();
        let mut last = BLANK;
        for step in steps.iter() {
            let mut best = BLANK;
            for (class, probability) in step.iter().enumerate() {
                if *probability > step[best] {
                    best = class;
                }
            }
            if best != BLANK && best != last {
                characters.push(Character { text: self.text_of(best), score: step[best] });
            }
            last = best;
        }
        characters
    }

    /// How wide a line is at the height that the network takes.
    pub fn width_of(&self, line: &Photo) -> u32 {
        width_at(self.network.input.height, line)
    }

    /// The text of a class.
    pub fn text_of(&self, class: usize) -> &str {
        match class.checked_sub(1) {
            Some(index) => self.characters.get(index).map_or(" ", String::as_str),
            None => "",
        }
    }

    /// Reads a grey strip: a trial.
    pub fn try_out(&self, scratch: &mut Scratch) -> Result<(), RecognitionError> {
        let (width, height) = (self.network.input.width, self.network.input.height);
        let grey = vec![127; width as usize * height as usize * 3];
        self.read(&Photo::new(width, height, grey), scratch).map(drop)
    }
}

/// Runs a network on a picture of one line, scaled to the height that the network takes and padded on
/// the right to the next of the widths, or squeezed to the last. The first output.
pub fn run_on_line(
    network: &Network,
    line: &Photo,
    widths: &[u32],
    scratch: &mut Scratch,
) -> Result<Option<Output>, RecognitionError> {
    let height = network.input.height;
    let width = width_at(height, line);
    let padded = padded(width, widths);
    let line = scaled(line, width.min(padded), height, scratch)?;
    prepare_as_it_is(&line, padded, &network.input, scratch);
    let shape = [1, 3, height as usize, padded as usize];
    Ok(network.run_prepared(&shape, scratch)?.into_iter().next())
}

/// The width of a line at that height, at least 1.
fn width_at(height: u32, line: &Photo) -> u32 {
    let width = f64::from(height) * f64::from(line.width) / f64::from(line.height);
    (width.ceil() as u32).max(1)
}

/// The next of the widths, or the last.
fn padded(width: u32, widths: &[u32]) -> u32 {
    let next = widths.iter().find(|next| **next >= width).or(widths.last());
    next.copied().unwrap_or(width)
}

/// The mean of the characters' scores; 0 without any.
pub fn mean_score<'a, 'b: 'a>(characters: impl IntoIterator<Item = &'a Character<'b>>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for character in characters {
        sum += f64::from(character.score);
        count += 1.0;
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

impl Steps {
    /// The probabilities of each step.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.classes)
    }
}
