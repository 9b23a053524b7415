//! Plates in two rows.

use super::choosing::first_best;
use super::crops::{LINE_STRETCH, PlateReader};
use crate::ctc::Probabilities;
use crate::error::RecognitionError;
use crate::geometry::{Quad, Rect, grown, part};
use crate::prepare::Scratch;

/// Heights of the rows that are read, in their own.
const HEIGHTS: [f64; 2] = [1.0, 1.15];

/// Two rows of one plate, in its own coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rows {
    pub upper: Rect,
    pub lower: Rect,
}

impl Rows {
    /// The largest pair of lines that lie as two rows of a plate do.
    pub fn among(lines: &[Rect]) -> Option<Rows> {
        let with_lower = |upper: &Rect| {
            lines.iter().map(|lower| Rows { upper: *upper, lower: *lower }).collect()
        };
        let pairs = lines.iter().flat_map(|upper| -> Vec<Rows> { with_lower(upper) });
        first_best(pairs.filter(Rows::are_stacked), |rows| {
            rows.upper.height() + rows.lower.height()
        })
    }

    fn are_stacked(&self) -> bool {
        let Rows { upper, lower } = self;
        let low = upper.height().min(lower.height());
        let high = upper.height().max(lower.height());
        let narrow = upper.width().min(lower.width());
        let wide = upper.width().max(lower.width());
        let common_width = upper.right.min(lower.right) - upper.left.max(lower.left);
        upper.top < lower.top
            && upper.bottom - lower.top < 0.3 * low
            && lower.top - upper.bottom < 0.7 * low
            && low >= 0.5 * high
            && narrow >= 0.3 * wide
            && common_width >= 0.5 * narrow
            && upper.top < 0.5
            && lower.bottom > 0.5
    }

    /// Looks at the two rows of a plate, one read after the other.
    pub fn looks(
        &self,
        plate: &Quad,
        reader: &PlateReader,
        scratch: &mut Scratch,
    ) -> Result<Vec<Probabilities>, RecognitionError> {
        let mut looks = Vec::new();
        for height in HEIGHTS {
            let mut row =
                |row: &Rect| match part(plate, row).and_then(|quad| grown(&quad, 1.0, height)) {
                    Some(quad) => reader.look(&quad, LINE_STRETCH, scratch),
                    None => Ok(None),
                };
            if let (Some(upper), Some(lower)) = (row(&self.upper)?, row(&self.lower)?) {
                looks.push(upper.followed_by(&lower));
            }
        }
        Ok(looks)
    }

    /// The corners of a plate and its rows together.
    pub fn corners(&self, plate: &Quad) -> Option<Quad> {
        let Rows { upper, lower } = self;
        let all = Rect {
            left: upper.left.min(lower.left).min(0.0),
            top: upper.top.min(lower.top).min(0.0),
            right: upper.right.max(lower.right).max(1.0),
            bottom: upper.bottom.max(lower.bottom).max(1.0),
        };
        part(plate, &all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(left: f64, top: f64, right: f64, bottom: f64) -> Rect {
        Rect { left, top, right, bottom }
    }

    #[test]
    fn rows_lie_one_above_the_other() {
        let upper = line(0.2, 0.05, 0.8, 0.4);
        let lower = line(0.0, 0.45, 1.0, 0.95);
        let rows = Rows { upper, lower };
        assert_eq!(Rows::among(&[lower, upper]), Some(rows));
        let far = line(0.0, 0.9, 1.0, 1.4);
        let beside = line(0.85, 0.45, 1.6, 0.95);
        let small = line(0.0, 0.45, 1.0, 0.55);
        for other in [far, beside, small, upper] {
            assert_eq!(Rows::among(&[upper, other]), None, "{other:?}");
        }
        // Of several pairs the largest.
        let taller = line(0.2, -0.1, 0.8, 0.4);
        let pair = Rows { upper: taller, lower };
        assert_eq!(Rows::among(&[upper, taller, lower]), Some(pair));
    }
}
