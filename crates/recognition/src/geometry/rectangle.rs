//! Turned rectangles around sets of pixels, and their corners.

use super::{Point, Quad};

/// A rectangle in any direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnedRect {
    pub centre: Point,
    /// The direction of the width, of unit length.
    pub axis: Point,
    pub width: f64,
    pub height: f64,
}

impl TurnedRect {
    /// The one of least area around pixels (their indices, column and row; unit squares). None
    /// without pixels.
    pub fn around_pixels(pixels: &[(u32, u32)]) -> Option<TurnedRect> {
        let hull = convex_hull(&outermost_corners(pixels));
        let mut best: Option<TurnedRect> = None;
        for (index, a) in hull.iter().enumerate() {
            let b = hull[(index + 1) % hull.len()];
            let length = (b.x - a.x).hypot(b.y - a.y);
            let axis = Point { x: (b.x - a.x) / length, y: (b.y - a.y) / length };
            let along = range(hull.iter().map(|p| p.x * axis.x + p.y * axis.y));
            let across = range(hull.iter().map(|p| p.y * axis.x - p.x * axis.y));
            let (width, height) = (along.1 - along.0, across.1 - across.0);
            if best.is_some_and(|best| width * height >= best.width * best.height - 1e-9) {
                continue;
            }
            let (u, v) = ((along.0 + along.1) / 2.0, (across.0 + across.1) / 2.0);
            let centre = Point { x: u * axis.x - v * axis.y, y: u * axis.y + v * axis.x };
            best = Some(TurnedRect { centre, axis, width, height });
        }
        best
    }

    /// The same with its sides longer by that.
    pub fn grown(&self, by: f64) -> TurnedRect {
        TurnedRect { width: self.width + by, height: self.height + by, ..*self }
    }

    /// Its corners, beginning where both coordinates along its sides are least.
    pub fn corners(&self) -> Quad {
        let x = Point { x: self.axis.x * self.width / 2.0, y: self.axis.y * self.width / 2.0 };
        let y = Point { x: -self.axis.y * self.height / 2.0, y: self.axis.x * self.height / 2.0 };
        let Point { x: cx, y: cy } = self.centre;
        [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
            .map(|(i, j)| Point { x: cx + i * x.x + j * y.x, y: cy + i * x.y + j * y.y })
    }

    /// Whether a point lies in it.
    pub fn contains(&self, point: Point) -> bool {
        let (x, y) = (point.x - self.centre.x, point.y - self.centre.y);
        (x * self.axis.x + y * self.axis.y).abs() <= self.width / 2.0
            && (y * self.axis.x - x * self.axis.y).abs() <= self.height / 2.0
    }
}

/// Four points as top left, top right, bottom right, bottom left: the two leftmost by their height,
/// then the other two.
pub fn clockwise(quad: &Quad) -> Quad {
    let mut by_x = *quad;
    by_x.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let [mut a, mut b, mut c, mut d] = by_x;
    if b.y < a.y {
        (a, b) = (b, a);
    }
    if d.y < c.y {
        (c, d) = (d, c);
    }
    [a, c, d, b]
}

/// The corners of the first and the last pixel of each row: no others can be on the hull.
fn outermost_corners(pixels: &[(u32, u32)]) -> Vec<Point> {
    let mut sorted = pixels.to_vec();
    sorted.sort_unstable_by_key(|(x, y)| (*y, *x));
    let mut corners = Vec::new();
    for row in sorted.chunk_by(|a, b| a.1 == b.1) {
        let (Some((first, y)), Some((last, _))) = (row.first(), row.last()) else { continue };
        for x in [f64::from(*first), f64::from(*last) + 1.0] {
            for y in [f64::from(*y), f64::from(*y) + 1.0] {
                corners.push(Point { x, y });
            }
        }
    }
    corners.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    corners.dedup();
    corners
}

/// Andrew's monotone chain, of sorted points.
fn convex_hull(points: &[Point]) -> Vec<Point> {
    let half = |points: &mut dyn Iterator<Item = &Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for p in points {
            while let [.., a, b] = chain[..]
                && (b.x - a.x) * (p.y - a.y) <= (b.y - a.y) * (p.x - a.x)
            {
                chain.pop();
            }
            chain.push(*p);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter());
    hull.extend(half(&mut points.iter().rev()));
    hull
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_rectangle_around_a_slanted_line_is_slanted() {
        let pixels: Vec<(u32, u32)> =
            (0..60).flat_map(|i| (0..4).map(move |j| (10 + i, 5 + i / 2 + j))).collect();
        let rect = TurnedRect::around_pixels(&pixels).expect("pixels");
        let (long, short) = (rect.width.max(rect.height), rect.width.min(rect.height));
        assert!((65.0..72.0).contains(&long) && (3.5..6.0).contains(&short), "{rect:?}");
        for (x, y) in pixels {
            let middle = Point { x: f64::from(x) + 0.5, y: f64::from(y) + 0.5 };
            assert!(rect.contains(middle));
        }
        let outside = Point { x: 40.0, y: 5.0 };
        assert!(!rect.contains(outside) && rect.grown(40.0).contains(outside));
    }

    #[test]
    fn one_pixel_is_a_unit_square_and_none_is_nothing() {
        let rect = TurnedRect::around_pixels(&[(3, 7)]).expect("a pixel");
        assert!((rect.width - 1.0).abs() < 1e-12 && (rect.height - 1.0).abs() < 1e-12);
        assert!((rect.centre.x - 3.5).abs() < 1e-12 && (rect.centre.y - 7.5).abs() < 1e-12);
        let [top_left, _, bottom_right, _] = clockwise(&rect.corners());
        assert!((top_left.x - 3.0).abs() < 1e-12 && (bottom_right.y - 8.0).abs() < 1e-12);
        assert_eq!(TurnedRect::around_pixels(&[]), None);
    }
}
