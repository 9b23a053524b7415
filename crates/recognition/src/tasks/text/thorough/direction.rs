//! Which way each line is read.

use super::cut::{columns, cut};
use super::region::Region;
use super::source::Source;
use super::vectors::{down_of, opposite};
use crate::decode::Photo;
use crate::error::RecognitionError;
use crate::geometry::Point;
use crate::prepare::Scratch;

/// A line so many times as wide as high is nearly square.
const SQUARE: f64 = 1.5;
/// Cosine: lines nearer to upright than 10° are read downwards, as a book's spine is.
const UPRIGHT: f64 = 0.173_648_177_666_930_36;
/// Cosine: lines that are nearer to level than to upright, about.
const LEVEL: f64 = 0.7;
/// As sure as this the network must be of a line to go against the others.
const SURE: f64 = 0.9;
/// The network sees lines squeezed to 4:1. Of one that is so many times as wide as high it sees pieces.
const LONG: f64 = 5.0;
const PIECE: f64 = 4.0;
const MOST_PIECES: u32 = 3;

/// The direction in which each line is to be read. The network errs on single lines: those that are
/// about level vote, by their lengths, whether they stand on their heads, and so do the others.
pub fn of_lines(
    source: &Source,
    regions: &[Region],
    scratch: &mut Scratch,
) -> Result<Vec<Point>, RecognitionError> {
    let mut heads = Vec::new();
    let (mut level_votes, mut upright_votes) = (0.0, 0.0);
    for region in regions {
        let axis = base_axis(region);
        let turned = turned(source, &cut(source, region, axis), scratch)?;
        let votes = if is_level(axis) { &mut level_votes } else { &mut upright_votes };
        *votes += region.rect.width * (turned - 0.5);
        heads.push((axis, turned));
    }
    let direction = |(axis, turned): (Point, f64)| {
        let vote = if is_level(axis) { level_votes } else { upright_votes };
        let stands_on_its_head = if vote > 0.0 { turned >= 1.0 - SURE } else { turned > SURE };
        if stands_on_its_head { opposite(axis) } else { axis }
    };
    Ok(heads.into_iter().map(direction).collect())
}

pub fn is_level(axis: Point) -> bool {
    axis.x.abs() >= LEVEL
}

/// Along the line, to the right.
fn base_axis(region: &Region) -> Point {
    let mut axis = region.rect.axis;
    if region.ratio() < SQUARE && axis.x.abs() < axis.y.abs() {
        axis = down_of(axis);
    }
    let is_leftwards = axis.x < -1e-9 || (axis.x <= 1e-9 && axis.y < 0.0);
    if is_leftwards {
        axis = opposite(axis);
    }
    let is_upwards = axis.x.abs() < UPRIGHT && axis.y < 0.0;
    if is_upwards { opposite(axis) } else { axis }
}

/// How likely it is that the line stands on its head.
fn turned(source: &Source, line: &Photo, scratch: &mut Scratch) -> Result<f64, RecognitionError> {
    let (width, height) = (f64::from(line.width), f64::from(line.height));
    if width <= LONG * height {
        return source.networks.turned(line, scratch);
    }
    let piece = PIECE * height;
    let count = (width / piece).ceil().min(MOST_PIECES.into());
    let mut sum = 0.0;
    for index in 0..count as u32 {
        let start = f64::from(index) * (width - piece) / (count - 1.0);
        let start = start.round_ties_even() as u32;
        let end = (start + piece as u32).min(line.width);
        sum += source.networks.turned(&columns(line, start, end), scratch)?;
    }
    Ok(sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_run_to_the_right_and_spines_downwards() {
        let axis_of = |degrees: f64, width: f64| {
            let axis = Point { x: degrees.to_radians().cos(), y: degrees.to_radians().sin() };
            let axis = base_axis(&Region::plain(axis, width, 10.0));
            axis.y.atan2(axis.x).to_degrees().round()
        };
        for (degrees, wanted) in [(0.0, 0.0), (180.0, 0.0), (-30.0, -30.0), (150.0, -30.0)] {
            assert_eq!(axis_of(degrees, 100.0), wanted);
        }
        for degrees in [90.0, -90.0] {
            assert_eq!(axis_of(degrees, 100.0), 90.0);
            assert_eq!(axis_of(degrees, 12.0), 0.0);
        }
        assert_eq!(axis_of(-85.0, 100.0), 95.0);
        assert_eq!(axis_of(-75.0, 100.0), -75.0);
    }
}
