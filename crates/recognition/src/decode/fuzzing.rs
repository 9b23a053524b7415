//! The decoders of our own, for `fuzz/`: without what other crates decode, whose panics are caught in
//! [`super::decode`] and are theirs.

use image::metadata::Orientation;

use super::jpeg_scaled::ScaledDecoder;
use super::jpeg_stream::JpegStream;
use super::photo::{Decoded, Photo};
use super::{orientation, webp_lossless};

/// The most bytes that one picture may take here, so that many are tried in a second.
const MEMORY: u64 = 32 << 20;

/// A JPEG file at a reduced size: width, height and pixels.
pub fn scaled_jpeg(payload: &[u8], denominator: u32) -> Option<(u32, u32, Vec<u8>)> {
    let stream = JpegStream::read(payload).ok()?;
    // The full decoders get a copy of what was read.
    assert_eq!(stream.to_file().len(), stream.file_length());
    let decoder = ScaledDecoder::new(&stream, denominator)?;
    let (width, height) = decoder.size();
    if decoder.memory() > MEMORY {
        return None;
    }
    Some((width, height, decoder.decode().ok()?))
}

/// What the coding trees of lossless WebP data would take, in bytes.
pub fn webp_tree_memory(bits: &[u8], width: u32, height: u32, has_header: bool) -> Option<u64> {
    webp_lossless::tree_memory(bits, width, height, MEMORY, has_header).ok()
}

/// A picture as it is stored, turned upright within the memory given; `exif` is one of the eight values
/// of the tag Orientation.
pub fn turned(width: u32, height: u32, rgb: Vec<u8>, exif: u8, memory: u64) -> Photo {
    let orientation = Orientation::from_exif(exif).unwrap_or(Orientation::NoTransforms);
    let full_size = (width, height);
    orientation::upright(Decoded { width, height, rgb, orientation, full_size }, memory)
}
