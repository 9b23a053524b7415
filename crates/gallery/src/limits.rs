//! What a gallery may hold.

/// The most dimensions of an embedding.
pub const MAX_DIMENSIONS: usize = 4096;

/// The longest name of a model, in bytes.
pub const MAX_MODEL_NAME: usize = 255;

/// The longest name of a subject, in bytes.
pub const MAX_SUBJECT_NAME: usize = 512;
