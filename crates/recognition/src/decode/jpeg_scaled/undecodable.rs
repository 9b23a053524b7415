//! The one error of this decoder.

/// A file for the full decoder: unusual or damaged.
#[derive(Debug)]
pub struct Undecodable;
