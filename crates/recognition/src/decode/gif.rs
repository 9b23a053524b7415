//! The first frame of a GIF, laid onto its screen. The palette is looked up here: colours take 3
//! bytes a pixel, not 4.

use std::num::NonZeroU64;

use ::gif::{ColorOutput, DecodeOptions, Decoder, MemoryLimit};
use image::metadata::Orientation;

use super::limits::DecodeLimits;
use super::photo::Decoded;
use super::transparency::{Background, Visible, WHITE};
use crate::error::RecognitionError;

/// The most bytes of a metadata block, which the decoder keeps although nobody asks for it.
const MAX_METADATA: NonZeroU64 = NonZeroU64::new(4 * 1024 * 1024).unwrap();
/// Metadata that grows by doubling (XMP and a profile, old and new at once), code tables and other
/// small things.
const SMALL_BUFFERS: u64 = 2 * 3 * MAX_METADATA.get() + 256 * 1024;

pub(super) fn decode(
    payload: &[u8],
    limits: &DecodeLimits,
    background: Background,
) -> Result<Decoded, RecognitionError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(MAX_METADATA));
    let mut decoder = options.read_info(payload).map_err(|error| damaged(&error))?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let pixels = limits.check_size(width, height)?;

    let Some(frame) = decoder.next_frame_info().map_err(|error| damaged(&error))? else {
        return Err(RecognitionError::BadImage("the GIF has no frame".to_owned()));
    };
    let placement = FramePlacement {
        left: usize::from(frame.left),
        top: usize::from(frame.top),
        width: usize::from(frame.width),
        screen_width: width as usize,
    };
    let transparent = frame.transparent;
    let frame_pixels = limits.check_size(u32::from(frame.width), u32::from(frame.height))?;
    limits.check_memory(pixels * 3 + frame_pixels + SMALL_BUFFERS)?;

    let mut indices = vec![0; frame_pixels as usize];
    decoder.read_into_buffer(&mut indices).map_err(|error| damaged(&error))?;
    let mut colours = colour_table(&decoder)?;
    let level = match (background, transparent) {
        (Background::Contrast, Some(clear)) => contrast(&indices, &colours, clear, pixels),
        _ => WHITE,
    };
    if let Some(clear) = transparent {
        colours[usize::from(clear)] = [level; 3];
    }

    let mut rgb = vec![level; pixels as usize * 3];
    if let Some(colour) = screen_colour(&decoder).filter(|_| transparent.is_none()) {
        rgb.as_chunks_mut::<3>().0.fill(colour);
    }
    paint(&mut rgb, &indices, &placement, &colours);
    Ok(Decoded {
        width,
        height,
        rgb,
        orientation: Orientation::NoTransforms,
        full_size: (width, height),
    })
}

/// Where the frame is on the screen, in pixels.
struct FramePlacement {
    left: usize,
    top: usize,
    width: usize,
    screen_width: usize,
}

/// The colour of each index: black where the palette has none.
fn colour_table(decoder: &Decoder<&[u8]>) -> Result<[[u8; 3]; 256], RecognitionError> {
    let palette = decoder.palette().map_err(|error| damaged(&error))?;
    let mut colours = [[0; 3]; 256];
    for (colour, entry) in colours.iter_mut().zip(palette.as_chunks::<3>().0) {
        *colour = *entry;
    }
    Ok(colours)
}

/// The level of grey that the frame stands out from on a screen of so many pixels. What it does not
/// cover is transparent, too.
fn contrast(indices: &[u8], colours: &[[u8; 3]; 256], clear: u8, screen: u64) -> u8 {
    let mut counts = [0; 256];
    for index in indices {
        counts[usize::from(*index)] += 1;
    }
    counts[usize::from(clear)] += screen.saturating_sub(indices.len() as u64);
    let mut visible = Visible::default();
    for ((index, count), colour) in counts.into_iter().enumerate().zip(colours) {
        visible.add(*colour, if index == usize::from(clear) { 0 } else { 255 }, count);
    }
    visible.contrast()
}

/// The colour of what no frame covers, as the format has it and Pillow does it. (Browsers leave it
/// transparent, which only a frame with a transparent colour asks for here.)
fn screen_colour(decoder: &Decoder<&[u8]>) -> Option<[u8; 3]> {
    let palette = decoder.global_palette()?.as_chunks::<3>().0;
    palette.get(decoder.bg_color()?).copied()
}

/// Puts the frame onto the screen; what reaches beyond it is cut off.
fn paint(screen: &mut [u8], indices: &[u8], placement: &FramePlacement, colours: &[[u8; 3]; 256]) {
    let (pixels, _) = screen.as_chunks_mut::<3>();
    let screen_rows = pixels.chunks_exact_mut(placement.screen_width).skip(placement.top);
    for (screen_row, frame_row) in screen_rows.zip(indices.chunks_exact(placement.width)) {
        let visible = screen_row.iter_mut().skip(placement.left);
        for (pixel, &index) in visible.zip(frame_row) {
            *pixel = colours[usize::from(index)];
        }
    }
}

fn damaged(error: &::gif::DecodingError) -> RecognitionError {
    if matches!(error, ::gif::DecodingError::MemoryLimit | ::gif::DecodingError::OutOfMemory) {
        let sentence = "the GIF has more than 4 MB of metadata; remove it";
        return RecognitionError::BadImage(sentence.to_owned());
    }
    RecognitionError::bad_image_with_detail(
        "the GIF data is damaged or truncated",
        &error.to_string(),
    )
}
