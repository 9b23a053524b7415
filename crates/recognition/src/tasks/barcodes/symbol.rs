//! What a reading of a code is made of.

use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Serialize};

/// A place, or a way from one to another, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f32,
    pub y: f32,
}

impl Add for Point {
    type Output = Point;
    fn add(self, other: Point) -> Point {
        Point { x: self.x + other.x, y: self.y + other.y }
    }
}

impl Sub for Point {
    type Output = Point;
    fn sub(self, other: Point) -> Point {
        Point { x: self.x - other.x, y: self.y - other.y }
    }
}

impl Mul<f32> for Point {
    type Output = Point;
    fn mul(self, factor: f32) -> Point {
        Point { x: self.x * factor, y: self.y * factor }
    }
}

impl Point {
    pub fn length(self) -> f32 {
        self.x.hypot(self.y)
    }
}

/// A symbology, under the name that manifests and results have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Format {
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
pub struct Reading {
    pub format: Format,
    pub text: String,
    pub from: Point,
    pub to: Point,
}
