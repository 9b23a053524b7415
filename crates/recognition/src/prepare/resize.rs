//! Scaling with the filter that models are trained with.

use std::fmt::Display;
use std::ops::Range;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::scratch::Scratch;
use crate::decode::Photo;
use crate::error::RecognitionError;

/// A part of the photo, in the photo's own pixels.
pub struct Crop {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Crop {
    pub fn whole(photo: &Photo) -> Crop {
        Crop { left: 0.0, top: 0.0, width: photo.width.into(), height: photo.height.into() }
    }
}

/// Pixels between the two passes of a resize; a photo that would need more takes them in the other
/// order, which then needs few.
pub const MAX_NARROWED: usize = 16 << 20;

/// Scales a part of the photo to `width` x `height`, which the scratch then holds.
///
/// Triangle filter (bilinear, widened when it scales down) on 8-bit samples, rows first and columns
/// second: the order in which Pillow rounds, so that the samples are those that models are trained
/// and compared with. (`fast_image_resize` alone does columns first.)
pub fn resize(
    photo: &Photo,
    crop: &Crop,
    width: u32,
    height: u32,
    scratch: &mut Scratch,
) -> Result<(), RecognitionError> {
    let Scratch { resizer, narrowed, resized, .. } = scratch;
    let rows = rows_under(crop, photo, height);
    let row_bytes = photo.width as usize * 3;
    let pixels = &photo.rgb[rows.start * row_bytes..rows.end * row_bytes];
    let source = Pixels { pixels, width: photo.width, height: rows.len() as u32 };
    let top = crop.top - rows.start as f64;
    if width as usize * rows.len() > MAX_NARROWED {
        let part = [crop.left, top, crop.width, crop.height];
        return scale(resizer, source, part, resized, width, height);
    }
    let full_height = f64::from(source.height);
    let part = [crop.left, 0.0, crop.width, full_height];
    scale(resizer, source, part, narrowed, width, rows.len() as u32)?;
    let source = Pixels { pixels: narrowed, width, height: rows.len() as u32 };
    scale(resizer, source, [0.0, top, f64::from(width), crop.height], resized, width, height)
}

/// The rows of the photo that the filter reads.
fn rows_under(crop: &Crop, photo: &Photo, height: u32) -> Range<usize> {
    let support = (crop.height / f64::from(height)).max(1.0) + 1.0;
    let last = f64::from(photo.height);
    let start = (crop.top - support).floor().clamp(0.0, last - 1.0);
    let end = (crop.top + crop.height + support).ceil().clamp(start + 1.0, last);
    start as usize..end as usize
}

/// 8-bit RGB pixels.
struct Pixels<'a> {
    pixels: &'a [u8],
    width: u32,
    height: u32,
}

/// Scales a part (left, top, width, height) of the source to `width` x `height`.
fn scale(
    resizer: &mut Resizer,
    source: Pixels,
    [left, top, part_width, part_height]: [f64; 4],
    target: &mut Vec<u8>,
    width: u32,
    height: u32,
) -> Result<(), RecognitionError> {
    let failed = |error: &dyn Display| {
        RecognitionError::Failed(format!("the photo could not be resized: {error}"))
    };
    let source = ImageRef::new(source.width, source.height, source.pixels, PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    target.resize(width as usize * height as usize * 3, 0);
    let mut target = Image::from_slice_u8(width, height, target, PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, part_width, part_height);
    resizer.resize(&source, &mut target, &options).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rows_that_are_read_are_scaled() {
        let photo = Photo::new(600, 2000, Vec::new());
        let crop = Crop { left: 0.0, top: 738.0, width: 525.0, height: 525.0 };
        let rows = rows_under(&crop, &photo, 224);
        assert!(rows.start as f64 <= crop.top - crop.height / 224.0);
        assert!(rows.end as f64 >= crop.top + crop.height * 225.0 / 224.0);
        assert!(rows.len() < 600);
    }
}
