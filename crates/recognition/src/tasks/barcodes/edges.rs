//! The dark and light runs of a line.

/// Where a line changes between light and dark, in samples from its start, ascending: to dark at even
/// indices, to light at odd ones. Around the picture it is light: a line's end is an edge if it is dark
/// there, as a code may be cut out without a margin.
#[derive(Default)]
pub struct Edges {
    pub at: Vec<f32>,
    /// Of each block the lowest and the highest value.
    ranges: Vec<(f32, f32)>,
}

impl Edges {
    /// The same line seen from its other end.
    pub fn reverse(&mut self, length: f32) {
        self.at.reverse();
        self.at.iter_mut().for_each(|at| *at = length - *at);
    }
}

/// Samples in a block of which the range of values is taken.
const BLOCK: usize = 16;
/// Blocks on either side that count for a block's contrast.
const REACH: usize = 4;
/// Less contrast than this is noise.
const LEAST_STEP: f32 = 6.0;

/// Finds the edges of a line: half-way, in value, between a light and a dark extreme next to each
/// other, so that each edge has a threshold of its own. A rise or fall counts that is `share` of
/// the contrast around it.
pub fn find(values: &[f32], share: f32, edges: &mut Edges) {
    edges.at.clear();
    if values.len() < 3 {
        return;
    }
    edges.ranges.clear();
    edges.ranges.extend(values.chunks(BLOCK).map(range));
    let mut lowest = (0, values[0]);
    let mut highest = (0, values[0]);
    // The last extreme that is sure: where, its value. None until the first one is.
    let mut last: Option<(usize, f32)> = None;
    let mut is_rising = false;
    let mut starts_dark = false;
    for (block, block_values) in values.chunks(BLOCK).enumerate() {
        let step = least_step(&edges.ranges, block, share);
        let (low, high) = edges.ranges[block];
        let is_between = low >= lowest.1 && high <= highest.1;
        if is_between && highest.1 - low < step && high - lowest.1 < step {
            continue;
        }
        for (index, &value) in (block * BLOCK..).zip(block_values) {
            if value > highest.1 {
                highest = (index, value);
            }
            if value < lowest.1 {
                lowest = (index, value);
            }
            let was_peak = (last.is_none() || is_rising) && highest.1 - value >= step;
            let was_trough = (last.is_none() || !is_rising) && value - lowest.1 >= step;
            if was_peak || was_trough {
                let extreme = if was_peak { highest } else { lowest };
                match last {
                    Some(last) => edges.at.push(crossing(values, last, extreme)),
                    None => starts_dark = was_trough,
                }
                last = Some(extreme);
                is_rising = was_trough;
                lowest = (index, value);
                highest = (index, value);
            }
        }
    }
    if let Some(last) = last {
        let end = if is_rising { highest } else { lowest };
        if end.0 > last.0 {
            edges.at.push(crossing(values, last, end));
        }
    }
    if starts_dark {
        edges.at.insert(0, -0.5);
    }
    let ends_dark = !edges.at.len().is_multiple_of(2);
    if ends_dark {
        edges.at.push(values.len() as f32 - 0.5);
    }
}

/// How much of the difference to its surroundings is added to a value.
const SHARPENING: f32 = 1.5;

/// Unsharp mask: moves each value away from the mean of `radius` samples to either side.
pub fn sharpen(values: &mut [f32], radius: usize) {
    if radius == 0 {
        return;
    }
    let mut sums = Vec::with_capacity(values.len() + 1);
    sums.push(0.0);
    for value in &*values {
        sums.push(sums[sums.len() - 1] + f64::from(*value));
    }
    let count = values.len();
    for (index, value) in values.iter_mut().enumerate() {
        let (from, to) = (index.saturating_sub(radius), (index + radius + 1).min(count));
        let mean = (sums[to] - sums[from]) / (to - from) as f64;
        *value += SHARPENING * (*value - mean as f32);
    }
}

/// The lowest and the highest of some values.
fn range(values: &[f32]) -> (f32, f32) {
    // Written so that the compiler takes several at once.
    const LANES: usize = 8;
    let smaller = |a: f32, b: f32| if a < b { a } else { b };
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lows = [f32::INFINITY; LANES];
    let mut highs = [f32::NEG_INFINITY; LANES];
    for values in values.chunks(LANES) {
        for ((low, high), &value) in lows.iter_mut().zip(&mut highs).zip(values) {
            *low = smaller(*low, value);
            *high = larger(*high, value);
        }
    }
    (
        lows.into_iter().fold(f32::INFINITY, smaller),
        highs.into_iter().fold(f32::NEG_INFINITY, larger),
    )
}

/// The least change that counts in a block, by the ranges of all.
fn least_step(ranges: &[(f32, f32)], block: usize, share: f32) -> f32 {
    let around = &ranges[block.saturating_sub(REACH)..(block + REACH + 1).min(ranges.len())];
    let low = around.iter().fold(f32::INFINITY, |low, range| low.min(range.0));
    let high = around.iter().fold(f32::NEG_INFINITY, |high, range| high.max(range.1));
    ((high - low) * share).max(LEAST_STEP)
}

/// Where the values between two extremes pass the middle of both; in noise the middle of the first
/// and the last such place.
fn crossing(values: &[f32], from: (usize, f32), to: (usize, f32)) -> f32 {
    let level = (from.1 + to.1) / 2.0;
    let passes = |index: usize| (values[index] < level) != (values[index + 1] < level);
    let place = |index: usize| {
        let (a, b) = (values[index], values[index + 1]);
        index as f32 + ((level - a) / (b - a)).clamp(0.0, 1.0)
    };
    let first = (from.0..to.0).find(|&index| passes(index));
    let last = (from.0..to.0).rev().find(|&index| passes(index));
    match (first, last) {
        (Some(first), Some(last)) => (place(first) + place(last)) / 2.0,
        _ => (from.0 + to.0) as f32 / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_half_way_between_light_and_dark_wherever_they_are() {
        let mut edges = Edges::default();
        // Bars at the borders of blocks, in their middle, and a long way of nothing between them.
        let bars = [(3, 5), (14, 17), (31, 32), (48, 64), (200, 201), (407, 410)];
        let mut values = vec![200.0; 500];
        bars.iter().for_each(|(from, to)| values[*from..*to].fill(40.0));
        find(&values, 0.2, &mut edges);
        let expected: Vec<f32> =
            bars.iter().flat_map(|(from, to)| [*from as f32 - 0.5, *to as f32 - 0.5]).collect();
        assert_eq!(edges.at, expected);
        // A second line in the same buffers; one that begins and ends dark.
        find(&[40.0, 40.0, 200.0, 200.0, 40.0, 40.0], 0.2, &mut edges);
        assert_eq!(edges.at, [-0.5, 1.5, 3.5, 5.5]);
        find(&vec![200.0; 100], 0.2, &mut edges);
        assert!(edges.at.is_empty());
    }
}
