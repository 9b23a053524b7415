//! Cutting a picture out of a photo along any transform.

use super::{Point, Projection, Quad, sides};
use crate::decode::Photo;

/// What lies outside the photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// The nearest pixel of the photo.
    Nearest,
    /// One colour: red, green, blue.
    Plain([u8; 3]),
}

/// The most pixels that are cut out: a quad may be much larger than the photo.
const MOST_PIXELS: f64 = 16e6;

/// A picture of `width` x `height` pixels. `place` says where in the photo, in indices of pixels,
/// the centre of each of its pixels lies, given by its indices too. Bilinear, with no smoothing where
/// it scales down.
pub fn sample_at_pixels(
    photo: &Photo,
    width: u32,
    height: u32,
    outside: Outside,
    place: impl Fn(Point) -> Point,
) -> Photo {
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for row in 0..height {
        for column in 0..width {
            let at = place(Point { x: f64::from(column), y: f64::from(row) });
            rgb.extend(bilinear(photo, at, outside).map(|sample| sample.round_ties_even() as u8));
        }
    }
    Photo::new(width, height, rgb)
}

fn bilinear(photo: &Photo, at: Point, outside: Outside) -> [f64; 3] {
    let (left, top) = (at.x.floor(), at.y.floor());
    let (right_share, bottom_share) = (at.x - left, at.y - top);
    let mut sum = [0.0; 3];
    for (dx, column_share) in [(0.0, 1.0 - right_share), (1.0, right_share)] {
        for (dy, row_share) in [(0.0, 1.0 - bottom_share), (1.0, bottom_share)] {
            let pixel = pixel(photo, left + dx, top + dy, outside);
            for (total, sample) in sum.iter_mut().zip(pixel) {
                *total += column_share * row_share * f64::from(sample);
            }
        }
    }
    sum
}

fn pixel(photo: &Photo, x: f64, y: f64, outside: Outside) -> [u8; 3] {
    let (last_x, last_y) = (f64::from(photo.width - 1), f64::from(photo.height - 1));
    let inside = (0.0..=last_x).contains(&x) && (0.0..=last_y).contains(&y);
    if let (false, Outside::Plain(colour)) = (inside, outside) {
        return colour;
    }
    let (x, y) = (x.clamp(0.0, last_x) as usize, y.clamp(0.0, last_y) as usize);
    let start = (y * photo.width as usize + x) * 3;
    [photo.rgb[start], photo.rgb[start + 1], photo.rgb[start + 2]]
}

/// The four corners (top left, top right, bottom right, bottom left) as an upright picture, by
/// perspective: as wide and high as the longer of opposite sides. None if they are no convex
/// quadrangle, or a huge one.
pub fn cut_out(photo: &Photo, quad: &[Point; 4]) -> Option<Photo> {
    let (width, height) = sides(quad);
    let (width, height) = (width.floor().max(1.0), height.floor().max(1.0));
    let projection = Projection::of_rectangle(width, height, quad)?;
    if width * height > MOST_PIXELS {
        return None;
    }
    let place = |at: Point| of_pixels(&projection, at);
    Some(sample_at_pixels(photo, width as u32, height as u32, Outside::Nearest, place))
}

/// A projection applied to indices of pixels, which are half a pixel less than their centres.
fn of_pixels(projection: &Projection, at: Point) -> Point {
    let Point { x, y } = projection.apply(Point { x: at.x + 0.5, y: at.y + 0.5 });
    Point { x: x - 0.5, y: y - 0.5 }
}

/// A part of a photo made upright, with samples that are not rounded.
pub struct Patch {
    pub width: u32,
    pub height: u32,
    /// Red, green, blue of each pixel, 0 to 255, row by row.
    pub rgb: Vec<f32>,
}

impl Patch {
    /// The four corners as a picture of that size, by perspective, bilinear. Where the photo is finer
    /// than the picture each pixel is the mean of `fineness` x `fineness` samples. None if the corners
    /// are no convex quadrangle.
    pub fn cut_out(
        photo: &Photo,
        quad: &Quad,
        width: u32,
        height: u32,
        fineness: u32,
    ) -> Option<Patch> {
        let columns = f64::from(width * fineness);
        let projection = Projection::of_rectangle(columns, f64::from(height * fineness), quad)?;
        let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
        let samples = f64::from(fineness * fineness);
        for row in 0..height {
            for column in 0..width {
                let mut sum = [0.0; 3];
                for (dy, dx) in (0..fineness).flat_map(|dy| (0..fineness).map(move |dx| (dy, dx))) {
                    let x = f64::from(column * fineness + dx);
                    let y = f64::from(row * fineness + dy);
                    let at = of_pixels(&projection, Point { x, y });
                    let sample = bilinear(photo, at, Outside::Nearest);
                    sum.iter_mut().zip(sample).for_each(|(sum, sample)| *sum += sample);
                }
                rgb.extend(sum.map(|sum| (sum / samples) as f32));
            }
        }
        Some(Patch { width, height, rgb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_between_their_pixels_and_the_ground_is_outside() {
        let photo = Photo::new(2, 1, vec![100, 0, 0, 200, 0, 0]);
        let shifted = |by: f64, outside| {
            let place = |at: Point| Point { x: at.x + by, y: at.y };
            let picture = sample_at_pixels(&photo, 2, 1, outside, place);
            [picture.rgb[0], picture.rgb[3]]
        };
        let black = Outside::Plain([0; 3]);
        assert_eq!(shifted(0.0, black), [100, 200]);
        assert_eq!(shifted(0.5, black), [150, 100]);
        assert_eq!(shifted(-1.0, black), [0, 100]);
        assert_eq!(shifted(0.5, Outside::Nearest), [150, 200]);
        assert_eq!(shifted(1e300, Outside::Nearest), [200, 200]);
        for wild in [f64::NAN, f64::INFINITY] {
            assert_eq!(shifted(wild, black), [0, 0]);
        }
    }

    #[test]
    fn a_quad_becomes_an_upright_picture() {
        // Rows of 10, 20, 30: turned by a quarter they are columns.
        let greys = [10, 10, 20, 20, 30, 30];
        let photo = Photo::new(2, 3, greys.iter().flat_map(|grey| [*grey; 3]).collect());
        let corner = |x: f64, y: f64| Point { x, y };
        let quad = [corner(0.0, 3.0), corner(0.0, 0.0), corner(2.0, 0.0), corner(2.0, 3.0)];
        let picture = cut_out(&photo, &quad).expect("a quadrangle");
        assert_eq!((picture.width, picture.height), (3, 2));
        let greys: Vec<u8> = picture.rgb.iter().step_by(3).copied().collect();
        assert_eq!(greys, [30, 20, 10, 30, 20, 10]);
        let patch = Patch::cut_out(&photo, &quad, 6, 4, 1).expect("a quadrangle");
        let greys: Vec<f32> = patch.rgb.iter().step_by(3).take(6).copied().collect();
        assert_eq!(greys, [30.0, 27.5, 22.5, 17.5, 12.5, 10.0]);
        let patch = Patch::cut_out(&photo, &quad, 3, 2, 2).expect("a quadrangle");
        let greys: Vec<f32> = patch.rgb.iter().step_by(3).take(3).copied().collect();
        assert_eq!(greys, [28.75, 20.0, 11.25]);
        assert!(cut_out(&photo, &[corner(1.0, 1.0); 4]).is_none());
        assert!(cut_out(&photo, &[corner(f64::NAN, 1.0); 4]).is_none());
    }
}
