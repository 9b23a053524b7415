//! The buffers that pictures pass through.

use std::time::Duration;

use fast_image_resize::Resizer;

/// The buffers of one worker, kept from photo to photo.
#[derive(Default)]
pub struct Scratch {
    pub(super) resizer: Resizer,
    pub(super) narrowed: Vec<u8>,
    pub(super) resized: Vec<u8>,
    pub(super) ground: Vec<u8>,
    /// The graph's input.
    pub(crate) input: Vec<f32>,
    /// How long the graphs have run for the photo at hand.
    pub(crate) inference: Duration,
}
