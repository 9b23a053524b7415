//! Galleries: known subjects (people, book covers) as embeddings, and the exact search among them.
//!
//! It knows nothing of Redis and may not: everything here is plain Rust, tested alone. Memory comes
//! from the allocator that [`Gallery`] is made with, so that the server can lend its own.
//!
//! # Threads
//!
//! A gallery has one owner, the main thread, which alone reads and changes it. A search takes a
//! [`Snapshot`], a list of shared chunks of rows, to any other thread. The owner changes a chunk in
//! place while it alone holds it, and a copy of it otherwise, so that no row changes under a search
//! and nothing here needs a lock. In a forked child (encode, digest, memory usage) nothing is read
//! that another thread of the parent may have been writing, the chunks' reference counts included.
//!
//! # What is forgotten
//!
//! The row of a removed sample is overwritten, that of the row moved into its place too, and a chunk
//! is overwritten before its memory is given back, by whoever lets go of it last. So no byte of a
//! forgotten embedding remains once the last search that began before has ended.
//!
//! # Numbers
//!
//! Embeddings have unit length: a [`UnitVector`] is made once, before it is replicated, and making
//! one of its own numbers changes no bit. The dot product adds in one fixed order, whatever the
//! instruction set, so that replicas answer the same to the last bit; and equal similarities are
//! ordered by sample id, which replicas share, rather than by row or subject id, which they do not.

mod chunk;
mod error;
mod form;
mod kernel;
mod search;
mod store;
mod subjects;
#[cfg(test)]
mod tests;
mod vector;

use std::fmt;
use std::str::FromStr;

use allocator_api2::alloc::Allocator;

pub use error::GalleryError;
pub use form::{FORMAT, FormError, Sink, Source};
pub use search::{Match, Snapshot};
pub use store::{Forgotten, Gallery, Sample};
pub use subjects::{Page, SubjectEntry};
pub use vector::UnitVector;

/// The most dimensions of an embedding.
pub const MAX_DIMENSIONS: usize = 4096;

/// The longest name of a subject, in bytes.
pub const MAX_SUBJECT_NAME: usize = 512;

/// The longest name of a model, in bytes.
pub const MAX_MODEL_NAME: usize = 255;

/// Where a gallery's memory comes from. Its search threads give back memory too.
pub trait Memory: Allocator + Clone + Default + Send + Sync + 'static {}

impl<A: Allocator + Clone + Default + Send + Sync + 'static> Memory for A {}

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

/// Tells one sample of a gallery from another. Master and replicas share it; never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId(pub u64);

impl SampleId {
    /// Every id is exact where numbers are doubles, as in JSON.
    pub const MAX: SampleId = SampleId((1 << 53) - 1);
}

/// Tells one subject of a gallery from another, in this process: one that was forgotten resolves to
/// nothing, also after its name was enrolled again. Replicas have ids of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(u64);
