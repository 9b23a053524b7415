//! A place where a line is.

use super::vectors::{dot, down_of};
use super::view::View;
use crate::geometry::{Map, Point, TurnedRect};
use crate::tasks::text::rules::TextRules;

/// Pixels of the map: regions thinner than this are dirt.
const THINNEST: f64 = 3.0;
/// The same, grown.
const THINNEST_GROWN: f64 = 5.0;
/// A region so many times as long as thick may be bent.
const LONGISH: f64 = 4.0;
/// It is if its thickness is less than this share of the rectangle's.
const BENT: f64 = 0.85;

/// A line's place, in pixels of the photo.
#[derive(Clone, Debug)]
pub struct Region {
    /// The width is its longer side.
    pub rect: TurnedRect,
    /// How high the text itself is: less than the rectangle if the line is bent.
    pub thickness: f64,
    pub bend: Bend,
    /// How high the print is in pixels of the view in which it was found.
    pub print: f64,
    /// Whether only a later look has found it.
    pub is_late: bool,
    /// The same line as an earlier look has found it.
    pub earlier: Option<Box<Region>>,
}

/// How far below the rectangle's long axis the middle of the line runs: a parabola.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bend {
    /// Half the length that the parabola was fitted to.
    half: f64,
    /// c0 + c1 t + c2 t², t from -1 to 1.
    coefficients: [f64; 3],
}

impl Bend {
    pub fn at(&self, position: f64) -> f64 {
        let t = (position / self.half).clamp(-1.0, 1.0);
        let [c0, c1, c2] = self.coefficients;
        c0 + c1 * t + c2 * t * t
    }
}

impl Region {
    /// The region of those pixels of a view's map, if it may be a line.
    pub fn of_pixels(
        pixels: &[(u32, u32)],
        map: &Map,
        view: &View,
        rules: &TextRules,
    ) -> Option<Region> {
        let rect = long_side_first(TurnedRect::around_pixels(pixels)?);
        let value = |(x, y): &(u32, u32)| map.values[*y as usize * map.width + *x as usize];
        let mean =
            pixels.iter().map(|pixel| f64::from(value(pixel))).sum::<f64>() / pixels.len() as f64;
        // The mean over the rectangle, as `quick` takes it, would lose curved lines.
        if rect.height < THINNEST || mean < rules.box_threshold.thorough {
            return None;
        }
        let bent = if rect.width >= LONGISH * rect.height { fit(pixels, &rect) } else { None };
        let (print, coefficients) = bent.unwrap_or((rect.height, [0.0; 3]));
        let growth = rules.unclip * rect.width * print / (rect.width + print);
        if print + growth < THINNEST_GROWN {
            return None;
        }
        let scale = view.scale();
        Some(Region {
            rect: view.rect_in_photo(&rect.grown(growth)),
            thickness: (print + growth) / scale,
            bend: Bend {
                half: rect.width / 2.0 / scale,
                coefficients: coefficients.map(|coefficient| coefficient / scale),
            },
            print,
            is_late: false,
            earlier: None,
        })
    }

    pub fn area(&self) -> f64 {
        self.rect.width * self.rect.height
    }

    /// So many times as long as high.
    pub fn ratio(&self) -> f64 {
        self.rect.width / self.rect.height
    }

    /// The same with that much more of its thickness around it, or less.
    pub fn grown(&self, share: f64) -> Region {
        Region {
            rect: self.rect.grown(share * self.thickness),
            thickness: self.thickness * (1.0 + share),
            ..self.clone()
        }
    }

    /// The share of it that lies in others, told by a grid of points.
    pub fn covered_by<'a>(&self, others: impl IntoIterator<Item = &'a Region>) -> f64 {
        const COLUMNS: usize = 24;
        const ROWS: usize = 4;
        let near: Vec<&TurnedRect> =
            others.into_iter().map(|other| &other.rect).filter(|rect| self.is_near(rect)).collect();
        if near.is_empty() {
            return 0.0;
        }
        let TurnedRect { centre, axis, width, height } = self.rect;
        let down = down_of(axis);
        let share = |index: usize, count: usize| (index as f64 + 0.5) / count as f64 - 0.5;
        let is_covered = |index: &usize| {
            let (u, v) =
                (share(index % COLUMNS, COLUMNS) * width, share(index / COLUMNS, ROWS) * height);
            let point = Point {
                x: centre.x + u * axis.x + v * down.x,
                y: centre.y + u * axis.y + v * down.y,
            };
            near.iter().any(|rect| rect.contains(point))
        };
        (0..COLUMNS * ROWS).filter(is_covered).count() as f64 / (COLUMNS * ROWS) as f64
    }

    /// Whether the two may overlap.
    fn is_near(&self, other: &TurnedRect) -> bool {
        let reach = self.rect.width.hypot(self.rect.height) + other.width.hypot(other.height);
        let (a, b) = (self.rect.centre, other.centre);
        (a.x - b.x).hypot(a.y - b.y) <= reach / 2.0
    }
}

fn long_side_first(rect: TurnedRect) -> TurnedRect {
    if rect.width >= rect.height {
        return rect;
    }
    let TurnedRect { centre, axis, width, height } = rect;
    TurnedRect { centre, axis: down_of(axis), width: height, height: width }
}

/// The parabola through the pixels by least squares, if they lie along it so much closer than in the
/// rectangle: their thickness and its coefficients.
fn fit(pixels: &[(u32, u32)], rect: &TurnedRect) -> Option<(f64, [f64; 3])> {
    let down = down_of(rect.axis);
    let places = || {
        pixels.iter().map(|(x, y)| {
            let from_centre = Point {
                x: f64::from(*x) + 0.5 - rect.centre.x,
                y: f64::from(*y) + 0.5 - rect.centre.y,
            };
            (dot(from_centre, rect.axis) / (rect.width / 2.0), dot(from_centre, down))
        })
    };
    // Sums of u^0 … u^4, and of v, uv, u²v.
    let (mut powers, mut products) = ([0.0; 5], [0.0; 3]);
    for (u, v) in places() {
        let mut power = 1.0;
        for (order, sum) in powers.iter_mut().enumerate() {
            *sum += power;
            if let Some(product) = products.get_mut(order) {
                *product += power * v;
            }
            power *= u;
        }
    }
    let rows = [0, 1, 2].map(|row| [powers[row], powers[row + 1], powers[row + 2]]);
    let [c0, c1, c2] = solve(rows, products)?;
    let rest = places().map(|(u, v)| v - (c0 + c1 * u + c2 * u * u));
    let (least, most) = rest.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), rest| {
        (least.min(rest), most.max(rest))
    });
    let thickness = most - least + 1.0;
    (thickness < BENT * rect.height).then_some((thickness, [c0 + (most + least) / 2.0, c1, c2]))
}

/// Cramer's rule; none if there is no single solution.
fn solve(rows: [[f64; 3]; 3], right: [f64; 3]) -> Option<[f64; 3]> {
    let determinant = |[a, b, c]: [[f64; 3]; 3]| {
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0])
    };
    let whole = determinant(rows);
    let solution = [0, 1, 2].map(|column| {
        let mut replaced = rows;
        for (row, value) in replaced.iter_mut().zip(right) {
            row[column] = value;
        }
        determinant(replaced) / whole
    });
    solution.iter().all(|value| value.is_finite()).then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Region {
        /// A straight line around the origin.
        pub fn plain(axis: Point, width: f64, height: f64) -> Region {
            let rect = TurnedRect { centre: Point { x: 0.0, y: 0.0 }, axis, width, height };
            let bend = Bend { half: width / 2.0, coefficients: [0.0; 3] };
            Region { rect, thickness: height, bend, print: 6.0, is_late: false, earlier: None }
        }
    }

    fn level(left: f64, width: f64) -> Region {
        let mut region = Region::plain(Point { x: 1.0, y: 0.0 }, width, 10.0);
        region.rect.centre.x = left + width / 2.0;
        region
    }

    #[test]
    fn a_curved_line_is_as_thick_as_its_text() {
        // y falls by 10 towards both ends of 200 columns.
        let middle = |x: u32| 20.0 + 10.0 * ((f64::from(x) - 99.5) / 100.0).powi(2);
        let pixels: Vec<(u32, u32)> =
            (0..200).flat_map(|x| (0..6).map(move |y| (x, middle(x).round() as u32 + y))).collect();
        let rect = long_side_first(TurnedRect::around_pixels(&pixels).expect("pixels"));
        let (thickness, coefficients) = fit(&pixels, &rect).expect("bent");
        assert!(rect.height > 15.0 && (5.5..7.5).contains(&thickness), "{thickness}");
        let bend = Bend { half: rect.width / 2.0, coefficients };
        let depth = (bend.at(0.0) - bend.at(100.0)).abs();
        assert!((depth - 10.0).abs() < 0.5, "{depth}");
        assert_eq!(bend.at(100.0), bend.at(1e9));

        let straight: Vec<(u32, u32)> =
            (0..200).flat_map(|x| (0..6).map(move |y| (x, y))).collect();
        let rect = TurnedRect::around_pixels(&straight).expect("pixels");
        assert_eq!(fit(&straight, &long_side_first(rect)), None);
    }

    #[test]
    fn coverage_is_the_share_that_lies_in_others() {
        let line = level(0.0, 100.0);
        assert_eq!(line.covered_by([&level(0.0, 50.0), &level(200.0, 50.0)]), 0.5);
        assert_eq!(line.covered_by([&level(-10.0, 60.0), &level(50.0, 60.0)]), 1.0);
        assert_eq!(line.covered_by([&level(100.5, 60.0)]), 0.0);
    }
}
