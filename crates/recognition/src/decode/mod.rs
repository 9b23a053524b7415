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
mod photo;
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

use super::error::{RecognitionError, printable};
use format::FileFormat;
pub use limits::{DecodeLimits, Detail};
pub use photo::Photo;
pub use transparency::Background;

/// What is wanted of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub detail: Detail,
    pub background: Background,
}

impl From<Detail> for Wanted {
    fn from(detail: Detail) -> Wanted {
        Wanted { detail, background: Background::White }
    }
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
    let Wanted { detail, background } = wanted.into();
    let format = format::recognise(payload)?;
    let decode_format = || match format {
        FileFormat::Jpeg => jpeg::decode(payload, limits, detail),
        FileFormat::Png => png::decode(payload, limits, background),
        FileFormat::Gif => gif::decode(payload, limits, background),
        FileFormat::WebP => webp::decode(payload, limits, background),
        FileFormat::Bmp => bmp::decode(payload, limits, background),
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

fn error_of_panic(format: FileFormat, panic: &(dyn std::any::Any + Send)) -> RecognitionError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    RecognitionError::BadImage(format!(
        "the {format} data is damaged in a way its decoder gave up on: {}",
        printable(text)
    ))
}
