//! Points and upright rectangles of the picture, and lines cut to it.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

/// Further out nothing is told apart; so no sum or product overflows.
const FAR: f64 = 1e7;

impl Point {
    pub(crate) fn new(x: f64, y: f64) -> Point {
        Point { x: x.clamp(-FAR, FAR) as f32, y: y.clamp(-FAR, FAR) as f32 }
    }
}

/// An upright rectangle; `right` and `bottom` are not below `left` and `top`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) right: f32,
    pub(crate) bottom: f32,
}

impl Area {
    pub(crate) fn at(left: f32, top: f32, width: f32, height: f32) -> Area {
        Area { left, top, right: left + width, bottom: top + height }
    }

    /// The smallest one around all points. `None` without points.
    pub(crate) fn around(points: &[Point]) -> Option<Area> {
        let first = points.first()?;
        let start = Area { left: first.x, top: first.y, right: first.x, bottom: first.y };
        Some(points.iter().fold(start, |area, point| Area {
            left: area.left.min(point.x),
            top: area.top.min(point.y),
            right: area.right.max(point.x),
            bottom: area.bottom.max(point.y),
        }))
    }

    pub(crate) fn width(&self) -> f32 {
        self.right - self.left
    }

    pub(crate) fn height(&self) -> f32 {
        self.bottom - self.top
    }

    pub(crate) fn size(&self) -> f32 {
        self.width() * self.height()
    }

    /// What both cover; of no width or height if they only touch. `None` if they don't meet.
    pub(crate) fn common(&self, other: &Area) -> Option<Area> {
        let common = Area {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        };
        (common.left <= common.right && common.top <= common.bottom).then_some(common)
    }

    /// How much of `self` the other covers, 0 to 1.
    pub(crate) fn share_under(&self, other: &Area) -> f32 {
        match self.common(other) {
            Some(common) => common.size() / self.size().max(1.0),
            None => 0.0,
        }
    }

    /// Smaller by `margin` on each side, at most down to its centre.
    pub(crate) fn inset(&self, margin: f32) -> Area {
        let (x, y) = (margin.min(self.width() / 2.0), margin.min(self.height() / 2.0));
        Area {
            left: self.left + x,
            top: self.top + y,
            right: self.right - x,
            bottom: self.bottom - y,
        }
    }

    pub(crate) fn holds(&self, point: Point) -> bool {
        (self.left..=self.right).contains(&point.x) && (self.top..=self.bottom).contains(&point.y)
    }

    /// The part of the line from one point to the other within `self` (Liang and Barsky's rule). `None` if it passes by.
    pub(crate) fn cut_line(&self, from: Point, to: Point) -> Option<(Point, Point)> {
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let (mut enters, mut leaves) = (0.0f32, 1.0f32);
        // For each side: how fast the line goes out through it, and how far inside it begins.
        for (speed, inside) in [
            (-dx, from.x - self.left),
            (dx, self.right - from.x),
            (-dy, from.y - self.top),
            (dy, self.bottom - from.y),
        ] {
            if speed == 0.0 {
                if inside < 0.0 {
                    return None;
                }
            } else if speed < 0.0 {
                enters = enters.max(inside / speed);
            } else {
                leaves = leaves.min(inside / speed);
            }
        }
        let at = |share: f32| Point { x: from.x + share * dx, y: from.y + share * dy };
        (enters <= leaves).then(|| (at(enters), at(leaves)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: Area = Area { left: 0.0, top: 0.0, right: 10.0, bottom: 10.0 };

    fn cut(from: (f64, f64), to: (f64, f64)) -> Option<(Point, Point)> {
        PICTURE.cut_line(Point::new(from.0, from.1), Point::new(to.0, to.1))
    }

    #[test]
    fn a_line_is_cut_where_it_crosses_the_edge() {
        let inside = (Point::new(2.0, 3.0), Point::new(4.0, 5.0));
        assert_eq!(cut((2.0, 3.0), (4.0, 5.0)), Some(inside));
        assert_eq!(
            cut((-5.0, -5.0), (15.0, 15.0)),
            Some((Point::new(0.0, 0.0), Point::new(10.0, 10.0)))
        );
        assert_eq!(
            cut((5.0, 2.0), (5.0, 99.0)),
            Some((Point::new(5.0, 2.0), Point::new(5.0, 10.0)))
        );
    }

    #[test]
    fn a_line_that_passes_by_is_gone() {
        assert_eq!(cut((-1.0, 5.0), (-1.0, 6.0)), None);
        assert_eq!(cut((-8.0, 5.0), (5.0, 18.0)), None);
        assert_eq!(cut((1e300, -1e300), (1e300, 1e300)), None);
    }
}
