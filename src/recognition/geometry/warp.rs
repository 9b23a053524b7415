//! Cutting a picture out of a photo along any transform.

use super::Point;
use crate::recognition::decode::Photo;

/// A picture of `width` x `height` pixels. `place` says where in the photo, in indices of pixels,
/// the centre of each of its pixels lies, given by its indices too. Bilinear, black outside: no
/// smoothing where it scales down.
pub fn sample_at_pixels(
    photo: &Photo,
    width: u32,
    height: u32,
    place: impl Fn(Point) -> Point,
) -> Photo {
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for row in 0..height {
        for column in 0..width {
            let at = place(Point { x: f64::from(column), y: f64::from(row) });
            rgb.extend(bilinear(photo, at).map(|sample| sample.round() as u8));
        }
    }
    Photo { width, height, rgb }
}

fn bilinear(photo: &Photo, at: Point) -> [f64; 3] {
    let (left, top) = (at.x.floor(), at.y.floor());
    let (right_share, bottom_share) = (at.x - left, at.y - top);
    let mut sum = [0.0; 3];
    for (dx, column_share) in [(0.0, 1.0 - right_share), (1.0, right_share)] {
        for (dy, row_share) in [(0.0, 1.0 - bottom_share), (1.0, bottom_share)] {
            let (x, y) = (left + dx, top + dy);
            let inside = x >= 0.0 && y >= 0.0 && x < photo.width.into() && y < photo.height.into();
            if !inside {
                continue;
            }
            let start = (y as usize * photo.width as usize + x as usize) * 3;
            for (total, sample) in sum.iter_mut().zip(&photo.rgb[start..start + 3]) {
                *total += column_share * row_share * f64::from(*sample);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_between_their_pixels_and_black_outside() {
        let photo = Photo { width: 2, height: 1, rgb: vec![100, 0, 0, 200, 0, 0] };
        let shifted = |by: f64| {
            let picture = sample_at_pixels(&photo, 2, 1, |at| Point { x: at.x + by, y: at.y });
            [picture.rgb[0], picture.rgb[3]]
        };
        assert_eq!(shifted(0.0), [100, 200]);
        assert_eq!(shifted(0.5), [150, 100]);
        assert_eq!(shifted(-1.0), [0, 100]);
        assert_eq!(shifted(f64::NAN), [0, 0]);
        assert_eq!(shifted(f64::INFINITY), [0, 0]);
    }
}
