//! Plane geometry that several tasks need. Coordinates are continuous: pixel (i, j) covers
//! [i, i+1) x [j, j+1), x to the right, y down.

mod nms;
mod projection;
mod quad;
mod rectangle;
mod regions;
mod similarity;
mod warp;

pub use nms::non_maximum_suppression;
pub use projection::Projection;
pub use quad::{grown, is_convex, part, sides};
pub use rectangle::{TurnedRect, clockwise};
pub use regions::Map;
pub use similarity::Similarity;
pub use warp::{Outside, Patch, cut_out, sample_at_pixels};

use serde::{Serialize, Serializer};

use super::json::coordinate;

/// A point, or a displacement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// Four corners: top left, top right, bottom right, bottom left of what they show.
pub type Quad = [Point; 4];

pub fn distance(a: Point, b: Point) -> f64 {
    (a.x - b.x).hypot(a.y - b.y)
}

/// As `[x,y]`.
impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [coordinate(self.x), coordinate(self.y)].serialize(serializer)
    }
}

/// An upright box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// As `[x,y,width,height]`.
impl Serialize for Rect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.left, self.top, self.width(), self.height()].map(coordinate).serialize(serializer)
    }
}

impl Rect {
    /// The box of that size around its centre.
    pub fn around(centre: Point, width: f64, height: f64) -> Rect {
        Rect {
            left: centre.x - width / 2.0,
            top: centre.y - height / 2.0,
            right: centre.x + width / 2.0,
            bottom: centre.y + height / 2.0,
        }
    }

    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub fn area(&self) -> f64 {
        self.width() * self.height()
    }

    /// The part of it inside a picture of that size.
    pub fn clipped(&self, width: u32, height: u32) -> Rect {
        let (width, height) = (f64::from(width), f64::from(height));
        Rect {
            left: self.left.clamp(0.0, width),
            top: self.top.clamp(0.0, height),
            right: self.right.clamp(0.0, width),
            bottom: self.bottom.clamp(0.0, height),
        }
    }

    /// Intersection over union: 0 for boxes that do not overlap, 1 for equal ones.
    pub fn iou(&self, other: &Rect) -> f64 {
        match self.common_area(other) {
            0.0 => 0.0,
            common => common / (self.area() + other.area() - common),
        }
    }

    /// Intersection over the smaller of the two: 1 for a box within another.
    pub fn share_of_smaller(&self, other: &Rect) -> f64 {
        match self.common_area(other) {
            0.0 => 0.0,
            common => common / self.area().min(other.area()),
        }
    }

    fn common_area(&self, other: &Rect) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        if width <= 0.0 || height <= 0.0 { 0.0 } else { width * height }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_is_the_common_share() {
        let unit = Rect { left: 0.0, top: 0.0, right: 2.0, bottom: 2.0 };
        let shifted = Rect { left: 1.0, top: 0.0, right: 3.0, bottom: 2.0 };
        let away = Rect { left: 2.0, top: 0.0, right: 4.0, bottom: 2.0 };
        assert_eq!(unit.iou(&unit), 1.0);
        assert!((unit.iou(&shifted) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(unit.iou(&away), 0.0);
        let within = Rect { left: 0.5, top: 0.5, right: 1.0, bottom: 1.0 };
        assert_eq!(unit.share_of_smaller(&within), 1.0);
        assert_eq!(within.share_of_smaller(&shifted), 0.0);
        assert_eq!(shifted.share_of_smaller(&unit), 0.5);
    }

    #[test]
    fn boxes_are_clipped_to_the_picture_however_large_they_are() {
        let everything = Rect::around(Point { x: 5.0, y: 5.0 }, f64::INFINITY, f64::MAX);
        let clipped = everything.clipped(10, 20);
        assert_eq!(serde_json::to_string(&clipped).expect("numbers"), "[0.0,0.0,10.0,20.0]");
        let outside = Rect::around(Point { x: -50.0, y: 5.0 }, 10.0, 4.0).clipped(10, 20);
        assert_eq!(serde_json::to_string(&outside).expect("numbers"), "[0.0,3.0,0.0,4.0]");
    }
}
