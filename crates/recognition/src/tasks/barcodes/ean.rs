//! EAN-13, UPC-A, EAN-8 and UPC-E (GS1 General Specifications, section 5.2).
//!
//! `rxing` has readers for them, too. They round widths to whole pixels, judge each line alone, and
//! give a line up where the first thing that looks like a start is none; so they miss what is
//! small, blurred or beside text. Here every start is tried, widths are fractions, and mostly
//! measured between edges of the same kind, which ink spread and blur move alike. A line gives no
//! digits but how badly each digit would fit at each place; all lines through the same place are
//! added up, and of the texts with a right check digit the one that fits best is read, if no other
//! fits nearly as well.

use super::symbol::{CodeFormat, PixelPoint};

/// Symbologies that one frame of edges may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbology {
    /// UPC-A included, which is an EAN-13 that begins with 0.
    Ean13,
    Ean8,
    UpcE,
}

/// How badly each digit fits at one place: of set A (or C), and of set B. Squared modules.
pub type Costs = [[f32; 10]; 2];

/// What might be a code: where, and its digits' costs.
#[derive(Clone, Debug)]
pub struct EanFrame {
    pub symbology: Symbology,
    pub from: PixelPoint,
    pub to: PixelPoint,
    pub digits: Vec<Costs>,
}

/// A text, and how sure it is.
#[derive(Debug)]
pub struct EanText {
    pub format: CodeFormat,
    pub text: String,
    /// Mean cost of its digits.
    pub cost: f32,
    /// By how much the costs of the next best text are more, in sum.
    pub lead: f32,
}

/// Widths of a digit's four runs in modules, as set A has them; set C has the same with dark and
/// light exchanged, set B has them backwards.
const DIGITS: [[f32; 4]; 10] = [
    [3.0, 2.0, 1.0, 1.0],
    [2.0, 2.0, 2.0, 1.0],
    [2.0, 1.0, 2.0, 2.0],
    [1.0, 4.0, 1.0, 1.0],
    [1.0, 1.0, 3.0, 2.0],
    [1.0, 2.0, 3.0, 1.0],
    [1.0, 1.0, 1.0, 4.0],
    [1.0, 3.0, 1.0, 2.0],
    [1.0, 2.0, 1.0, 3.0],
    [3.0, 1.0, 1.0, 2.0],
];
/// Which of the six left digits are of set B (bit 5 the first of them), by the thirteenth digit.
const EAN13_SETS: [u8; 10] =
    [0, 0b001011, 0b001101, 0b001110, 0b010011, 0b011001, 0b011100, 0b010101, 0b010110, 0b011010];
/// The same of UPC-E, by the check digit.
const UPCE_SETS: [u8; 10] = [
    0b111000, 0b110100, 0b110010, 0b110001, 0b101100, 0b100110, 0b100011, 0b101010, 0b101001,
    0b100101,
];

/// The light before and after a code must be this many modules wide. (The standard wants 7 to 11.)
const QUIET: f32 = 3.0;
/// A digit that fits worse than this says nothing.
const WORST: f32 = 3.0;
/// A frame is dropped if its best fitting digits cost more than this on average.
const MAX_MEAN: f32 = 1.2;

/// A symbology as counts of runs: guards at the start, in the middle and at the end, digits on
/// the left and the right.
struct EanLayout {
    modules: f32,
    left: usize,
    middle: usize,
    right: usize,
    end: usize,
}

const START: usize = 3;

impl Symbology {
    const ALL: [Symbology; 3] = [Symbology::Ean13, Symbology::Ean8, Symbology::UpcE];

    const fn layout(self) -> EanLayout {
        match self {
            Symbology::Ean13 => EanLayout { modules: 95.0, left: 6, middle: 5, right: 6, end: 3 },
            Symbology::Ean8 => EanLayout { modules: 67.0, left: 4, middle: 5, right: 4, end: 3 },
            Symbology::UpcE => EanLayout { modules: 51.0, left: 6, middle: 0, right: 0, end: 6 },
        }
    }
}

impl EanLayout {
    const fn runs(&self) -> usize {
        START + 4 * (self.left + self.right) + self.middle + self.end
    }
}

/// Everything in a line that might be a code, with the edges where it begins and ends. `edges` are
/// where the line changes between light and dark, beginning with dark, and `length` is the line's.
pub fn frames(
    edges: &[f32],
    length: f32,
    mut found: impl FnMut(Symbology, usize, usize, Vec<Costs>),
) {
    for start in (0..edges.len()).step_by(2) {
        for symbology in Symbology::ALL {
            let layout = symbology.layout();
            if let Some(digits) = frame(edges, start, length, &layout) {
                found(symbology, start, start + layout.runs(), digits);
            }
        }
    }
}

/// The digits' costs of a code that starts at an edge, if guards, quiet zones and the digits'
/// widths are where they should be.
fn frame(at: &[f32], start: usize, length: f32, layout: &EanLayout) -> Option<Vec<Costs>> {
    let end = start + layout.runs();
    if end >= at.len() {
        return None;
    }
    let module = (at[end] - at[start]) / layout.modules;
    // A line that ends in the light may be cut off anywhere.
    let before = if start > 0 { at[start] - at[start - 1] } else { f32::INFINITY };
    let after = if end + 1 < at.len() { at[end + 1] - at[end] } else { f32::INFINITY };
    let has_room = at[start] >= module && length - at[end] >= module;
    if before < QUIET * module || after < QUIET * module || !has_room {
        return None;
    }
    let width = |from: usize, to: usize| at[to] - at[from];
    let is_near = |width: f32, modules: f32, tolerance: f32| {
        (width - modules * module).abs() <= tolerance * module
    };
    let middle = start + START + 4 * layout.left;
    let right = middle + layout.middle;
    let last = right + 4 * layout.right;
    let guards_fit = is_near(width(start, start + START), 3.0, 1.3)
        && is_near(width(middle, right), layout.middle as f32, 1.6)
        && is_near(width(last, end), layout.end as f32, 1.6);
    if !guards_fit {
        return None;
    }
    // Ink spread: by how much dark runs of one module are wider than light ones.
    let mut widths = [(0.0, 0.0); 2];
    for run in (start..start + START).chain(middle..right).chain(last..end) {
        let (sum, count) = &mut widths[(run - start) % 2];
        *sum += width(run, run + 1);
        *count += 1.0;
    }
    let [dark, light] = widths.map(|(sum, count): (f32, f32)| sum / count);
    let spread = ((dark - light) / 2.0).clamp(-0.7 * module, 0.7 * module);

    let places = (0..layout.left).map(|digit| start + START + 4 * digit);
    let places = places.chain((0..layout.right).map(|digit| right + 4 * digit));
    let mut sum = 0.0;
    let digits = places
        .map(|first| {
            let total = width(first, first + 4);
            if !is_near(total, 7.0, 1.8) {
                return None;
            }
            let mut widths = [0.0; 4];
            for (run, width) in (first..).zip(&mut widths) {
                let spread = if (run - start).is_multiple_of(2) { spread } else { -spread };
                *width = (at[run + 1] - at[run] - spread) * 7.0 / total;
            }
            let costs = costs(&widths);
            sum += costs.as_flattened().iter().fold(f32::INFINITY, |least, cost| least.min(*cost));
            Some(costs)
        })
        .collect::<Option<Vec<Costs>>>()?;
    (sum <= MAX_MEAN * digits.len() as f32).then_some(digits)
}

fn costs(widths: &[f32; 4]) -> Costs {
    let backwards = [widths[3], widths[2], widths[1], widths[0]];
    [*widths, backwards].map(|widths| {
        DIGITS.map(|digit| {
            let error = |index: usize| widths[index] - digit[index];
            let single: f32 = (0..4).map(|index| error(index).powi(2)).sum();
            let pairs: f32 = (0..3).map(|index| (error(index) + error(index + 1)).powi(2)).sum();
            (0.3 * single + pairs).min(WORST)
        })
    })
}

/// The text that fits frames of the same place best.
pub fn text(symbology: Symbology, frames: &[&EanFrame]) -> Option<EanText> {
    let count = frames.first()?.digits.len();
    let weight = 1.0 / frames.len() as f32;
    let mut digits: Vec<Costs> = vec![[[0.0; 10]; 2]; count];
    for (place, sum) in digits.iter_mut().enumerate() {
        for frame in frames {
            let costs = frame.digits[place].as_flattened();
            for (sum, cost) in sum.as_flattened_mut().iter_mut().zip(costs) {
                *sum += cost * weight;
            }
        }
    }
    let mut best = Best::default();
    match symbology {
        Symbology::Ean13 => {
            for (first, sets) in (0..).zip(EAN13_SETS) {
                with_right_check_digit(&digits, u16::from(sets) << 6, Some(first), &mut best);
            }
        }
        Symbology::Ean8 => with_right_check_digit(&digits, 0, None, &mut best),
        Symbology::UpcE => {
            for (check, sets) in (0..).zip(UPCE_SETS) {
                upce(&digits, sets, check, &mut best);
            }
        }
    }
    let (cost, text) = best.first?;
    let lead = best.second - cost;
    let (format, text) = match (symbology, text.strip_prefix('0')) {
        (Symbology::Ean13, Some(upca)) => (CodeFormat::UpcA, upca.to_owned()),
        (Symbology::Ean13, None) => (CodeFormat::Ean13, text),
        (Symbology::Ean8, _) => (CodeFormat::Ean8, text),
        (Symbology::UpcE, _) => (CodeFormat::UpcE, text),
    };
    Some(EanText { format, text, cost: cost / count as f32, lead })
}

/// The cheapest text so far, and what the next cheapest costs.
struct Best {
    first: Option<(f32, String)>,
    second: f32,
}

impl Default for Best {
    fn default() -> Best {
        Best { first: None, second: f32::INFINITY }
    }
}

impl Best {
    fn offer(&mut self, cost: f32, text: impl Iterator<Item = u8>) {
        let least = self.first.as_ref().map_or(f32::INFINITY, |first| first.0);
        if cost >= least {
            self.second = self.second.min(cost);
            return;
        }
        self.second = least;
        self.first = Some((cost, text.map(|digit| char::from(b'0' + digit)).collect()));
    }
}

/// Offers the two cheapest texts with a right check digit, each digit of the set that its bit in
/// `sets` says (the last digit's bit is bit 0). `first` is a digit before them that has no place.
fn with_right_check_digit(digits: &[Costs], sets: u16, first: Option<u8>, best: &mut Best) {
    // For each remainder of the weighted sum the cheapest ways to it, as Viterbi's algorithm has it.
    let mut ways: [Vec<(f32, Vec<u8>)>; 10] = Default::default();
    let start = first.map_or(0, |first| weight(digits.len()) * usize::from(first) % 10);
    ways[start].push((0.0, first.into_iter().collect()));
    for (index, costs) in digits.iter().enumerate() {
        let left = digits.len() - 1 - index;
        let costs = &costs[usize::from(sets >> left & 1)];
        let mut longer: [Vec<(f32, Vec<u8>)>; 10] = Default::default();
        for (remainder, ways) in ways.iter().enumerate() {
            for (cost, text) in ways {
                for (digit, more) in (0..).zip(costs) {
                    let to = &mut longer[(remainder + weight(left) * usize::from(digit)) % 10];
                    keep_two(to, cost + more, text, digit);
                }
            }
        }
        ways = longer;
    }
    for (cost, text) in &ways[0] {
        best.offer(*cost, text.iter().copied());
    }
}

fn keep_two(ways: &mut Vec<(f32, Vec<u8>)>, cost: f32, text: &[u8], digit: u8) {
    let place = ways.iter().filter(|way| way.0 <= cost).count();
    if place < 2 {
        ways.truncate(1);
        ways.insert(place, (cost, [text, &[digit]].concat()));
    }
}

/// The weight of a digit in the sum that the check digit makes a multiple of ten, by the number of
/// digits that follow it.
fn weight(following: usize) -> usize {
    if following.is_multiple_of(2) { 1 } else { 3 }
}

/// Whether the last digit is the right check digit of the ones before it.
pub fn is_checked(digits: &[u8]) -> bool {
    let places = (0..).zip(digits.iter().rev());
    places.map(|(following, &digit)| weight(following) * usize::from(digit)).sum::<usize>() % 10
        == 0
}

/// Offers the texts made of the two best digits of each place whose check digit, which is told by
/// the sets, is right.
fn upce(digits: &[Costs], sets: u8, check: u8, best: &mut Best) {
    let choices: Vec<[u8; 2]> = digits
        .iter()
        .enumerate()
        .map(|(index, costs)| {
            let costs = &costs[usize::from(sets >> (5 - index) & 1)];
            let mut order: [u8; 10] = std::array::from_fn(|digit| digit as u8);
            order.sort_by(|a, b| costs[usize::from(*a)].total_cmp(&costs[usize::from(*b)]));
            [order[0], order[1]]
        })
        .collect();
    for combination in 0..1usize << digits.len() {
        let text: Vec<u8> =
            choices.iter().enumerate().map(|(index, two)| two[combination >> index & 1]).collect();
        let cost = text.iter().enumerate().map(|(index, digit)| {
            digits[index][usize::from(sets >> (5 - index) & 1)][usize::from(*digit)]
        });
        let cost = cost.sum();
        if let Some(upca) = upca_of_upce(&text, check)
            && is_checked(&upca)
        {
            best.offer(cost, [0].into_iter().chain(text).chain([check]));
        }
    }
}

/// The twelve digits that the six of a UPC-E and its check digit stand for.
fn upca_of_upce(digits: &[u8], check: u8) -> Option<[u8; 12]> {
    let [a, b, c, d, e, f] = *digits else { return None };
    Some(match f {
        0..=2 => [0, a, b, f, 0, 0, 0, 0, c, d, e, check],
        3 => [0, a, b, c, 0, 0, 0, 0, 0, d, e, check],
        4 => [0, a, b, c, d, 0, 0, 0, 0, 0, e, check],
        _ => [0, a, b, c, d, e, 0, 0, 0, 0, f, check],
    })
}
