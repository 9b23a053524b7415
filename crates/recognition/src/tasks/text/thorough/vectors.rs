//! Directions in a picture, whose y points down.

use crate::geometry::Point;

/// A quarter turn, clockwise as one looks at the picture: what is right becomes down.
pub fn down_of(right: Point) -> Point {
    Point { x: -right.y, y: right.x }
}

pub fn opposite(direction: Point) -> Point {
    Point { x: -direction.x, y: -direction.y }
}

pub fn dot(a: Point, b: Point) -> f64 {
    a.x * b.x + a.y * b.y
}
