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

#![deny(unsafe_code)]

mod allocation;
mod binding;
mod chunk;
mod error;
mod ids;
mod kernel;
mod limits;
mod saved_form;
mod search;
mod store;
mod subjects;
#[cfg(test)]
mod tests;
mod vector;

pub use allocation::Memory;
pub use binding::{Binding, Space};
pub use error::GalleryError;
pub use ids::{SampleId, SubjectId};
pub use limits::{MAX_DIMENSIONS, MAX_MODEL_NAME, MAX_SUBJECT_NAME};
pub use saved_form::{FORMAT, FormError, Sink, Source};
pub use search::{Match, Snapshot};
pub use store::{Forgotten, Gallery, Sample};
pub use subjects::{Page, SubjectEntry};
pub use vector::UnitVector;
