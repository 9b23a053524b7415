//! Reading a line, more than once if it is doubtful.

use super::cut::{cut, pieces};
use super::direction::is_level;
use super::region::Region;
use super::source::Source;
use super::vectors::{down_of, opposite};
use crate::decode::Photo;
use crate::error::RecognitionError;
use crate::geometry::Point;
use crate::prepare::Scratch;
use crate::reading::mean_score;

/// A mean of the letters' scores below this: maybe it was read the wrong way round.
const WRONG_WAY: f64 = 0.85;
/// Below this: maybe the line's place is not quite right.
const DOUBTFUL: f64 = 0.97;
/// The place is then changed by these shares of the line's thickness.
const CHANGES: [f64; 2] = [-0.12, 0.2];
/// A line so many times as long as high may be a single letter, whose direction does not show.
const SHORT: f64 = 3.0;
/// Another reading must be better by this.
const BETTER: f64 = 0.02;
/// A line that would be read wider than this is cut into pieces of about the second: squeezed, it
/// would be lost.
const LONGEST: u32 = 1280;
const PIECE: f64 = 1100.0;
/// What a piece costs at least: that of a line of this width.
const SHORTEST: u32 = 320;

/// What a line says.
#[derive(Debug)]
pub struct LineReading {
    pub text: String,
    /// The mean of the characters' scores.
    pub score: f64,
    /// The same without spaces.
    letters: f64,
    /// The direction in which it was read.
    pub axis: Point,
}

/// Reads the lines of a picture.
pub struct RepeatedReader<'a> {
    source: &'a Source<'a>,
    /// Read so far.
    pub widths: Widths,
}

/// Pixels of width, of all first readings of a picture and of all others.
#[derive(Default, Debug, Clone, Copy)]
pub struct Widths {
    pub read: u64,
    pub read_again: u64,
}

impl<'a> RepeatedReader<'a> {
    pub fn new(source: &'a Source<'a>) -> RepeatedReader<'a> {
        RepeatedReader { source, widths: Widths::default() }
    }

    /// The best reading of a line that probably runs along `axis`. None if too much has been read.
    pub fn read(
        &mut self,
        region: &Region,
        axis: Point,
        scratch: &mut Scratch,
    ) -> Result<Option<LineReading>, RecognitionError> {
        if self.widths.read >= self.source.rules.max_read {
            return Ok(None);
        }
        let (mut best, width) = self.read_once(region, axis, scratch)?;
        self.widths.read += width;
        if best.letters < WRONG_WAY {
            self.try_also(&mut best, region, opposite(axis), scratch)?;
        }
        if best.letters < WRONG_WAY && region.ratio() < SHORT && !is_level(axis) {
            // Of the two directions across the line the one to the right.
            let across = if axis.y > 0.0 { opposite(down_of(axis)) } else { down_of(axis) };
            self.try_also(&mut best, region, across, scratch)?;
        }
        let mut earlier = region.earlier.as_deref();
        while let Some(region) = earlier.filter(|_| best.letters < DOUBTFUL) {
            let axis = best.axis;
            self.try_also(&mut best, region, axis, scratch)?;
            earlier = region.earlier.as_deref();
        }
        if best.letters < DOUBTFUL {
            for change in CHANGES {
                let axis = best.axis;
                self.try_also(&mut best, &region.grown(change), axis, scratch)?;
            }
        }
        Ok(Some(best))
    }

    /// Reads the line another way, and keeps that if it is better.
    fn try_also(
        &mut self,
        best: &mut LineReading,
        region: &Region,
        axis: Point,
        scratch: &mut Scratch,
    ) -> Result<(), RecognitionError> {
        if self.widths.read_again >= self.source.rules.max_read_again {
            return Ok(());
        }
        let (other, width) = self.read_once(region, axis, scratch)?;
        self.widths.read_again += width;
        if other.is_better_than(best) {
            *best = other;
        }
        Ok(())
    }

    /// A reading, and how wide the line was.
    fn read_once(
        &self,
        region: &Region,
        axis: Point,
        scratch: &mut Scratch,
    ) -> Result<(LineReading, u64), RecognitionError> {
        let reader = &self.source.networks.reader;
        let mut characters = Vec::new();
        let mut width = 0;
        for piece in self.parts(cut(self.source, region, axis)) {
            width += u64::from(reader.width_of(&piece).max(SHORTEST));
            characters.extend(reader.characters(&reader.read(&piece, scratch)?));
        }
        let letters = characters.iter().filter(|character| character.text != " ");
        let reading = LineReading {
            text: characters.iter().map(|character| character.text).collect(),
            score: mean_score(&characters),
            letters: mean_score(letters),
            axis,
        };
        Ok((reading, width))
    }

    fn parts(&self, line: Photo) -> Vec<Photo> {
        let width = self.source.networks.reader.width_of(&line);
        match width > LONGEST {
            true => pieces(&line, (f64::from(width) / PIECE).ceil() as u32),
            false => vec![line],
        }
    }
}

impl LineReading {
    /// Surer of its letters; or of the same letters, but with more spaces, which get lost easily.
    fn is_better_than(&self, other: &LineReading) -> bool {
        let letters = |reading: &LineReading| reading.text.replace(' ', "");
        let spaces = |reading: &LineReading| reading.text.matches(' ').count();
        match letters(self) == letters(other) {
            true => spaces(self) > spaces(other),
            false => self.letters > other.letters + BETTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_same_letters_the_reading_with_more_spaces_is_better() {
        let reading = |text: &str, letters: f64| LineReading {
            text: text.to_owned(),
            score: letters,
            letters,
            axis: Point { x: 1.0, y: 0.0 },
        };
        let first = reading("Letus first", 0.95);
        assert!(reading("Let us first", 0.9).is_better_than(&first));
        assert!(!reading("Letusfirst", 0.99).is_better_than(&first));
        assert!(reading("Let us fist", 0.98).is_better_than(&first));
        assert!(!reading("Let us fist", 0.96).is_better_than(&first));
    }
}
