//! What a gallery is bound to.

use std::fmt;
use std::str::FromStr;

use super::error::GalleryError;

/// What a gallery is bound to at its first enrolment, so that embeddings of different models never
/// mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub model: String,
    pub space: Space,
    pub dimensions: usize,
}

/// What an embedding depends on, as eight hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Space(pub u32);

impl fmt::Display for Space {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

impl FromStr for Space {
    type Err = GalleryError;

    fn from_str(text: &str) -> Result<Space, GalleryError> {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 8 || !text.bytes().all(digits) {
            return Err(GalleryError::Space);
        }
        u32::from_str_radix(text, 16).map(Space).map_err(|_| GalleryError::Space)
    }
}
