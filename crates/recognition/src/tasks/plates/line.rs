//! The lines of text within a plate, found by a text detector on a patch around it: they mend corners
//! that cut an end off, and leave out names of states and slogans.

use crate::decode::Photo;
use crate::engine::Output;
use crate::error::RecognitionError;
use crate::geometry::{Map, Patch, Quad, Rect, grown, sides};
use crate::network::Network;
use crate::prepare::{Scratch, prepare_patch};

/// Height of the plate in its patch, in pixels.
const PLATE_HEIGHT: f64 = 64.0;
/// The patch's width, in widths of the plate.
const WIDE: f64 = 1.5;
/// The detector takes sides of multiples of this.
const STEP: f64 = 32.0;
const NARROWEST: f64 = 64.0;
const WIDEST: f64 = 640.0;
/// Widths are padded to a multiple of this, so that the detector is run with few shapes.
const PADDED_STEP: u32 = 160;
/// PP-OCR's rules: what of its map is text, how surely a region is a line, how much larger than the
/// region the line is.
const TEXT: f32 = 0.3;
const SURE: f32 = 0.5;
const UNCLIP: f64 = 1.6;
/// Pixels: regions that are lower or narrower are no text.
const LEAST_SIDE: f64 = 5.0;

/// The patch's height in heights of the plate: enough for one row.
pub const ONE_ROW: f64 = 1.5;
/// The same where the plate found may be one row of two.
pub const TWO_ROWS: f64 = 2.5;

/// Finds lines with a network of PP-OCR's kind.
pub struct LineFinder {
    pub network: Network,
}

impl LineFinder {
    /// The lines in a plate's surroundings, as boxes in its own coordinates: (0, 0) is its top left
    /// corner, (1, 1) its bottom right one. `tall` is the patch's height in heights of the plate.
    pub fn lines(
        &self,
        photo: &Photo,
        plate: &Quad,
        tall: f64,
        scratch: &mut Scratch,
    ) -> Result<Vec<Rect>, RecognitionError> {
        let (width, height) = sides(plate);
        let multiple = |pixels: f64| (pixels / STEP).ceil() * STEP;
        let rows = multiple(PLATE_HEIGHT * tall);
        let columns = multiple(PLATE_HEIGHT * width / height.max(1e-6) * WIDE);
        let columns = columns.clamp(NARROWEST, WIDEST);
        let surroundings = grown(plate, WIDE, tall);
        let patch = surroundings
            .and_then(|quad| Patch::cut_out(photo, &quad, columns as u32, rows as u32, 1));
        let Some(patch) = patch else { return Ok(Vec::new()) };
        let map = self.run(&patch, scratch)?;
        let boxes = text_boxes(&map);
        let in_plate = |place: Rect| Rect {
            left: 0.5 + (place.left / columns - 0.5) * WIDE,
            top: 0.5 + (place.top / rows - 0.5) * tall,
            right: 0.5 + (place.right / columns - 0.5) * WIDE,
            bottom: 0.5 + (place.bottom / rows - 0.5) * tall,
        };
        Ok(joined(boxes.into_iter().map(in_plate).collect()))
    }

    /// How surely each pixel of the patch is text.
    fn run(&self, patch: &Patch, scratch: &mut Scratch) -> Result<Map, RecognitionError> {
        let padded = patch.width.next_multiple_of(PADDED_STEP);
        prepare_patch(patch, padded, &self.network.input, scratch);
        let (columns, rows) = (padded as usize, patch.height as usize);
        let outputs = self.network.run_prepared(&[1, 3, rows, columns], scratch)?;
        let Some(Output { shape, values }) = outputs.into_iter().next() else {
            return Err(RecognitionError::Failed("the line finder has no output".to_owned()));
        };
        if shape != [1, 1, rows, columns] {
            return Err(RecognitionError::Failed(format!(
                "the line finder's output has the shape {shape:?} for an input of {columns}x{rows}"
            )));
        }
        let width = patch.width as usize;
        let values = values.chunks_exact(columns).flat_map(|row| &row[..width]).copied().collect();
        Ok(Map { width, height: rows, values })
    }

    /// Runs the network once.
    pub fn try_out(&self, scratch: &mut Scratch) -> Result<(), RecognitionError> {
        let (width, height) = (self.network.input.width, self.network.input.height);
        let rgb = vec![127.0; width as usize * height as usize * 3];
        self.run(&Patch { width, height, rgb }, scratch).map(drop)
    }
}

/// The boxes of the text in a map, in its pixels. (The patch is upright: boxes are, too.)
fn text_boxes(map: &Map) -> Vec<Rect> {
    let boxes = map.regions_above(TEXT).into_iter().filter_map(|region| {
        let value = |(x, y): &(u32, u32)| map.values[*y as usize * map.width + *x as usize];
        let mean = region.iter().map(value).sum::<f32>() / region.len() as f32;
        let columns = region.iter().map(|(x, _)| *x);
        let rows = region.iter().map(|(_, y)| *y);
        let place = Rect {
            left: f64::from(columns.clone().min()?),
            top: f64::from(rows.clone().min()?),
            right: f64::from(columns.max()? + 1),
            bottom: f64::from(rows.max()? + 1),
        };
        let (width, height) = (place.width(), place.height());
        let grow = UNCLIP * width * height / (2.0 * (width + height));
        let grown = Rect {
            left: place.left - grow,
            top: place.top - grow,
            right: place.right + grow,
            bottom: place.bottom + grow,
        };
        (width.min(height) >= LEAST_SIDE && mean >= SURE).then_some(grown)
    });
    boxes.collect()
}

/// Boxes side by side are one line: a gap in the number splits it. The tallest first.
fn joined(mut boxes: Vec<Rect>) -> Vec<Rect> {
    const SHARE: f64 = 0.6;
    boxes.sort_by(|a, b| b.height().total_cmp(&a.height()));
    let mut lines: Vec<Rect> = Vec::new();
    for one in boxes {
        let continues = |line: &&mut Rect| {
            let common = line.bottom.min(one.bottom) - line.top.max(one.top);
            common > SHARE * one.height() && one.height() > SHARE * line.height()
        };
        match lines.iter_mut().find(continues) {
            Some(line) => {
                line.left = line.left.min(one.left);
                line.top = line.top.min(one.top);
                line.right = line.right.max(one.right);
                line.bottom = line.bottom.max(one.bottom);
            }
            None => lines.push(one),
        }
    }
    lines
}

/// The line that is the plate's number: the tallest, flat ones counting less, that crosses the middle.
pub fn main_line(lines: &[Rect]) -> Option<Rect> {
    const MIDDLE: std::ops::Range<f64> = 0.35..0.65;
    /// Of width and height in the plate's coordinates, in which a plate is as high as wide.
    const FLAT: f64 = 6.0;
    let crossing = lines.iter().filter(|line| line.top < MIDDLE.end && line.bottom > MIDDLE.start);
    let weight = |line: &&Rect| line.height() * (line.width() / line.height() / FLAT).min(1.0);
    super::choosing::first_best(crossing, weight).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(left: f64, top: f64, right: f64, bottom: f64) -> Rect {
        Rect { left, top, right, bottom }
    }

    #[test]
    fn a_gap_does_not_split_a_number() {
        let slogan = line(0.1, 0.75, 0.9, 0.95);
        let boxes = vec![line(0.0, 0.2, 0.4, 0.7), slogan, line(0.5, 0.22, 1.0, 0.68)];
        assert_eq!(joined(boxes), [line(0.0, 0.2, 1.0, 0.7), slogan]);
    }

    #[test]
    fn the_number_crosses_the_middle_and_is_tall() {
        let number = line(0.0, 0.2, 1.0, 0.7);
        let state = line(0.2, -0.3, 0.8, 0.3);
        let sticker = line(0.9, 0.1, 1.0, 0.9);
        assert_eq!(main_line(&[state, sticker, number]), Some(number));
        assert_eq!(main_line(&[state]), None);
    }

    #[test]
    fn regions_of_text_become_larger_boxes() {
        let mut map = Map { width: 40, height: 20, values: vec![0.0; 800] };
        for y in 5..11 {
            for x in 10..30 {
                map.values[y * 40 + x] = 0.9;
            }
        }
        // Too small, and not sure enough.
        map.values[0] = 0.9;
        for y in 13..20 {
            map.values[y * 40 + 30..y * 40 + 38].fill(0.4);
        }
        let grow = 1.6 * 20.0 * 6.0 / 52.0;
        let wanted = line(10.0 - grow, 5.0 - grow, 30.0 + grow, 11.0 + grow);
        assert_eq!(text_boxes(&map), [wanted]);
    }
}
