//! BMP by crate `image`.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder};

use super::limits::DecodeLimits;
use super::photo::Decoded;
use super::transparency::{Background, rgba_to_rgb_in_place};
use crate::error::RecognitionError;

/// The palette, runs and other small things.
const SMALL_BUFFERS: u64 = 64 * 1024;
/// A row as stored has at most 4 bytes a pixel.
const BYTES_OF_ROW_PIXEL: u64 = 4;

pub(super) fn decode(
    payload: &[u8],
    limits: &DecodeLimits,
    background: Background,
) -> Result<Decoded, RecognitionError> {
    let decoder = BmpDecoder::new(Cursor::new(payload)).map_err(|error| damaged(&error))?;
    let (width, height) = decoder.dimensions();
    let pixels = limits.check_size(width, height)?;
    let color_type = decoder.color_type();
    let has_alpha = color_type == ColorType::Rgba8;
    if !has_alpha && color_type != ColorType::Rgb8 {
        return Err(RecognitionError::BadImage(
            "the BMP has an unsupported colour format".to_owned(),
        ));
    }
    let output = pixels * if has_alpha { 4 } else { 3 };
    let row = u64::from(width) * BYTES_OF_ROW_PIXEL;
    limits.check_memory(output + row + SMALL_BUFFERS)?;

    let mut rgb = vec![0; output as usize];
    decoder.read_image(&mut rgb).map_err(|error| damaged(&error))?;
    if has_alpha {
        rgba_to_rgb_in_place(&mut rgb, background);
    }
    Ok(Decoded {
        width,
        height,
        rgb,
        orientation: Orientation::NoTransforms,
        full_size: (width, height),
    })
}

fn damaged(error: &image::ImageError) -> RecognitionError {
    RecognitionError::bad_image_with_detail(
        "the BMP data is damaged or truncated",
        &error.to_string(),
    )
}
