//! Quads as pictures of flat rectangles: their sides and their parts.

use super::{Point, Projection, Quad, Rect, distance};

/// Width and height of what a quad shows: the longer of opposite sides.
pub fn sides(quad: &Quad) -> (f64, f64) {
    let [top_left, top_right, bottom_right, bottom_left] = *quad;
    let width = distance(top_left, top_right).max(distance(bottom_left, bottom_right));
    let height = distance(top_left, bottom_left).max(distance(top_right, bottom_right));
    (width, height)
}

/// Whether it is convex and its corners go round clockwise. False if a corner is not finite.
pub fn is_convex(quad: &Quad) -> bool {
    (0..4).all(|i| {
        let [a, b, c] = [quad[i], quad[(i + 1) % 4], quad[(i + 2) % 4]];
        (b.x - a.x) * (c.y - b.y) - (b.y - a.y) * (c.x - b.x) > 0.0
    })
}

/// A part of what a quad shows, in its own coordinates: (0, 0) is its top left corner, (1, 1) its
/// bottom right one. May reach beyond. None if that is no convex quad, or lies behind the horizon.
pub fn part(quad: &Quad, part: &Rect) -> Option<Quad> {
    let projection = Projection::of_rectangle(1.0, 1.0, quad)?;
    let corner = |x: f64, y: f64| projection.apply_before_horizon(Point { x, y });
    let Rect { left, top, right, bottom } = *part;
    let quad =
        [corner(left, top)?, corner(right, top)?, corner(right, bottom)?, corner(left, bottom)?];
    is_convex(&quad).then_some(quad)
}

/// The same around its middle, that many times as wide and as high.
pub fn grown(quad: &Quad, width: f64, height: f64) -> Option<Quad> {
    part(quad, &Rect::around(Point { x: 0.5, y: 0.5 }, width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quad(corners: [(f64, f64); 4]) -> Quad {
        corners.map(|(x, y)| Point { x, y })
    }

    #[test]
    fn parts_of_a_rectangle_are_rectangles() {
        let plate = quad([(10.0, 20.0), (50.0, 20.0), (50.0, 30.0), (10.0, 30.0)]);
        assert_eq!(sides(&plate), (40.0, 10.0));
        let right_half = Rect { left: 0.5, top: 0.0, right: 1.0, bottom: 1.0 };
        let wanted = quad([(30.0, 20.0), (50.0, 20.0), (50.0, 30.0), (30.0, 30.0)]);
        assert_eq!(part(&plate, &right_half), Some(wanted));
        let wanted = quad([(-10.0, 20.0), (70.0, 20.0), (70.0, 30.0), (-10.0, 30.0)]);
        assert_eq!(grown(&plate, 2.0, 1.0), Some(wanted));
    }

    #[test]
    fn nothing_lies_behind_the_horizon() {
        // The left side is three times the right one: the sides meet at x = 1.5.
        let plate = quad([(0.0, 0.0), (10.0, 3.0), (10.0, 6.0), (0.0, 9.0)]);
        let up_to = |right: f64| part(&plate, &Rect { left: 0.0, top: 0.0, right, bottom: 1.0 });
        assert!(up_to(3.0).is_some());
        assert_eq!(part(&plate, &Rect { left: -0.6, top: 0.0, right: 1.0, bottom: 1.0 }), None);
    }

    #[test]
    fn only_clockwise_convex_quads_are_convex() {
        let square = quad([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]);
        assert!(is_convex(&square));
        let [a, b, c, d] = square;
        assert!(!is_convex(&[d, c, b, a]));
        assert!(!is_convex(&[a, b, d, c]));
        assert!(!is_convex(&[a, b, Point { x: f64::NAN, y: 1.0 }, d]));
    }
}
