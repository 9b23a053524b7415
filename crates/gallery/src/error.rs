//! Why a gallery refuses something: sentences in printable ASCII, fit to be sent to a client.

use std::fmt;

use super::ids::SampleId;
use super::limits::{MAX_DIMENSIONS, MAX_MODEL_NAME, MAX_SUBJECT_NAME};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GalleryError {
    /// The vector has another length than the gallery's.
    Dimensions {
        expected: usize,
        found: usize,
    },
    /// No gallery can have that many dimensions, or none.
    NoSuchDimensions {
        found: usize,
    },
    /// The vector's bytes are no whole number of floats.
    VectorBytes {
        found: usize,
    },
    NotFinite,
    ZeroVector,
    SubjectName {
        found: usize,
    },
    ModelName,
    Space,
    /// The id belongs to another sample.
    SampleTaken(SampleId),
    SampleId,
    /// No row or sample id is left.
    Full,
}

impl fmt::Display for GalleryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Dimensions { expected, found } => write!(
                formatter,
                "the vector has {found} dimensions, the gallery's embeddings have {expected}"
            ),
            Self::NoSuchDimensions { found } => write!(
                formatter,
                "an embedding has 1 to {MAX_DIMENSIONS} dimensions, this vector has {found}"
            ),
            Self::VectorBytes { found } => write!(
                formatter,
                "a vector is a string of 32-bit little-endian floats; {found} bytes are not a \
                 multiple of 4"
            ),
            Self::NotFinite => {
                formatter.write_str("the vector holds a number that is infinite or not a number")
            }
            Self::ZeroVector => {
                formatter.write_str("the vector is zero, so it has no direction to compare")
            }
            Self::SubjectName { found } => write!(
                formatter,
                "a subject's name has 1 to {MAX_SUBJECT_NAME} bytes, this one has {found}"
            ),
            Self::ModelName => {
                write!(formatter, "a model's name has 1 to {MAX_MODEL_NAME} printable characters")
            }
            Self::Space => formatter.write_str("a space is eight lower-case hex digits"),
            Self::SampleTaken(sample) => {
                write!(formatter, "sample {} is there already, with other content", sample.0)
            }
            Self::SampleId => {
                write!(formatter, "a sample id is a number from 1 to {}", SampleId::MAX.0)
            }
            Self::Full => formatter.write_str("the gallery has no place for another sample"),
        }
    }
}

impl std::error::Error for GalleryError {}
