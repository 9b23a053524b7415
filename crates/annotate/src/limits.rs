//! What a result and its photo may be.

/// Most pixels of a photo, as many as the module takes by default (`image.max-pixels`).
pub const MAX_PIXELS: u64 = 50_000_000;

/// Most bytes of a result's JSON: a picture with a thousand faces and their embeddings takes one million.
pub const MAX_RESULT: usize = 4 << 20;

/// Most marks (objects, faces, lines, plates, barcodes) of one picture.
pub const MAX_MARKS: usize = 2000;
