//! Similarity transforms: rotation, one scale for both directions, translation.

use super::Point;

/// `x' = a*x - b*y + c`, `y' = b*x + a*y + d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    a: f64,
    b: f64,
    c: f64,
    d: f64,
}

impl Similarity {
    /// The one that brings the points `from` nearest to the points `to`, by least squares; none if all
    /// points of `from` are the same.
    pub fn fit(from: &[Point], to: &[Point]) -> Option<Similarity> {
        let (from_mean, to_mean) = (mean(from), mean(to));
        // With both means at the origin the normal equations have one unknown each.
        let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
        for (source, target) in from.iter().zip(to) {
            let (x, y) = (source.x - from_mean.x, source.y - from_mean.y);
            let (u, v) = (target.x - to_mean.x, target.y - to_mean.y);
            along += x * u + y * v;
            across += x * v - y * u;
            spread += x * x + y * y;
        }
        let (a, b) = (along / spread, across / spread);
        let (c, d) = (
            to_mean.x - a * from_mean.x + b * from_mean.y,
            to_mean.y - b * from_mean.x - a * from_mean.y,
        );
        let scale = a * a + b * b;
        (scale.is_normal() && c.is_finite() && d.is_finite()).then_some(Similarity { a, b, c, d })
    }

    pub fn apply(&self, point: Point) -> Point {
        Point {
            x: self.a * point.x - self.b * point.y + self.c,
            y: self.b * point.x + self.a * point.y + self.d,
        }
    }

    pub fn inverse(&self) -> Similarity {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Similarity { a, b, c: -(a * self.c - b * self.d), d: -(b * self.c + a * self.d) }
    }
}

fn mean(points: &[Point]) -> Point {
    let count = points.len() as f64;
    Point {
        x: points.iter().map(|point| point.x).sum::<f64>() / count,
        y: points.iter().map(|point| point.y).sum::<f64>() / count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [Point; 3] =
        [Point { x: 1.0, y: 2.0 }, Point { x: 5.0, y: -3.0 }, Point { x: 0.5, y: 9.0 }];

    #[test]
    fn a_similarity_is_found_again_and_inverted() {
        let wanted = Similarity { a: 0.5, b: -1.25, c: 30.0, d: 7.0 };
        let moved = POINTS.map(|point| wanted.apply(point));
        let found = Similarity::fit(&POINTS, &moved).expect("three points");
        for (point, target) in POINTS.iter().zip(moved) {
            let there = found.apply(*point);
            assert!((there.x - target.x).abs() < 1e-9 && (there.y - target.y).abs() < 1e-9);
            let back = found.inverse().apply(target);
            assert!((back.x - point.x).abs() < 1e-9 && (back.y - point.y).abs() < 1e-9);
        }
    }

    #[test]
    fn points_that_are_one_point_have_none() {
        assert_eq!(Similarity::fit(&[POINTS[0]; 5], &[POINTS[1]; 5]), None);
        assert_eq!(Similarity::fit(&POINTS, &[POINTS[1]; 3]), None);
    }
}
