//! The photo as one look sees it: scaled, maybe turned, and given to the detector in tiles.

use super::source::Source;
use crate::decode::Photo;
use crate::error::RecognitionError;
use crate::geometry::{Map, Outside, Point, TurnedRect, sample_at_pixels};
use crate::prepare::{Scratch, scaled};

/// Pixels of a tile's side: a longer side of a view is looked at in several.
const TILE: u32 = 960;
/// Pixels that neighbouring tiles have in common at least.
const OVERLAP: u32 = 64;
/// The sides that the detector is run with. Few, as engines prepare themselves for each shape.
const CANVAS_SIDES: [u32; 6] = [160, 320, 480, 640, 736, TILE];
/// The most pixels of a view, and of its side.
const MOST_PIXELS: f64 = 1920.0 * 1920.0;
const LONGEST: f64 = 16.0 * (TILE - OVERLAP) as f64;

pub struct View {
    picture: Photo,
    /// Width and height before it is turned.
    size: (f64, f64),
    /// Of a pixel of the photo.
    scale_x: f64,
    scale_y: f64,
    /// The direction in the photo that is level in the view.
    level: Point,
}

/// The scale, made smaller if the view would be too large. The angle is in radians.
pub fn bounded(scale: f64, photo: &Photo, angle: f64) -> f64 {
    let (width, height) = (f64::from(photo.width), f64::from(photo.height));
    let (cos, sin) = (angle.cos().abs(), angle.sin().abs());
    let (width, height) = (width * cos + height * sin, width * sin + height * cos);
    scale.min((MOST_PIXELS / (width * height)).sqrt()).min(LONGEST / width.max(height))
}

impl View {
    /// The photo scaled, and turned so that lines in the direction of the angle (radians) are level.
    pub fn new(
        source: &Source,
        scale: f64,
        angle: f64,
        scratch: &mut Scratch,
    ) -> Result<View, RecognitionError> {
        let Source { photo, border, .. } = source;
        let side = |side: u32| (f64::from(side) * scale).round_ties_even().max(1.0);
        let size = (side(photo.width), side(photo.height));
        let upright = scaled(photo, size.0 as u32, size.1 as u32, scratch)?;
        let level = Point { x: angle.cos(), y: angle.sin() };
        let picture = match angle == 0.0 {
            true => upright,
            false => turned(&upright, level, *border),
        };
        Ok(View {
            picture,
            size,
            scale_x: size.0 / f64::from(photo.width),
            scale_y: size.1 / f64::from(photo.height),
            level,
        })
    }

    /// Of a pixel of the photo, whichever the direction.
    pub fn scale(&self) -> f64 {
        (self.scale_x * self.scale_y).sqrt()
    }

    /// What a rectangle of the view is in the photo.
    pub fn rect_in_photo(&self, rect: &TurnedRect) -> TurnedRect {
        let Point { x: cos, y: sin } = self.level;
        let x = rect.centre.x - f64::from(self.picture.width) / 2.0;
        let y = rect.centre.y - f64::from(self.picture.height) / 2.0;
        let axis = rect.axis;
        TurnedRect {
            centre: Point {
                x: (cos * x - sin * y + self.size.0 / 2.0) / self.scale_x,
                y: (sin * x + cos * y + self.size.1 / 2.0) / self.scale_y,
            },
            axis: Point { x: cos * axis.x - sin * axis.y, y: sin * axis.x + cos * axis.y },
            width: rect.width / self.scale(),
            height: rect.height / self.scale(),
        }
    }

    /// The probability of text of each pixel. It is the maps of the tiles that are put together, not
    /// what is found in them: no line is cut at a seam.
    pub fn map(&self, source: &Source, scratch: &mut Scratch) -> Result<Map, RecognitionError> {
        let (width, height) = (self.picture.width as usize, self.picture.height as usize);
        let mut map = Map { width, height, values: vec![0.0; width * height] };
        for rows in tiles(self.picture.height) {
            for columns in tiles(self.picture.width) {
                let canvas = Canvas::new(&self.picture, &columns, &rows, source.border);
                let seen = source.networks.map(&canvas.picture, scratch)?;
                let kept = columns.kept_end - columns.kept_start;
                for row in rows.kept_start..rows.kept_end {
                    let canvas_row = (row - rows.start + canvas.top) as usize;
                    let canvas_column = (columns.kept_start - columns.start + canvas.left) as usize;
                    let from = canvas_row * seen.width + canvas_column;
                    let to = row as usize * width + columns.kept_start as usize;
                    map.values[to..to + kept as usize]
                        .copy_from_slice(&seen.values[from..from + kept as usize]);
                }
            }
        }
        Ok(map)
    }
}

/// The picture turned about its centre, all of it.
fn turned(picture: &Photo, level: Point, border: [u8; 3]) -> Photo {
    let Point { x: cos, y: sin } = level;
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    // A quarter turn must not gain a pixel by rounding.
    let side = |a: f64, b: f64| (a * cos.abs() + b * sin.abs() - 1e-6).ceil().max(1.0);
    let (turned_width, turned_height) = (side(width, height), side(height, width));
    let place = |at: Point| {
        let (u, v) = (at.x + 0.5 - turned_width / 2.0, at.y + 0.5 - turned_height / 2.0);
        Point {
            x: cos * u - sin * v + width / 2.0 - 0.5,
            y: sin * u + cos * v + height / 2.0 - 0.5,
        }
    };
    let outside = Outside::Plain(border);
    sample_at_pixels(picture, turned_width as u32, turned_height as u32, outside, place)
}

/// Where a tile lies along one side of the view, and which part of its map is kept: up to the middle
/// of what it has in common with its neighbours.
struct Tile {
    start: u32,
    end: u32,
    kept_start: u32,
    kept_end: u32,
}

fn tiles(side: u32) -> Vec<Tile> {
    if side <= TILE {
        return vec![Tile { start: 0, end: side, kept_start: 0, kept_end: side }];
    }
    let count = (side - OVERLAP).div_ceil(TILE - OVERLAP);
    let step = f64::from(side - TILE) / f64::from(count - 1);
    let start = |index: u32| (f64::from(index) * step).round_ties_even() as u32;
    let seam = |index: u32| (start(index) + start(index - 1) + TILE) / 2;
    let tile = |index: u32| Tile {
        start: start(index),
        end: start(index) + TILE,
        kept_start: if index == 0 { 0 } else { seam(index) },
        kept_end: if index + 1 == count { side } else { seam(index + 1) },
    };
    (0..count).map(tile).collect()
}

/// A tile in the middle of a picture of one of the detector's sizes.
struct Canvas {
    picture: Photo,
    left: u32,
    top: u32,
}

impl Canvas {
    fn new(view: &Photo, columns: &Tile, rows: &Tile, border: [u8; 3]) -> Canvas {
        let side = |tile: &Tile| {
            let wanted = tile.end - tile.start;
            CANVAS_SIDES.into_iter().find(|side| *side >= wanted).unwrap_or(wanted)
        };
        let (width, height) = (side(columns), side(rows));
        let left = (width - (columns.end - columns.start)) / 2;
        let top = (height - (rows.end - rows.start)) / 2;
        let mut rgb = border.repeat(width as usize * height as usize);
        let view_rows = view.rgb.chunks_exact(view.width as usize * 3);
        let view_rows = view_rows.skip(rows.start as usize).take((rows.end - rows.start) as usize);
        let canvas_rows = rgb.chunks_exact_mut(width as usize * 3).skip(top as usize);
        let bytes = columns.start as usize * 3..columns.end as usize * 3;
        for (canvas_row, view_row) in canvas_rows.zip(view_rows) {
            let start = left as usize * 3;
            canvas_row[start..start + bytes.len()].copy_from_slice(&view_row[bytes.clone()]);
        }
        Canvas { picture: Photo::new(width, height, rgb), left, top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_a_side_without_gaps_and_lie_in_it() {
        for side in [1, 8, 959, 960, 961, 1000, 1856, 1857, 5000, 14336] {
            let tiles = tiles(side);
            let mut end = 0;
            for tile in &tiles {
                assert_eq!(tile.kept_start, end, "{side}");
                assert!(tile.start <= tile.kept_start && tile.kept_end <= tile.end, "{side}");
                assert!(tile.end <= side && tile.end - tile.start <= TILE, "{side}");
                end = tile.kept_end;
            }
            assert_eq!(end, side);
            let overlaps = tiles.windows(2).map(|pair| pair[0].end - pair[1].start);
            assert!(overlaps.min().is_none_or(|least| least >= OVERLAP - 1), "{side}");
        }
    }

    #[test]
    fn views_of_any_photo_are_bounded() {
        for (width, height) in [(8, 200_000), (20_000, 20_000), (8, 8), (7000, 7000)] {
            let photo = Photo::new(width, height, Vec::new());
            for angle in [0.0, 0.6, std::f64::consts::FRAC_PI_2] {
                let scale = bounded(2.0, &photo, angle);
                let (width, height) = (f64::from(width) * scale, f64::from(height) * scale);
                let side = width.max(height);
                assert!(width * height <= MOST_PIXELS * 1.001 && side <= LONGEST * 1.001);
            }
        }
    }

    #[test]
    fn what_is_level_in_a_turned_view_has_the_direction_in_the_photo() {
        // A white photo with a black dot: where the view shows it, there it is in the photo.
        let mut rgb = vec![255; 60 * 40 * 3];
        rgb[(12 * 60 + 45) * 3..][..3].fill(0);
        let upright = Photo::new(60, 40, rgb);
        let level = Point { x: 0.8, y: 0.6 };
        let picture = turned(&upright, level, [255; 3]);
        let darkest = (0..picture.rgb.len() / 3).min_by_key(|index| picture.rgb[index * 3]);
        let (width, index) = (picture.width as usize, darkest.expect("pixels"));
        let centre = Point { x: (index % width) as f64 + 0.5, y: (index / width) as f64 + 0.5 };
        let view = View { picture, size: (60.0, 40.0), scale_x: 1.0, scale_y: 1.0, level };
        let along = Point { x: 1.0, y: 0.0 };
        let dot = TurnedRect { centre, axis: along, width: 1.0, height: 1.0 };
        let found = view.rect_in_photo(&dot);
        assert!((found.centre.x - 45.5).hypot(found.centre.y - 12.5) < 1.0, "{found:?}");
        assert_eq!(found.axis, level);
    }
}
