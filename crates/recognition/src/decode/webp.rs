//! WebP by crate `image`; of animations the first frame. Its decoder checks no memory, so the
//! chunks are read here first: what a bitstream claims must agree with its container before it is
//! decoded.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::limits::DecodeLimits;
use super::photo::Decoded;
use super::transparency::{Background, rgba_to_rgb_in_place};
use super::{orientation, webp_lossless};
use crate::error::RecognitionError;

const RIFF_HEADER: usize = 12;
const ANIMATION_FRAME_HEADER: usize = 16;
/// Probability tables, chunk maps, the trees of small images inside a lossless one, and other small
/// things.
const SMALL_BUFFERS: u64 = 512 * 1024;
/// What image-webp 0.2.4 may reserve for lossy data beyond what the file holds.
const CLAIMED_PARTITION: u64 = 16 * 1024 * 1024;
/// What the decoder keeps of each 16x16 pixels of lossy data, tripled because the list grows by
/// doubling.
const BYTES_OF_MACROBLOCK: u64 = 3 * 32;

pub(super) fn decode(
    payload: &[u8],
    limits: &DecodeLimits,
    background: Background,
) -> Result<Decoded, RecognitionError> {
    let mut decoder = WebPDecoder::new(Cursor::new(payload)).map_err(|error| damaged(&error))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        // image-webp 0.2.4 takes 16384, the largest that the format has, for 0.
        let sentence = "the WebP is 16384 pixels wide or high, which is not supported";
        return Err(RecognitionError::BadImage(sentence.to_owned()));
    }
    let pixels = limits.check_size(width, height)?;
    let has_alpha = decoder.color_type() == ColorType::Rgba8;
    let output = pixels * if has_alpha { 4 } else { 3 };

    let chunks = Chunks { rest: payload.get(RIFF_HEADER..).unwrap_or_default() };
    let orientation = orientation::from_exif(find(chunks, b"EXIF"));
    let decoding = if decoder.has_animation() {
        let canvas = pixels * 4;
        output + canvas + animation_frame_memory(chunks, limits)?
    } else {
        output + still_memory(chunks, width, height, has_alpha, limits)?
    };
    let turning = output + orientation::extra_memory(orientation, width, height, limits.memory);
    limits.check_memory(turning.max(decoding + SMALL_BUFFERS))?;

    // The colour under transparent pixels of an animation's canvas; they become white below.
    if decoder.has_animation() && !has_alpha {
        decoder.set_background_color(image::Rgba([255; 4])).map_err(|error| damaged(&error))?;
    }
    let mut rgb = vec![0; output as usize];
    decoder.read_image(&mut rgb).map_err(|error| damaged(&error))?;
    if has_alpha {
        rgba_to_rgb_in_place(&mut rgb, background);
    }
    Ok(Decoded { width, height, rgb, orientation, full_size: (width, height) })
}

/// Bytes for decoding the one picture of a file, beside the output.
fn still_memory(
    chunks: Chunks,
    width: u32,
    height: u32,
    has_alpha: bool,
    limits: &DecodeLimits,
) -> Result<u64, RecognitionError> {
    let pixels = u64::from(width) * u64::from(height);
    if let Some(bitstream) = find(chunks, b"VP8L") {
        let trees = lossless_memory(bitstream.get(1..), width, height, limits)?;
        // Decoded as RGBA: into the output itself if that is RGBA.
        let rgba = if has_alpha { 0 } else { pixels * 4 };
        return Ok(rgba + trees);
    }
    let bitstream = find(chunks, b"VP8 ").ok_or_else(no_pixels)?;
    let colours = lossy_memory(bitstream, width, height)?;
    if !has_alpha {
        return Ok(colours);
    }
    let alpha = find(chunks, b"ALPH").ok_or_else(no_pixels)?;
    Ok(colours + alpha_memory(alpha, width, height, limits)?)
}

/// Bytes for decoding the first frame of an animation, beside canvas and output.
fn animation_frame_memory(chunks: Chunks, limits: &DecodeLimits) -> Result<u64, RecognitionError> {
    let frame = find(chunks, b"ANMF").ok_or_else(no_pixels)?;
    let Some((header, content)) = frame.split_at_checked(ANIMATION_FRAME_HEADER) else {
        return Err(no_pixels());
    };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]);
    let (width, height) = (number(6) + 1, number(9) + 1);
    let pixels = limits.check_size(width, height)?;

    let mut parts = Chunks { rest: content };
    let (first_kind, first) = parts.next().ok_or_else(no_pixels)?;
    match first_kind {
        b"VP8L" => Ok(pixels * 4 + lossless_memory(first.get(1..), width, height, limits)?),
        b"VP8 " => Ok(pixels * 3 + lossy_memory(first, width, height)?),
        b"ALPH" => {
            let (_, second) = parts.next().ok_or_else(no_pixels)?;
            let colours = pixels * 4 + lossy_memory(second, width, height)?;
            Ok(colours + alpha_memory(first, width, height, limits)?)
        }
        _ => Err(no_pixels()),
    }
}

/// Bytes for YUV planes and a copy of the data. The decoder believes the size inside the bitstream,
/// so it must be the expected one.
fn lossy_memory(bitstream: &[u8], width: u32, height: u32) -> Result<u64, RecognitionError> {
    let size = bitstream.get(6..10).ok_or_else(no_pixels)?;
    let inner_width = u32::from(u16::from_le_bytes([size[0], size[1]]) & 0x3fff);
    let inner_height = u32::from(u16::from_le_bytes([size[2], size[3]]) & 0x3fff);
    if (inner_width, inner_height) != (width, height) {
        return Err(RecognitionError::BadImage(format!(
            "the WebP data is damaged: a picture of {inner_width}x{inner_height} \
             in a frame of {width}x{height}"
        )));
    }
    let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
    let planes = macroblocks * (16 * 16 + 2 * 8 * 8);
    // Read into a list that grows by doubling (old and new at once), then copied.
    let data = bitstream.len() as u64 * 4;
    Ok(planes + macroblocks * BYTES_OF_MACROBLOCK + data + CLAIMED_PARTITION)
}

/// Bytes for lossless data beside the pixels: the coding trees, and images of predictors, colour
/// transforms and tree numbers, each of at most one value for 4x4 pixels.
fn lossless_memory(
    bits: Option<&[u8]>,
    width: u32,
    height: u32,
    limits: &DecodeLimits,
) -> Result<u64, RecognitionError> {
    let blocks = u64::from(width.div_ceil(4)) * u64::from(height.div_ceil(4));
    let inner_images = blocks * (4 + 4 + 4 + 2);
    // Measuring the trees takes such images itself: not before they are allowed.
    limits.check_memory(inner_images)?;
    let bits = bits.ok_or_else(no_pixels)?;
    let trees = webp_lossless::tree_memory(bits, width, height, limits.memory, true)?;
    Ok(inner_images + trees)
}

fn alpha_memory(
    alpha: &[u8],
    width: u32,
    height: u32,
    limits: &DecodeLimits,
) -> Result<u64, RecognitionError> {
    let pixels = u64::from(width) * u64::from(height);
    let Some((header, bits)) = alpha.split_first() else {
        return Err(no_pixels());
    };
    let is_lossless = header & 0b11 == 1;
    if !is_lossless {
        return Ok(pixels);
    }
    let blocks = u64::from(width.div_ceil(4)) * u64::from(height.div_ceil(4));
    let inner_images = blocks * (4 + 4 + 4 + 2);
    limits.check_memory(inner_images)?;
    let trees = webp_lossless::tree_memory(bits, width, height, limits.memory, false)?;
    Ok(pixels * (4 + 1) + inner_images + trees)
}

/// The chunks of a RIFF list: their names and contents, cut where the file ends.
#[derive(Clone, Copy)]
struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, after_kind) = self.rest.split_first_chunk::<4>()?;
        let (length, content) = after_kind.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let padded_length = length.saturating_add(length % 2);
        self.rest = content.get(padded_length..).unwrap_or_default();
        Some((kind, &content[..length.min(content.len())]))
    }
}

fn find<'a>(mut chunks: Chunks<'a>, kind: &[u8; 4]) -> Option<&'a [u8]> {
    chunks.find(|(found, _)| *found == kind).map(|(_, content)| content)
}

fn no_pixels() -> RecognitionError {
    RecognitionError::BadImage(
        "the WebP data is damaged or truncated: its pixels are missing".to_owned(),
    )
}

fn damaged(error: &ImageError) -> RecognitionError {
    RecognitionError::bad_image_with_detail(
        "the WebP data is damaged or truncated",
        &error.to_string(),
    )
}
