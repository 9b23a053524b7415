//! The setting `quick`: one look at the whole picture, at most 960 pixels long.

use super::line::{Line, clipped};
use super::networks::Networks;
use super::rows::rows;
use super::rules::TextRules;
use crate::decode::Photo;
use crate::error::RecognitionError;
use crate::geometry::{
    Map, Outside, Point, Quad, TurnedRect, clockwise, cut_out, distance, sample_at_pixels,
};
use crate::prepare::{Scratch, scaled};
use crate::reading::mean_score;

/// Pixels: longer pictures are scaled down.
const LONGEST: f64 = 960.0;
/// The detector takes sides that are multiples of this.
const STEP: f64 = 32.0;
/// Pixels of the map: rectangles thinner than this are dirt.
const THINNEST: f64 = 3.0;
/// The same, grown.
const THINNEST_GROWN: f64 = 5.0;
/// A line that is so many times as high as wide is read from below.
const UPRIGHT: f64 = 1.5;
/// As sure as this the line must seem to stand on its head to be turned.
const TURNED: f64 = 0.9;

pub fn lines(
    photo: &Photo,
    networks: &Networks,
    rules: &TextRules,
    scratch: &mut Scratch,
) -> Result<Vec<Line>, RecognitionError> {
    let mut lines = Vec::new();
    for quad in in_order(find(photo, networks, rules, scratch)?) {
        let Some(picture) = cut_out(photo, &quad) else { continue };
        let picture = upright(picture, networks, scratch)?;
        let steps = networks.reader.read(&picture, scratch)?;
        let characters = networks.reader.characters(&steps);
        let score = mean_score(&characters);
        if !characters.is_empty() && score >= rules.score_threshold.quick {
            let text = characters.iter().map(|character| character.text).collect();
            lines.push(Line { text, score: score as f32, quad });
        }
    }
    Ok(lines)
}

/// Where lines are, the largest if there are too many.
fn find(
    photo: &Photo,
    networks: &Networks,
    rules: &TextRules,
    scratch: &mut Scratch,
) -> Result<Vec<Quad>, RecognitionError> {
    let (width, height) = (f64::from(photo.width), f64::from(photo.height));
    let scale = (LONGEST / width.max(height)).min(1.0);
    let side = |side: f64| ((side * scale / STEP + 0.5).floor() * STEP).max(STEP);
    let picture = scaled(photo, side(width) as u32, side(height) as u32, scratch)?;
    let (scale_x, scale_y) = (width / f64::from(picture.width), height / f64::from(picture.height));
    let map = networks.map(&picture, scratch)?;
    let mut found = rectangles(&map, rules);
    if found.len() > rules.max_lines {
        found.sort_by(|a, b| (b.width * b.height).total_cmp(&(a.width * a.height)));
        found.truncate(rules.max_lines);
    }
    let in_photo = |point: Point| Point { x: point.x * scale_x, y: point.y * scale_y };
    let quads = found.iter().map(|rect| clockwise(&rect.corners().map(in_photo)));
    Ok(quads.map(|quad| clipped(quad, photo)).collect())
}

/// The rectangles of the map's regions, grown.
fn rectangles(map: &Map, rules: &TextRules) -> Vec<TurnedRect> {
    let of_region = |pixels: Vec<(u32, u32)>| {
        let rect = TurnedRect::around_pixels(&pixels)?;
        let thickness = rect.width.min(rect.height);
        if thickness < THINNEST || mean_inside(map, &rect) < rules.box_threshold.quick {
            return None;
        }
        let growth = rules.unclip * rect.width * rect.height / (rect.width + rect.height);
        (thickness + growth >= THINNEST_GROWN).then(|| rect.grown(growth))
    };
    map.regions_above(rules.pixel_threshold as f32).into_iter().filter_map(of_region).collect()
}

/// The mean of the map's pixels whose centres lie in the rectangle.
fn mean_inside(map: &Map, rect: &TurnedRect) -> f64 {
    let corners = rect.corners();
    let span = |coordinate: fn(&Point) -> f64, side: usize| {
        let least = corners.iter().map(coordinate).fold(f64::INFINITY, f64::min);
        let most = corners.iter().map(coordinate).fold(0.0, f64::max);
        least.floor().max(0.0) as usize..(most.ceil() as usize + 1).min(side)
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for row in span(|corner| corner.y, map.height) {
        for column in span(|corner| corner.x, map.width) {
            if rect.contains(Point { x: column as f64 + 0.5, y: row as f64 + 0.5 }) {
                sum += f64::from(map.values[row * map.width + column]);
                count += 1.0;
            }
        }
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Rows from top to bottom, each from the left.
fn in_order(quads: Vec<Quad>) -> Vec<Quad> {
    let place = |quad: &Quad| {
        let [top_left, top_right, bottom_right, bottom_left] = *quad;
        let middle = quad.iter().map(|corner| corner.y).sum::<f64>() / 4.0;
        let sides = distance(top_left, bottom_left) + distance(top_right, bottom_right);
        (middle, sides / 2.0)
    };
    let left = |quad: &Quad| quad.iter().map(|corner| corner.x).fold(f64::INFINITY, f64::min);
    let mut rows = rows(quads, place);
    for row in &mut rows {
        row.sort_by(|a, b| left(a).total_cmp(&left(b)));
    }
    rows.concat()
}

/// The line as it is to be read: an upright one is turned counterclockwise, and one that stands on its
/// head the right way.
fn upright(
    line: Photo,
    networks: &Networks,
    scratch: &mut Scratch,
) -> Result<Photo, RecognitionError> {
    let is_upright = f64::from(line.height) >= UPRIGHT * f64::from(line.width);
    let line = if is_upright { quarter_turn(&line) } else { line };
    let is_turned = networks.turned(&line, scratch)? > TURNED;
    Ok(if is_turned { quarter_turn(&quarter_turn(&line)) } else { line })
}

/// Counterclockwise.
fn quarter_turn(picture: &Photo) -> Photo {
    let last = f64::from(picture.width - 1);
    let place = |at: Point| Point { x: last - at.y, y: at.x };
    sample_at_pixels(picture, picture.height, picture.width, Outside::Nearest, place)
}
