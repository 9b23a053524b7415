//! Projective maps: what a flat thing looks like from anywhere.

use super::Point;

/// A projective map of the plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    rows: [[f64; 3]; 3],
}

impl Projection {
    /// The map that takes the corners (0,0), (width,0), (width,height), (0,height) to those of the
    /// quad; none if it is not convex, or without area. (Heckbert, Fundamentals of Texture Mapping and
    /// Image Warping, 1989, 2.2.3.)
    pub fn of_rectangle(width: f64, height: f64, quad: &[Point; 4]) -> Option<Projection> {
        let [p0, p1, p2, p3] = *quad;
        let side_1 = Point { x: p1.x - p2.x, y: p1.y - p2.y };
        let side_2 = Point { x: p3.x - p2.x, y: p3.y - p2.y };
        let excess = Point { x: p0.x - p1.x + p2.x - p3.x, y: p0.y - p1.y + p2.y - p3.y };
        let determinant = cross(side_1, side_2);
        let g = cross(excess, side_2) / determinant;
        let h = cross(side_1, excess) / determinant;
        // The horizon must not run through the rectangle.
        if !(g > -1.0 && h > -1.0 && g + h > -1.0) || determinant.abs() < 1e-9 {
            return None;
        }
        let rows = [
            [(p1.x - p0.x + g * p1.x) / width, (p3.x - p0.x + h * p3.x) / height, p0.x],
            [(p1.y - p0.y + g * p1.y) / width, (p3.y - p0.y + h * p3.y) / height, p0.y],
            [g / width, h / height, 1.0],
        ];
        let finite = rows.iter().flatten().all(|number| number.is_finite());
        finite.then_some(Projection { rows })
    }

    pub fn apply(&self, point: Point) -> Point {
        let [x, y, w] = self.rows.map(|[a, b, c]| a * point.x + b * point.y + c);
        Point { x: x / w, y: y / w }
    }

    /// As `apply`, of a point that may lie beyond the rectangle: none at the horizon, or behind it.
    pub fn apply_before_horizon(&self, point: Point) -> Option<Point> {
        let [.., w] = self.rows.map(|[a, b, c]| a * point.x + b * point.y + c);
        let image = self.apply(point);
        (w > 1e-6 && image.x.is_finite() && image.y.is_finite()).then_some(image)
    }
}

fn cross(a: Point, b: Point) -> f64 {
    a.x * b.y - b.x * a.y
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corner(x: f64, y: f64) -> Point {
        Point { x, y }
    }

    #[test]
    fn corners_and_the_crossing_of_diagonals_are_taken_to_each_other() {
        let quad = [corner(1.0, 2.0), corner(9.0, 1.0), corner(8.0, 7.0), corner(2.0, 5.0)];
        let map = Projection::of_rectangle(20.0, 10.0, &quad).expect("convex");
        let near = |at: Point, to: Point| (at.x - to.x).hypot(at.y - to.y) < 1e-9;
        for (x, y, target) in
            [(0.0, 0.0, quad[0]), (20.0, 0.0, quad[1]), (20.0, 10.0, quad[2]), (0.0, 10.0, quad[3])]
        {
            assert!(near(map.apply(corner(x, y)), target));
        }
        // Where the line from 0 to 2 meets that from 1 to 3.
        let middle = map.apply(corner(10.0, 5.0));
        let on_line = |a: Point, b: Point| {
            cross(corner(b.x - a.x, b.y - a.y), corner(middle.x - a.x, middle.y - a.y)).abs()
        };
        assert!(on_line(quad[0], quad[2]) < 1e-9 && on_line(quad[1], quad[3]) < 1e-9);
    }

    #[test]
    fn what_is_no_quadrangle_has_none() {
        let folded = [corner(0.0, 0.0), corner(4.0, 4.0), corner(4.0, 0.0), corner(0.0, 4.0)];
        let dent = [corner(0.0, 0.0), corner(4.0, 0.0), corner(1.0, 1.0), corner(0.0, 4.0)];
        let line = [0.0, 1.0, 2.0, 3.0].map(|x| corner(x, x));
        for quad in [folded, dent, line, [corner(f64::INFINITY, 0.0); 4]] {
            assert_eq!(Projection::of_rectangle(4.0, 4.0, &quad), None, "{quad:?}");
        }
    }
}
