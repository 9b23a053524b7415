//! What a reading of a code is made of.

use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Serialize};

/// A place, or a way from one to another, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelPoint {
    pub x: f32,
    pub y: f32,
}

impl Add for PixelPoint {
    type Output = PixelPoint;
    fn add(self, other: PixelPoint) -> PixelPoint {
        PixelPoint { x: self.x + other.x, y: self.y + other.y }
    }
}

impl Sub for PixelPoint {
    type Output = PixelPoint;
    fn sub(self, other: PixelPoint) -> PixelPoint {
        PixelPoint { x: self.x - other.x, y: self.y - other.y }
    }
}

impl Mul<f32> for PixelPoint {
    type Output = PixelPoint;
    fn mul(self, factor: f32) -> PixelPoint {
        PixelPoint { x: self.x * factor, y: self.y * factor }
    }
}

impl PixelPoint {
    pub fn length(self) -> f32 {
        self.x.hypot(self.y)
    }
}

/// A symbology, under the name that manifests and results have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum CodeFormat {
    #[serde(rename = "EAN-13")]
    Ean13,
    #[serde(rename = "EAN-8")]
    Ean8,
    #[serde(rename = "UPC-A")]
    UpcA,
    #[serde(rename = "UPC-E")]
    UpcE,
    Code128,
    Code39,
    #[serde(rename = "ITF")]
    Itf,
    QRCode,
    DataMatrix,
}

/// One reading of a linear code: what, and along which way.
#[derive(Clone, Debug)]
pub struct LinearReading {
    pub format: CodeFormat,
    pub text: String,
    pub from: PixelPoint,
    pub to: PixelPoint,
}
