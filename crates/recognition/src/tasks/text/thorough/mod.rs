//! The setting `thorough`: lines are found in up to three looks ([`looks`]), cut out along their curve
//! ([`cut`]), turned upright ([`direction`]) and read, more than once where the reading is doubtful
//! ([`reading`]); then they are put in reading order ([`order`]).

mod cut;
mod direction;
mod looks;
mod order;
mod reading;
mod region;
mod source;
mod vectors;
mod view;

use super::line::{Line, clipped};
use super::networks::Networks;
use super::rules::TextRules;
use crate::decode::Photo;
use crate::error::RecognitionError;
use crate::geometry::clockwise;
use crate::prepare::Scratch;
use order::{FoundLine, in_order};
use reading::{RepeatedReader, Widths};
use source::Source;

/// Pixels: pictures with a shorter side hold no text.
const SHORTEST: u32 = 8;

pub fn lines(
    photo: &Photo,
    networks: &Networks,
    rules: &TextRules,
    scratch: &mut Scratch,
) -> Result<Vec<Line>, RecognitionError> {
    Ok(lines_and_widths(photo, networks, rules, scratch)?.0)
}

/// The lines, and how much was read for them.
pub fn lines_and_widths(
    photo: &Photo,
    networks: &Networks,
    rules: &TextRules,
    scratch: &mut Scratch,
) -> Result<(Vec<Line>, Widths), RecognitionError> {
    if photo.width.min(photo.height) < SHORTEST {
        return Ok((Vec::new(), Widths::default()));
    }
    let source = Source { photo, border: border_colour(photo), networks, rules };
    let regions = looks::find(&source, scratch)?;
    let axes = direction::of_lines(&source, &regions, scratch)?;
    let mut reader = RepeatedReader::new(&source);
    let mut found = Vec::new();
    for (region, axis) in regions.iter().zip(axes) {
        let Some(reading) = reader.read(region, axis, scratch)? else { continue };
        let least = match region.is_late {
            true => rules.late_score_threshold,
            false => rules.score_threshold.thorough,
        };
        if reading.score >= least && !reading.text.trim().is_empty() {
            let quad = clipped(clockwise(&region.rect.corners()), photo);
            let line = Line { text: reading.text, score: reading.score as f32, quad };
            found.push(FoundLine { line, rect: region.rect, axis: reading.axis });
        }
    }
    Ok((in_order(found), reader.widths))
}

/// The median of the outermost pixels, for each channel.
fn border_colour(photo: &Photo) -> [u8; 3] {
    let (width, height) = (photo.width as usize, photo.height as usize);
    let pixels = photo.rgb.as_chunks::<3>().0;
    let level = pixels[..width].iter().chain(&pixels[width * (height - 1)..]);
    let sides = pixels.chunks_exact(width).flat_map(|row| [&row[0], &row[width - 1]]);
    let outermost: Vec<&[u8; 3]> = level.chain(sides).collect();
    [0, 1, 2].map(|channel| {
        let mut samples: Vec<u8> = outermost.iter().map(|pixel| pixel[channel]).collect();
        samples.sort_unstable();
        let (low, high) = (samples[(samples.len() - 1) / 2], samples[samples.len() / 2]);
        ((f64::from(low) + f64::from(high)) / 2.0).round_ties_even() as u8
    })
}
