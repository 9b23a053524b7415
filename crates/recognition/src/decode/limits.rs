//! What a picture may cost, asked with the numbers of its header before a pixel is decoded.

use crate::error::RecognitionError;

/// Limits on one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most pixels (width * height) of a picture: the setting `image.max-pixels`.
    pub max_pixels: u64,
    /// Most bytes of all buffers at the same time, the finished picture included: the setting
    /// `image.decode-memory`.
    pub memory: u64,
}

impl DecodeLimits {
    /// Pixels; above what phones take.
    pub const DEFAULT_MAX_PIXELS: u64 = 50_000_000;
    /// Bytes: 256 MiB.
    pub const DEFAULT_MEMORY: u64 = 256 * 1024 * 1024;

    /// The number of pixels, if it is neither 0 nor too large.
    pub(super) fn check_size(&self, width: u32, height: u32) -> Result<u64, RecognitionError> {
        if width == 0 || height == 0 {
            return Err(RecognitionError::BadImage(format!(
                "the image has no pixels: its size is {width}x{height}"
            )));
        }
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.max_pixels {
            let limit = self.max_pixels;
            return Err(RecognitionError::BadImage(format!(
                "the image is too large: {width}x{height} is {pixels} pixels, \
                 image.max-pixels is {limit}"
            )));
        }
        Ok(pixels)
    }

    /// Refuses a picture that would take `estimate` bytes to decode, if that is too much.
    pub(super) fn check_memory(&self, estimate: u64) -> Result<(), RecognitionError> {
        let limit = self.memory;
        if estimate > limit {
            return Err(RecognitionError::BadImage(format!(
                "decoding the image would take up to {estimate} bytes, \
                 image.decode-memory is {limit}"
            )));
        }
        Ok(())
    }
}

/// How much of a picture is needed. What a format can decode at a reduced size for less, JPEG at
/// 1/2, 1/4 or 1/8, is then decoded so; all else comes in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Every pixel.
    Full,
    /// The shorter side must keep at least that many pixels, if it has them.
    ShortSide(u32),
    /// The longer side must keep at least that many pixels, if it has them.
    LongSide(u32),
}

impl Detail {
    /// The largest of 8, 4, 2 and 1 by which a picture may be scaled down. Sides are rounded up.
    pub(super) fn denominator(self, width: u32, height: u32) -> u32 {
        let (side, wanted) = match self {
            Self::Full => return 1,
            Self::ShortSide(wanted) => (width.min(height), wanted),
            Self::LongSide(wanted) => (width.max(height), wanted),
        };
        let keeps_enough = |denominator: &u32| side.div_ceil(*denominator) >= wanted;
        [8, 4, 2].into_iter().find(keeps_enough).unwrap_or(1)
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: Self::DEFAULT_MAX_PIXELS, memory: Self::DEFAULT_MEMORY }
    }
}
