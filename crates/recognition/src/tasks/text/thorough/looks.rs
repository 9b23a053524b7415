//! Finding lines in one to three looks at the photo. The first sees all of it at once; a later one is
//! nearer if the print is small, and turned if the lines are.

use std::f64::consts::{FRAC_PI_2, PI};

use super::region::Region;
use super::source::Source;
use super::view::{View, bounded};
use crate::error::RecognitionError;
use crate::prepare::Scratch;

/// Pixels of the first view's long side, but of strips only as far as the short side keeps the second.
const LONG_SIDE: f64 = 960.0;
const SHORT_SIDE: f64 = 48.0;
const MOST_LOOKS: usize = 3;
/// The print is small if a quarter of the lines are below so many pixels of the view's map: after the
/// first look, and after the second. (About 14 pixels of the view; below, fewer are found.)
const SMALL_PRINT: [f64; 2] = [7.5, 7.0];
/// How much nearer the next look is then, and the largest scale.
const NEARER: f64 = 2.0;
const NEAREST: f64 = 2.0;
/// Where nothing was found, but the map is above this somewhere, there may be something; and in a
/// picture whose view is as small as this.
const FAINT: f32 = 0.2;
const SMALL_VIEW: f64 = 320.0;
/// A look of almost the same scale and direction is not worth its time: this ratio, and radians.
const NEW_SCALE: f64 = 1.2;
const NEW_ANGLE: f64 = 5.0 * PI / 180.0;
/// Lines agree in their direction if their sum is this share of their lengths. (Directions are added
/// with the angle doubled: opposite ones are the same.)
const AGREEMENT: f64 = 0.8;
/// The view is turned for lines beyond the first; beyond the second, by a quarter exactly.
const SLANTED: f64 = 20.0 * PI / 180.0;
const UPRIGHT: f64 = 80.0 * PI / 180.0;
/// An earlier line goes if new ones cover this share of it, a new one if earlier ones that stay cover
/// the second; lines that cover each other by the third are the same.
const REPLACED: f64 = 0.3;
const KNOWN: f64 = 0.5;
const SAME: f64 = 0.6;

/// The places of lines, the largest first.
pub fn find(source: &Source, scratch: &mut Scratch) -> Result<Vec<Region>, RecognitionError> {
    let (width, height) = (f64::from(source.photo.width), f64::from(source.photo.height));
    let first = (LONG_SIDE / width.max(height)).max(SHORT_SIDE / width.min(height)).min(1.0);
    let mut scale = bounded(first, source.photo, 0.0);
    let mut angle = 0.0;
    let (mut found, mut highest) = look(source, scale, angle, scratch)?;
    for small_print in &SMALL_PRINT[..MOST_LOOKS - 1] {
        let next_angle = match direction(&found) {
            Some(direction) if direction.abs() > UPRIGHT => FRAC_PI_2,
            Some(direction) if direction.abs() > SLANTED => direction,
            _ => angle,
        };
        let is_small = match lower_quartile(&found) {
            Some(print) => print < *small_print,
            None => highest > FAINT || width.max(height) * scale <= SMALL_VIEW,
        };
        let wanted = if is_small { NEARER * scale } else { scale };
        let next_scale = bounded(wanted.min(NEAREST), source.photo, next_angle);
        if next_scale < NEW_SCALE * scale && between(next_angle, angle) <= NEW_ANGLE {
            break;
        }
        (scale, angle) = (next_scale, next_angle);
        let (again, next_highest) = look(source, scale, angle, scratch)?;
        found = merged(found, again);
        highest = next_highest;
    }
    keep_largest(&mut found, source.rules.max_lines);
    Ok(found)
}

/// What one look finds, and the map's highest value.
fn look(
    source: &Source,
    scale: f64,
    angle: f64,
    scratch: &mut Scratch,
) -> Result<(Vec<Region>, f32), RecognitionError> {
    let view = View::new(source, scale, angle, scratch)?;
    let map = view.map(source, scratch)?;
    let highest = map.values.iter().copied().fold(0.0, f32::max);
    let regions = map.regions_above(source.rules.pixel_threshold as f32);
    let of_pixels = |pixels: Vec<(u32, u32)>| Region::of_pixels(&pixels, &map, &view, source.rules);
    let mut found: Vec<Region> = regions.into_iter().filter_map(of_pixels).collect();
    // Comparing looks takes time with the square of their lines.
    if found.len() > 2 * source.rules.max_lines {
        keep_largest(&mut found, 2 * source.rules.max_lines);
    }
    Ok((found, highest))
}

fn keep_largest(found: &mut Vec<Region>, count: usize) {
    found.sort_by(|a, b| b.area().total_cmp(&a.area()));
    found.truncate(count);
}

/// The lines of a new look and what it has missed.
fn merged(found: Vec<Region>, mut again: Vec<Region>) -> Vec<Region> {
    for region in &mut again {
        let near: Vec<&Region> =
            found.iter().filter(|earlier| region.covered_by([*earlier]) > 0.0).collect();
        region.is_late = region.covered_by(near.iter().copied()) < KNOWN;
        let is_same = |earlier: &&&Region| {
            earlier.covered_by([&*region]) >= SAME && region.covered_by([**earlier]) >= SAME
        };
        let earlier = near.iter().find(is_same).map(|earlier| Box::new((*earlier).clone()));
        region.earlier = earlier;
    }
    let stays = |earlier: &Region| earlier.covered_by(&again) < REPLACED;
    let mut missed = found;
    missed.retain(stays);
    again.retain(|region| region.covered_by(&missed) < KNOWN);
    again.append(&mut missed);
    again
}

/// The angle of the lines, within a quarter turn of level; none if they do not agree.
fn direction(found: &[Region]) -> Option<f64> {
    let (mut x, mut y, mut weight) = (0.0, 0.0, 0.0);
    for Region { rect, .. } in found.iter().filter(|region| region.ratio() >= 2.0) {
        x += rect.width * (rect.axis.x * rect.axis.x - rect.axis.y * rect.axis.y);
        y += rect.width * 2.0 * rect.axis.x * rect.axis.y;
        weight += rect.width;
    }
    (weight > 0.0 && x.hypot(y) >= AGREEMENT * weight).then(|| y.atan2(x) / 2.0)
}

/// The height of print that a quarter of the lines stay below; none without lines.
fn lower_quartile(found: &[Region]) -> Option<f64> {
    let mut prints: Vec<f64> = found.iter().map(|region| region.print).collect();
    prints.sort_by(f64::total_cmp);
    prints.get(prints.len() / 4).copied()
}

/// The angle between two directions whose opposites are the same.
fn between(a: f64, b: f64) -> f64 {
    let difference = a - b;
    (difference - PI * (difference / PI).round_ties_even()).abs()
}
