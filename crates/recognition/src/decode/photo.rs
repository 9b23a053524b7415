//! A decoded picture, as stored and upright.

use std::fmt;

use image::metadata::Orientation;

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

impl fmt::Debug for Photo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Photo({}x{})", self.width, self.height)
    }
}

/// What a format's file hands over: RGB pixels as they are stored, and how to turn them upright.
pub(super) struct Decoded {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
    pub orientation: Orientation,
    /// Width and height of the picture in full, as stored.
    pub full_size: (u32, u32),
}
