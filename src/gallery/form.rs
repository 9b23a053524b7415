//! The form in which a gallery is saved.

use std::fmt;

use super::{Gallery, Memory};

/// Raised whenever the form changes. It is the data type's encoding version in an RDB.
pub const FORMAT: u64 = 1;

/// Where a gallery is saved to.
pub trait Sink {
    fn save_unsigned(&mut self, number: u64);
    fn save_bytes(&mut self, bytes: &[u8]);
}

/// Where a gallery is loaded from. `None` where the source has failed or ended.
pub trait Source {
    type Bytes: AsRef<[u8]>;
    fn load_unsigned(&mut self) -> Option<u64>;
    fn load_bytes(&mut self) -> Option<Self::Bytes>;
}

/// Why what was saved is no gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormError(pub &'static str);

impl fmt::Display for FormError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for FormError {}

impl<A: Memory> Gallery<A> {
    pub fn encode(&self, _: &mut impl Sink) {}
    pub fn decode(_: &mut impl Source) -> Result<Gallery<A>, FormError> {
        Err(FormError("not written yet"))
    }
}
