//! What a client asked of a gallery, as data: its arguments are understood, nothing is done yet.

use gallery::Binding;
use recognition::embedding::Gate;

use super::db_key::DbKey;
use crate::server::gallery_value::ValueId;

/// A call to a gallery.
pub struct GalleryCall {
    /// The gallery's key.
    pub key: DbKey,
    /// The value that the key held when the call came; none if there was no key.
    pub value: Option<ValueId>,
    pub binding: Binding,
    /// Cosine similarity from which on a subject is recognised.
    pub threshold: f64,
    pub purpose: Purpose,
}

/// What the call is for.
pub enum Purpose {
    Identify {
        /// Candidates to be listed for each face.
        top: usize,
    },
    Verify {
        subject: Vec<u8>,
    },
    Enrol {
        subject: Vec<u8>,
        /// Of several faces the largest is enrolled.
        largest: bool,
        /// No warning is given, whoever the face is like.
        force: bool,
        gate: Option<Gate>,
    },
}

impl GalleryCall {
    /// What its client may do when its time is over.
    pub fn advice_when_late(&self) -> &'static str {
        match self.purpose {
            Purpose::Enrol { .. } => "nothing was enrolled; try again",
            Purpose::Identify { .. } | Purpose::Verify { .. } => "ask again",
        }
    }
}
