//! Reading order: rows from top to bottom, and columns of running text one after the other.

use super::vectors::{dot, down_of};
use crate::geometry::{Point, TurnedRect};
use crate::tasks::text::line::Line;
use crate::tasks::text::rows::rows;

/// Long lines tell the direction of the page: so many times as long as high, and if their sum is this
/// share of their lengths.
const LONG: f64 = 2.0;
const AGREEMENT: f64 = 0.9;
/// Cosine: lines along the page are as long and high there as they are.
const ALONG: f64 = 0.9;
/// A gap between columns is this share of a line's height.
const GAP: f64 = 0.5;
/// Running text: so many lines, so many times as wide as high, and as wide as this share of the column.
const RUNNING_LINES: usize = 3;
const RUNNING_RATIO: f64 = 6.0;
const RUNNING_WIDTH: f64 = 0.5;

/// A line that was read.
pub struct FoundLine {
    pub line: Line,
    pub rect: TurnedRect,
    /// The direction in which it was read.
    pub axis: Point,
}

/// Where a line is in the page's own frame.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: usize,
    /// Along a line.
    start: f64,
    end: f64,
    /// Downwards: the line's middle.
    middle: f64,
    height: f64,
}

/// The lines in the order in which they are read, also those of a turned page.
pub fn in_order(found: Vec<FoundLine>) -> Vec<Line> {
    let right = page_direction(&found);
    let places: Vec<Place> =
        found.iter().enumerate().map(|(index, found)| place(index, &found.rect, right)).collect();
    let mut lines: Vec<Option<Line>> = found.into_iter().map(|found| Some(found.line)).collect();
    flow(&places).iter().filter_map(|place| lines[place.index].take()).collect()
}

/// The direction of its lines; level if they do not agree.
fn page_direction(found: &[FoundLine]) -> Point {
    let (mut x, mut y, mut weight) = (0.0, 0.0, 0.0);
    for FoundLine { rect, axis, .. } in found {
        if rect.width >= LONG * rect.height {
            x += axis.x * rect.width;
            y += axis.y * rect.width;
            weight += rect.width;
        }
    }
    let length = f64::hypot(x, y);
    match weight > 0.0 && length >= AGREEMENT * weight {
        true => Point { x: x / length, y: y / length },
        false => Point { x: 1.0, y: 0.0 },
    }
}

fn place(index: usize, rect: &TurnedRect, right: Point) -> Place {
    let down = down_of(right);
    let across = down_of(rect.axis);
    let extent = |direction: Point| {
        dot(rect.axis, direction).abs() * rect.width + dot(across, direction).abs() * rect.height
    };
    let (width, height) = match dot(rect.axis, right).abs() > ALONG {
        true => (rect.width, rect.height),
        false => (extent(right), extent(down)),
    };
    let centre = dot(rect.centre, right);
    let (start, end) = (centre - width / 2.0, centre + width / 2.0);
    Place { index, start, end, middle: dot(rect.centre, down), height }
}

/// Rows, but where there are columns of running text, one column after the other. Tables and forms,
/// whose cells are short, stay in rows.
fn flow(lines: &[Place]) -> Vec<Place> {
    let least_gap = GAP * median(lines, |line| line.height);
    let mut rows = rows(lines.to_vec(), |line| (line.middle, line.height));
    let mut order = Vec::new();
    let mut first = 0;
    while first < rows.len() {
        if let Some((count, left, rest)) = columns(&rows[first..], least_gap) {
            order.extend(flow(&left));
            order.extend(flow(&rest));
            first += count;
        } else {
            rows[first].sort_by(|a, b| a.start.total_cmp(&b.start));
            order.extend(&rows[first]);
            first += 1;
        }
    }
    order
}

/// Whether columns begin with the first of the rows: how many rows have them, the lines of the column
/// on the left, and those of the rest.
fn columns(rows: &[Vec<Place>], least_gap: f64) -> Option<(usize, Vec<Place>, Vec<Place>)> {
    let mut spans = Spans::default();
    let mut last = None;
    for (index, row) in rows.iter().enumerate() {
        row.iter().for_each(|line| spans.add(line.start, line.end));
        match spans.middle_of_widest_gap(least_gap) {
            Some(middle) => last = Some((index + 1, middle)),
            None if last.is_some() || (index == 0 && row.len() > 1) => break,
            None => {}
        }
    }
    let (count, middle) = last?;
    let lines = rows[..count].iter().flatten().copied();
    let (left, rest): (Vec<Place>, Vec<Place>) = lines.partition(|line| line.end < middle);
    let are_columns = is_running(&left)
        && (is_running(&rest) || (rest.len() >= 2 * RUNNING_LINES && are_all_running(&rest)));
    are_columns.then_some((count, left, rest))
}

/// Whether lines look like one column of running text.
fn is_running(lines: &[Place]) -> bool {
    let width = median(lines, |line| line.end - line.start);
    let start = lines.iter().map(|line| line.start).fold(f64::INFINITY, f64::min);
    let end = lines.iter().map(|line| line.end).fold(f64::NEG_INFINITY, f64::max);
    lines.len() >= RUNNING_LINES
        && width >= RUNNING_RATIO * median(lines, |line| line.height)
        && width >= RUNNING_WIDTH * (end - start)
}

/// Whether lines are one or several columns of running text.
fn are_all_running(lines: &[Place]) -> bool {
    let mut spans = Spans::default();
    lines.iter().for_each(|line| spans.add(line.start, line.end));
    let Some(middle) = spans.middle_of_widest_gap(GAP * median(lines, |line| line.height)) else {
        return is_running(lines);
    };
    let (left, right): (Vec<Place>, Vec<Place>) = lines.iter().partition(|line| line.end < middle);
    are_all_running(&left) && are_all_running(&right)
}

/// The upper median; 0 without lines.
fn median(lines: &[Place], number: impl Fn(&Place) -> f64) -> f64 {
    let mut numbers: Vec<f64> = lines.iter().map(number).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

/// What lines cover along the page: sorted, none touches another.
#[derive(Default)]
struct Spans(Vec<(f64, f64)>);

impl Spans {
    fn add(&mut self, mut start: f64, mut end: f64) {
        let first = self.0.partition_point(|span| span.1 < start);
        let after = self.0.partition_point(|span| span.0 <= end).max(first);
        for span in &self.0[first..after] {
            (start, end) = (start.min(span.0), end.max(span.1));
        }
        self.0.splice(first..after, [(start, end)]);
    }

    fn middle_of_widest_gap(&self, least: f64) -> Option<f64> {
        let mut widest = None;
        for pair in self.0.windows(2) {
            let (end, start) = (pair[0].1, pair[1].0);
            let gap = start - end;
            if gap >= least && widest.is_none_or(|(width, _)| gap > width) {
                widest = Some((gap, (start + end) / 2.0));
            }
        }
        widest.map(|(_, middle)| middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, centre: (f64, f64), width: f64, right: Point) -> FoundLine {
        let down = down_of(right);
        let (u, v) = centre;
        let centre = Point { x: u * right.x + v * down.x, y: u * right.y + v * down.y };
        let rect = TurnedRect { centre, axis: right, width, height: 10.0 };
        let line = Line { text: text.to_owned(), score: 1.0, quad: rect.corners() };
        FoundLine { line, rect, axis: right }
    }

    fn order(found: Vec<FoundLine>) -> String {
        in_order(found).iter().map(|line| &line.text[..]).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_of_running_text_are_read_one_after_the_other_even_on_a_turned_page() {
        for right in [Point { x: 1.0, y: 0.0 }, Point { x: -0.6, y: 0.8 }] {
            let mut lines = vec![found("title", (150.0, 0.0), 200.0, right)];
            for (row, [left, middle, last]) in
                [["a1", "b1", "c1"], ["a2", "b2", "c2"], ["a3", "b3", "c3"]].iter().enumerate()
            {
                let v = 30.0 + 20.0 * row as f64;
                lines.push(found(last, (300.0, v + 3.0), 90.0, right));
                lines.push(found(left, (50.0, v), 90.0, right));
                lines.push(found(middle, (175.0, v + 2.0), 90.0, right));
            }
            assert_eq!(order(lines), "title a1 a2 a3 b1 b2 b3 c1 c2 c3", "{right:?}");
        }
    }

    #[test]
    fn tables_are_read_row_by_row() {
        let right = Point { x: 1.0, y: 0.0 };
        let mut lines = Vec::new();
        for (row, [left, last]) in [["a1", "b1"], ["a2", "b2"], ["a3", "b3"]].iter().enumerate() {
            let v = 30.0 + 20.0 * row as f64;
            lines.push(found(last, (200.0, v), 30.0, right));
            lines.push(found(left, (50.0, v + 1.0), 30.0, right));
        }
        assert_eq!(order(lines), "a1 b1 a2 b2 a3 b3");
        assert_eq!(order(Vec::new()), "");
    }

    #[test]
    fn spans_that_touch_are_one() {
        let mut spans = Spans::default();
        for (start, end) in [(10.0, 20.0), (40.0, 50.0), (0.0, 5.0), (20.0, 25.0), (24.0, 30.0)] {
            spans.add(start, end);
        }
        assert_eq!(spans.0, [(0.0, 5.0), (10.0, 30.0), (40.0, 50.0)]);
        assert_eq!(spans.middle_of_widest_gap(5.0), Some(35.0));
        assert_eq!(spans.middle_of_widest_gap(11.0), None);
        spans.add(-1.0, 60.0);
        assert_eq!(spans.0, [(-1.0, 60.0)]);
    }
}
