//! Reading one line of text: a network that gives for each step along the line how likely each
//! character is, and CTC, which makes a text of it. (PP-OCR's recognisers and their kind.)

use serde::{Deserialize, Serialize};

use super::decode::Photo;
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
        let height = self.network.input.height;
        let longest = self.widths.last().copied().unwrap_or(height);
        let width = f64::from(height) * f64::from(line.width) / f64::from(line.height);
        let width = (width.ceil() as u32).clamp(1, longest);
        let padded = self.widths.iter().copied().find(|next| *next >= width).unwrap_or(longest);
        let line = scaled(line, width, height, scratch)?;
        prepare_as_it_is(&line, padded, &self.network.input, scratch);
        self.run(padded, scratch)
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
        let next = self.widths.iter().copied().find(|next| *next >= patch.width);
        let padded = next.unwrap_or(patch.width);
        prepare_patch(patch, padded, &self.network.input, scratch);
        self.run(padded, scratch)
    }

    /// Runs the network on the tensor that lies in the scratch.
    fn run(&self, width: u32, scratch: &mut Scratch) -> Result<Steps, RecognitionError> {
        let shape = [1, 3, self.network.input.height as usize, width as usize];
        let output = self.network.run_prepared(&shape, scratch)?.into_iter().next();
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

impl Steps {
    /// The probabilities of each step.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.classes)
    }
}
