//! What one plate says: a quick first look decides most; the others are looked at from all sides.

use super::choosing::{Choice, Judge, LENGTHS};
use super::crops::{FLAT, FURTHER, LINE_STRETCH, PlateReader};
use super::detector::PlateDetection;
use super::formats::Likeness;
use super::line::{LineFinder, ONE_ROW, TWO_ROWS, main_line};
use super::rows::Rows;
use crate::ctc::Probabilities;
use crate::error::RecognitionError;
use crate::geometry::{Quad, part, sides};
use crate::prepare::Scratch;

/// A detection that scores less is a plate only if it reads like one.
pub const WEAK_DETECTION: f64 = 0.15;
/// The probability that its first look then must have, and its evidence in the end.
pub const WEAK_EVIDENCE: f64 = 0.2;
/// Two equal readings of this mean probability need no further look.
const SURE: f64 = 0.7;
/// Plates that are less than so many heights wide may have a second row outside of what was found. (One
/// row of a plate in two is about twice as wide for its height as the plate, which is 1.3 to 1.6.)
const MAYBE_TWO_ROWS: f64 = 3.3;
/// What a reading in two rows counts against one in one row.
const TWO_ROWS_WEIGHT: f64 = 0.5;
/// With this mean probability it is taken if it contains the other.
const TWO_ROWS_SURE: f64 = 0.3;

/// A plate's number, and the looks that it was chosen from.
pub struct PlateReading {
    pub choice: Choice,
    pub looks: Vec<Probabilities>,
    /// The corners, where they are not those of the detection.
    pub corners: Option<Quad>,
}

/// What has been seen of a plate.
#[derive(Default)]
struct Seen {
    looks: Vec<Probabilities>,
    /// Two rows of one of its detections.
    rows: Option<(Quad, Rows)>,
}

/// A plate to be read: what was found of it, best first, at least one.
pub struct Plate<'a> {
    pub detections: &'a [PlateDetection],
    pub reader: PlateReader<'a>,
    pub finder: &'a LineFinder,
}

impl Plate<'_> {
    /// None if nothing is to be read there.
    pub fn read(&self, scratch: &mut Scratch) -> Result<Option<PlateReading>, RecognitionError> {
        let Some((first, others)) = self.detections.split_first() else { return Ok(None) };
        let judge = self.reader.judge;
        let mut seen = Seen::default();
        seen.looks.extend(self.reader.look_at(&first.corners, &FLAT, scratch)?);
        if first.score < WEAK_DETECTION && !self.is_worth_it(&seen.looks) {
            return Ok(None);
        }
        self.look_at_line(&first.corners, &mut seen, scratch)?;
        let mut one_row = judge.choose(&seen.looks);
        if seen.rows.is_some() || !self.is_sure(one_row.as_ref(), &seen.looks) {
            self.look_further(&first.corners, &mut seen, scratch)?;
            for other in others {
                seen.looks.extend(self.reader.look_at(&other.corners, &FLAT, scratch)?);
                self.look_at_line(&other.corners, &mut seen, scratch)?;
                self.look_further(&other.corners, &mut seen, scratch)?;
            }
            one_row = judge.choose(&seen.looks);
        }
        let is_named = |choice: &Choice| judge.formats.likeness(&choice.text) == Likeness::Named;
        let (width, height) = sides(&first.corners);
        if width < MAYBE_TWO_ROWS * height && !one_row.as_ref().is_some_and(is_named) {
            let lines = self.finder.lines(self.reader.photo, &first.corners, TWO_ROWS, scratch)?;
            let rows = Rows::among(&lines).map(|rows| (first.corners, rows));
            seen.rows = rows.or(seen.rows);
        }
        if let Some((quad, rows)) = seen.rows {
            let looks = rows.looks(&quad, &self.reader, scratch)?;
            if let Some(choice) = judge.choose(&looks)
                && are_two_rows(judge, &choice, one_row.as_ref())
            {
                return Ok(Some(PlateReading { choice, looks, corners: rows.corners(&quad) }));
            }
        }
        Ok(one_row.map(|choice| PlateReading { choice, looks: seen.looks, corners: None }))
    }

    /// Whether the first look at a weak detection reads like a plate.
    fn is_worth_it(&self, looks: &[Probabilities]) -> bool {
        let judge = self.reader.judge;
        looks.first().is_some_and(|look| {
            let text = judge.alphabet.read(look);
            LENGTHS.contains(&text.len())
                && judge.is_named_or_near(&text)
                && judge.alphabet.probability(look, &text) >= WEAK_EVIDENCE
        })
    }

    /// Whether both of two looks read the same, and surely.
    fn is_sure(&self, choice: Option<&Choice>, looks: &[Probabilities]) -> bool {
        choice.is_some_and(|choice| {
            looks.len() == 2
                && choice.votes == 2
                && choice.mean >= SURE
                && self.reader.judge.formats.likeness(&choice.text) != Likeness::None
        })
    }

    /// A look at the line of text that is the number; and whether there are two.
    fn look_at_line(
        &self,
        corners: &Quad,
        seen: &mut Seen,
        scratch: &mut Scratch,
    ) -> Result<(), RecognitionError> {
        let lines = self.finder.lines(self.reader.photo, corners, ONE_ROW, scratch)?;
        if seen.rows.is_none() {
            seen.rows = Rows::among(&lines).map(|rows| (*corners, rows));
        }
        if let Some(quad) = main_line(&lines).and_then(|line| part(corners, &line)) {
            seen.looks.extend(self.reader.look(&quad, LINE_STRETCH, scratch)?);
        }
        Ok(())
    }

    fn look_further(
        &self,
        corners: &Quad,
        seen: &mut Seen,
        scratch: &mut Scratch,
    ) -> Result<(), RecognitionError> {
        for crop in FURTHER {
            seen.looks.extend(self.reader.look_at(corners, &crop, scratch)?);
        }
        Ok(())
    }
}

/// Whether a reading in two rows counts more than that in one.
fn are_two_rows(judge: &Judge, two: &Choice, one: Option<&Choice>) -> bool {
    if judge.formats.likeness(&two.text) == Likeness::None {
        return false;
    }
    let weight = |choice: &Choice| judge.prior(&choice.text) * choice.evidence;
    one.is_none_or(|one| {
        let contains_one = two.text.windows(one.text.len()).any(|part| part == one.text);
        TWO_ROWS_WEIGHT * weight(two) > weight(one) || two.mean >= TWO_ROWS_SURE && contains_one
    })
}
