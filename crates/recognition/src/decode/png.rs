//! PNG, row by row: whatever the file's depth and transparency, only the finished RGB is held in
//! full. Text and colour profiles are not even inflated.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, InterlaceInfo, Limits, Reader, Transformations};

use super::limits::DecodeLimits;
use super::orientation;
use super::photo::Decoded;
use super::transparency::{Background, Visible, WHITE, over};
use crate::error::RecognitionError;

const SIGNATURE_LENGTH: usize = 8;
/// The most bytes of ancillary chunks that the decoder keeps: palettes, EXIF.
const MAX_METADATA: u64 = 4 * 1024 * 1024;
/// Metadata that grows by doubling (old and new at once), the inflater and other small things.
const SMALL_BUFFERS: u64 = 3 * MAX_METADATA + 1024 * 1024;

type PngReader<'a> = Reader<Cursor<&'a [u8]>>;

pub(super) fn decode(
    payload: &[u8],
    limits: &DecodeLimits,
    background: Background,
) -> Result<Decoded, RecognitionError> {
    let mut decoder = decoder(payload);
    let header = decoder.read_header_info().map_err(|error| damaged(&error))?;
    let (width, height) = header.size();
    let pixels = limits.check_size(width, height)?;
    let stored_row = header.raw_row_length() as u64;
    let orientation = orientation::from_exif(find_exif(payload));
    let decoding = pixels * 3 + row_buffers(stored_row, width, height) + SMALL_BUFFERS;
    let turning = pixels * 3 + orientation::extra_memory(orientation, width, height, limits.memory);
    limits.check_memory(decoding.max(turning))?;

    let mut reader = reader(decoder, width)?;
    let level = match background {
        Background::White => WHITE,
        Background::Contrast => contrast(payload, width, &reader)?,
    };
    let rgb = read_rows(&mut reader, width as usize, height as usize, level)?;
    Ok(Decoded { width, height, rgb, orientation, full_size: (width, height) })
}

fn decoder(payload: &[u8]) -> Decoder<Cursor<&[u8]>> {
    let mut decoder = Decoder::new(Cursor::new(payload));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder
}

/// Reads all before the pixels.
fn reader<'a>(
    mut decoder: Decoder<Cursor<&'a [u8]>>,
    width: u32,
) -> Result<PngReader<'a>, RecognitionError> {
    let expanded_row = u64::from(width) * 4;
    let decoder_limit = usize::try_from(expanded_row + MAX_METADATA).unwrap_or(usize::MAX);
    decoder.set_limits(Limits { bytes: decoder_limit });
    let reader = decoder.read_info().map_err(|error| damaged(&error))?;
    check_palette(&reader)?;
    Ok(reader)
}

/// The level of grey that a picture with transparency stands out from. Its pixels are decoded once
/// more for this: nothing of them is kept.
fn contrast(payload: &[u8], width: u32, opened: &PngReader) -> Result<u8, RecognitionError> {
    let (color_type, _) = opened.output_color_type();
    if !matches!(color_type, ColorType::GrayscaleAlpha | ColorType::Rgba) {
        return Ok(WHITE);
    }
    let mut reader = reader(decoder(payload), width)?;
    let mut visible = Visible::default();
    while let Some(row) = reader.next_interlaced_row().map_err(|error| damaged(&error))? {
        if color_type == ColorType::Rgba {
            for [red, green, blue, alpha] in row.data().as_chunks::<4>().0 {
                visible.add([*red, *green, *blue], *alpha, 1);
            }
        } else {
            for [grey, alpha] in row.data().as_chunks::<2>().0 {
                visible.add([*grey; 3], *alpha, 1);
            }
        }
    }
    Ok(visible.contrast())
}

/// Bytes for the rows that are being unpacked. The decoder keeps up to 7 of them before it shifts,
/// in a buffer that grows by doubling.
fn row_buffers(stored_row: u64, width: u32, height: u32) -> u64 {
    let while_it_grows = 3 * (7 * stored_row).min(stored_row * u64::from(height));
    // As expanded to 4 bytes a pixel (by the decoder's own copy of the row too), and as RGB.
    let expanded = u64::from(width) * (4 + 4 + 3);
    while_it_grows + expanded
}

/// Refuses what png 0.18.1 would panic at.
fn check_palette(reader: &PngReader) -> Result<(), RecognitionError> {
    let info = reader.info();
    let palette_length = info.palette.as_ref().map(|palette| palette.len());
    if palette_length.is_some_and(|length| length == 0 || length % 3 != 0) {
        return Err(RecognitionError::BadImage(
            "the PNG data is damaged: its palette is broken".to_owned(),
        ));
    }
    let frame = info.frame_control.as_ref().map(|frame| (frame.width, frame.height));
    if frame.is_some_and(|size| size != info.size()) {
        return Err(RecognitionError::BadImage(
            "the PNG data is damaged: its first frame has another size".to_owned(),
        ));
    }
    Ok(())
}

fn read_rows(
    reader: &mut PngReader,
    width: usize,
    height: usize,
    background: u8,
) -> Result<Vec<u8>, RecognitionError> {
    let (color_type, depth) = reader.output_color_type();
    if depth != BitDepth::Eight {
        return Err(RecognitionError::BadImage("the PNG has an unsupported bit depth".to_owned()));
    }
    let stride = width * 3;
    let mut rgb = vec![0; stride * height];
    if reader.info().interlaced {
        read_interlaced(reader, color_type, stride, background, &mut rgb)?;
        return Ok(rgb);
    }

    let is_rgb_already = color_type == ColorType::Rgb;
    let mut row = vec![0; if is_rgb_already { 0 } else { width * color_type.samples() }];
    for rgb_row in rgb.chunks_exact_mut(stride) {
        let target = if is_rgb_already { &mut *rgb_row } else { &mut row };
        if reader.read_row(target).map_err(|error| damaged(&error))?.is_none() {
            return Err(too_few_rows());
        }
        if !is_rgb_already {
            to_rgb(&row, color_type, background, rgb_row);
        }
    }
    Ok(rgb)
}

/// Seven passes, each over a part of the pixels.
fn read_interlaced(
    reader: &mut PngReader,
    color_type: ColorType,
    stride: usize,
    background: u8,
    rgb: &mut [u8],
) -> Result<(), RecognitionError> {
    let samples = color_type.samples();
    let mut rgb_row = vec![0; stride];
    while let Some(row) = reader.next_interlaced_row().map_err(|error| damaged(&error))? {
        let InterlaceInfo::Adam7(pass) = row.interlace() else {
            return Err(too_few_rows());
        };
        let row_length = row.data().len() / samples * 3;
        to_rgb(row.data(), color_type, background, &mut rgb_row[..row_length]);
        ::png::expand_interlaced_row(rgb, stride, &rgb_row[..row_length], pass, 24);
    }
    Ok(())
}

/// 8-bit samples of any kind as RGB over a level of grey.
fn to_rgb(row: &[u8], color_type: ColorType, background: u8, rgb_row: &mut [u8]) {
    let (rgb_pixels, _) = rgb_row.as_chunks_mut::<3>();
    match color_type {
        ColorType::Grayscale | ColorType::Indexed => {
            for (rgb, &grey) in rgb_pixels.iter_mut().zip(row) {
                *rgb = [grey; 3];
            }
        }
        ColorType::GrayscaleAlpha => {
            for (rgb, &[grey, alpha]) in rgb_pixels.iter_mut().zip(row.as_chunks::<2>().0) {
                *rgb = [over(grey, alpha, background); 3];
            }
        }
        ColorType::Rgb => rgb_row.copy_from_slice(row),
        ColorType::Rgba => {
            for (rgb, &[red, green, blue, alpha]) in
                rgb_pixels.iter_mut().zip(row.as_chunks::<4>().0)
            {
                *rgb = [red, green, blue].map(|value| over(value, alpha, background));
            }
        }
    }
}

/// The content of the eXIf chunk, which may also come after the pixels.
fn find_exif(payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload.get(SIGNATURE_LENGTH..)?;
    loop {
        let (length, after_length) = rest.split_first_chunk::<4>()?;
        let (kind, content) = after_length.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        if kind == b"eXIf" {
            return content.get(..length);
        }
        rest = content.get(length.checked_add(4)?..)?; // a check sum of 4 bytes follows
    }
}

fn too_few_rows() -> RecognitionError {
    RecognitionError::BadImage("the PNG data is truncated: rows are missing".to_owned())
}

fn damaged(error: &::png::DecodingError) -> RecognitionError {
    if matches!(error, ::png::DecodingError::LimitsExceeded) {
        let sentence = "the PNG has more than 4 MB of metadata; remove it";
        return RecognitionError::BadImage(sentence.to_owned());
    }
    RecognitionError::bad_image_with_detail(
        "the PNG data is damaged or truncated",
        &error.to_string(),
    )
}
