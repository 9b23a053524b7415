//! JPEG by zune-jpeg in its strict mode, which refuses truncated files. What zune-jpeg 0.5.15
//! decodes to wrong colours goes to jpeg-decoder, slower and right: sequential files with a scan
//! for each component, and unusual sampling.

use image::metadata::Orientation;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::jpeg_scaled::ScaledDecoder;
use super::jpeg_stream::{Frame, JpegStream, MAX_SCANS};
use super::limits::{DecodeLimits, Detail};
use super::orientation;
use super::photo::Decoded;
use crate::error::RecognitionError;

/// Huffman tables, thread messages and other small things.
const SMALL_BUFFERS: u64 = 1024 * 1024;
/// The most pixels over all scans. A scan of a large picture takes up to 40 ms: this is about two
/// seconds, and 30 scans of the largest picture, where encoders write about ten.
const MAX_PIXELS_OF_SCANS: u64 = 1_500_000_000;
const GREY: u8 = 128;
const BYTES_OF_SAMPLE: u64 = 2;
const BYTES_OF_MESSAGE: u64 = 256;

pub(super) fn decode(
    payload: &[u8],
    limits: &DecodeLimits,
    detail: Detail,
) -> Result<Decoded, RecognitionError> {
    let stream = JpegStream::read(payload)?;
    let Frame { width, height, .. } = stream.frame;
    let pixels = limits.check_size(width, height)?;
    let scans = stream.scans;
    if pixels * scans as u64 > MAX_PIXELS_OF_SCANS {
        return Err(RecognitionError::BadImage(format!(
            "the JPEG has {scans} scans, too many for its size; save it as an ordinary JPEG"
        )));
    }
    let orientation = orientation::from_exif(stream.exif);
    if let Some(decoded) = decode_scaled(&stream, orientation, limits, detail) {
        return Ok(decoded);
    }
    let uses_zune = stream.frame.has_usual_sampling()
        && (stream.frame.progressive || stream.first_scan_is_complete);

    let stream_copy = stream.file_length() as u64;
    let decoding = if uses_zune {
        pixels * 3 + zune_buffers(&stream.frame)
    } else {
        pixels * 4 + jpeg_decoder_buffers(&stream.frame)
    };
    let turning = pixels * 3 + orientation::extra_memory(orientation, width, height, limits.memory);
    limits.check_memory(turning.max(decoding + stream_copy + SMALL_BUFFERS))?;

    let file = stream.to_file();
    let rgb = if uses_zune {
        decode_with_zune(&file, width, height)?
    } else {
        decode_with_jpeg_decoder(&file, width, height)?
    };
    Ok(Decoded { width, height, rgb, orientation, full_size: (width, height) })
}

/// `None` if the picture is to be decoded in full, or the file is unusual or damaged.
fn decode_scaled(
    stream: &JpegStream,
    orientation: Orientation,
    limits: &DecodeLimits,
    detail: Detail,
) -> Option<Decoded> {
    let full_size = (stream.frame.width, stream.frame.height);
    let denominator = detail.denominator(full_size.0, full_size.1);
    if denominator == 1 {
        return None;
    }
    let decoder = ScaledDecoder::new(stream, denominator)?;
    let (width, height) = decoder.size();
    let pixels = u64::from(width) * u64::from(height);
    let turning = pixels * 3 + orientation::extra_memory(orientation, width, height, limits.memory);
    limits.check_memory(turning.max(decoder.memory() + SMALL_BUFFERS)).ok()?;
    let rgb = decoder.decode().ok()?;
    Some(Decoded { width, height, rgb, orientation, full_size })
}

/// Bytes zune-jpeg takes beside its output: some rows of every component, and all coefficients of a
/// progressive picture.
fn zune_buffers(frame: &Frame) -> u64 {
    // It computes the stride of a component before it knows all sampling factors: at worst units
    // one block wide.
    let widest_unit_count = u64::from(frame.width).div_ceil(8);
    let most_horizontal = most(frame, |sampling| sampling.0);
    let most_vertical = most(frame, |sampling| sampling.1);
    let mut row_samples = 0;
    let mut widest_stride = 0;
    for sampling in &frame.components {
        let (horizontal, vertical) = (u64::from(sampling.horizontal), u64::from(sampling.vertical));
        let stride = widest_unit_count * 8 * horizontal;
        let enlargement = (most_horizontal / horizontal) * (most_vertical / vertical);
        // A row of units, the rows above and below, the last row enlarged, twice 8 rows enlarged.
        row_samples += stride * (8 * vertical + 2 * vertical + vertical * enlargement);
        row_samples += stride * 16 * enlargement;
        widest_stride = widest_stride.max(stride);
    }
    let coefficients = if frame.progressive { padded_samples(frame).iter().sum() } else { 0 };
    (row_samples + widest_stride * 8 + coefficients) * BYTES_OF_SAMPLE
}

/// Bytes jpeg-decoder takes beside its output: a plane of each component, the coefficients of a
/// scan that wait for its threads, and all coefficients of a progressive picture.
fn jpeg_decoder_buffers(frame: &Frame) -> u64 {
    let samples: u64 = padded_samples(frame).iter().sum();
    let coefficients = if frame.progressive { samples * BYTES_OF_SAMPLE } else { 0 };
    // They go to the threads in rows of blocks, each a message with some bytes of its own.
    let messages = frame.components.len() as u64 * u64::from(frame.height).div_ceil(8);
    let waiting = samples * BYTES_OF_SAMPLE + messages * BYTES_OF_MESSAGE;
    samples + coefficients + waiting
}

/// The samples of each component, rounded up to whole units.
fn padded_samples(frame: &Frame) -> Vec<u64> {
    let unit_width = 8 * most(frame, |sampling| sampling.0);
    let unit_height = 8 * most(frame, |sampling| sampling.1);
    let units =
        u64::from(frame.width).div_ceil(unit_width) * u64::from(frame.height).div_ceil(unit_height);
    let blocks = frame.components.iter().map(|sampling| sampling.horizontal * sampling.vertical);
    blocks.map(|blocks| units * 64 * u64::from(blocks)).collect()
}

fn most(frame: &Frame, factor: impl Fn((u32, u32)) -> u32) -> u64 {
    let factors = frame.components.iter().map(|sampling| (sampling.horizontal, sampling.vertical));
    factors.map(factor).max().map_or(1, u64::from)
}

fn decode_with_zune(bytes: &[u8], width: u32, height: u32) -> Result<Vec<u8>, RecognitionError> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    // Not zeros: jemalloc, which Debian's server makes the allocator of all its modules, gets large
    // zeroed memory by giving pages back to the system, and each costs a page fault.
    let mut rgb = vec![GREY; width as usize * height as usize * 3];
    decoder.decode_into(&mut rgb).map_err(|error| describe(&error))?;
    Ok(rgb)
}

fn describe(error: &DecodeErrors) -> RecognitionError {
    match error {
        DecodeErrors::ExhaustedData
        | DecodeErrors::IoErrors(_)
        | DecodeErrors::FormatStatic("Premature end of buffer")
        | DecodeErrors::FormatStatic("Marker missing where expected") => {
            RecognitionError::BadImage("the JPEG data is truncated".to_owned())
        }
        _ => damaged(&error.to_string()),
    }
}

fn decode_with_jpeg_decoder(
    bytes: &[u8],
    width: u32,
    height: u32,
) -> Result<Vec<u8>, RecognitionError> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    let mut pixels = decoder.decode().map_err(|error| damaged(&error.to_string()))?;
    let info = decoder.info().ok_or_else(|| damaged("no frame header"))?;
    if (u32::from(info.width), u32::from(info.height)) != (width, height) {
        return Err(damaged("two sizes"));
    }
    match info.pixel_format {
        jpeg_decoder::PixelFormat::RGB24 => Ok(pixels),
        jpeg_decoder::PixelFormat::CMYK32 => {
            cmyk_to_rgb_in_place(&mut pixels);
            Ok(pixels)
        }
        _ => Err(damaged("a single component in several scans")),
    }
}

/// CMYK (255 = full ink) into RGB within the same memory, as zune-jpeg computes it.
fn cmyk_to_rgb_in_place(pixels: &mut Vec<u8>) {
    let count = pixels.len() / 4;
    for index in 0..count {
        let paper = u32::from(255 - pixels[index * 4 + 3]);
        for colour in 0..3 {
            let product = u32::from(255 - pixels[index * 4 + colour]) * paper + 128;
            pixels[index * 3 + colour] = ((product + (product >> 8)) >> 8) as u8;
        }
    }
    pixels.truncate(count * 3);
}

fn damaged(detail: &str) -> RecognitionError {
    RecognitionError::bad_image_with_detail("the JPEG data is damaged or truncated", detail)
}
