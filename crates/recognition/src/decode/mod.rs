//! Untrusted image files become upright 8-bit RGB. Nothing here trusts a header: the format is told
//! from the content, size and memory are checked before pixels are decoded, and a decoder's panic
//! is an error of the payload.
//!
//! Each format has a file: it reads the header, asks [`DecodeLimits`], decodes, and returns
//! [`Decoded`] pixels as stored. What is common to all (panics, orientation) happens here.

mod bmp;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gif;
mod jpeg;
mod jpeg_scaled;
mod jpeg_stream;
mod limits;
mod orientation;
mod png;
mod transparency;
mod webp;
mod webp_lossless;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_jpeg;
#[cfg(test)]
mod tests_shared;
#[cfg(test)]
mod tests_webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;

use super::error::{RecognitionError, printable};
use format::Format;
pub use limits::{DecodeLimits, Detail};
pub use transparency::Ground;

/// A decoded picture, upright (EXIF orientation applied), transparency laid over a ground.
#[derive(Clone, PartialEq, Eq)]
pub struct Photo {
    /// Pixels in a row, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
    /// Red, green, blue of each pixel, 8 bits each, row by row from the top left: 3 * width *
    /// height bytes.
    pub rgb: Vec<u8>,
    /// Pixels in a row of the picture in full: more than `width` if it was decoded at a reduced
    /// size.
    pub full_width: u32,
    /// Rows of the picture in full.
    pub full_height: u32,
}

impl Photo {
    /// A picture in full.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Self {
        Self { width, height, rgb, full_width: width, full_height: height }
    }
}

impl std::fmt::Debug for Photo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Photo({}x{})", self.width, self.height)
    }
}

/// What is wanted of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub detail: Detail,
    pub ground: Ground,
}

impl From<Detail> for Wanted {
    fn from(detail: Detail) -> Wanted {
        Wanted { detail, ground: Ground::White }
    }
}

/// What a format's file hands over: RGB pixels as they are stored, and how to turn them upright.
struct Decoded {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
    orientation: Orientation,
    /// Width and height of the picture in full, as stored.
    full_size: (u32, u32),
}

/// Decodes one image file (JPEG, PNG, WebP, GIF or BMP; of animations the first frame), at a reduced
/// size where the wanted detail allows it and the format can.
///
/// The working memory, the returned pixels included and the payload not, stays below
/// `limits.memory` whatever the payload is.
///
/// # Errors
/// `BadImage` with a sentence for whoever sent the payload.
pub fn decode(
    payload: &[u8],
    limits: &DecodeLimits,
    wanted: impl Into<Wanted>,
) -> Result<Photo, RecognitionError> {
    let Wanted { detail, ground } = wanted.into();
    let format = format::recognise(payload)?;
    let decode_format = || match format {
        Format::Jpeg => jpeg::decode(payload, limits, detail),
        Format::Png => png::decode(payload, limits, ground),
        Format::Gif => gif::decode(payload, limits, ground),
        Format::WebP => webp::decode(payload, limits, ground),
        Format::Bmp => bmp::decode(payload, limits, ground),
    };
    // The closure shares nothing that outlives it but the payload, which nobody writes: a panic
    // leaves no broken state.
    let decoded = match catch_unwind(AssertUnwindSafe(decode_format)) {
        Ok(result) => result?,
        Err(panic) => return Err(error_of_panic(format, panic.as_ref())),
    };

    let expected_bytes = u64::from(decoded.width) * u64::from(decoded.height) * 3;
    if decoded.rgb.is_empty() || decoded.rgb.len() as u64 != expected_bytes {
        return Err(RecognitionError::BadImage(format!("the {format} data holds no picture")));
    }
    Ok(orientation::upright(decoded, limits.memory))
}

fn error_of_panic(format: Format, panic: &(dyn std::any::Any + Send)) -> RecognitionError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    RecognitionError::BadImage(format!(
        "the {format} data is damaged in a way its decoder gave up on: {}",
        printable(text)
    ))
}
