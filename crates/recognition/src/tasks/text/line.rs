//! A line of text, as the result has it.

use serde::Serialize;

use crate::decode::Photo;
use crate::geometry::{Point, Quad};
use crate::json;

/// A line that could be read.
#[derive(Serialize)]
pub struct Line {
    pub text: String,
    #[serde(serialize_with = "json::score")]
    pub score: f32,
    /// Within the photo.
    pub quad: Quad,
}

/// The part of the quad inside the photo.
pub fn clipped(quad: Quad, photo: &Photo) -> Quad {
    let (width, height) = (f64::from(photo.width), f64::from(photo.height));
    quad.map(|Point { x, y }| Point { x: x.clamp(0.0, width), y: y.clamp(0.0, height) })
}
