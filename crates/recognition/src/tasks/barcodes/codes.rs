//! Codes: what readings of the same place agree on, where it is, in which order.

use super::ean::{self, EanFrame};
use super::linear::LinearFindings;
use super::symbol::{CodeFormat, LinearReading, PixelPoint};

/// A code of the picture.
#[derive(Clone, Debug)]
pub struct Code {
    pub format: CodeFormat,
    pub text: String,
    /// Top left, top right, bottom right, bottom left of the code as it is read.
    pub corners: [PixelPoint; 4],
    /// How much speaks for it, where another text claims the same place.
    weight: f32,
}

/// Two lines belong to the same code if their ends are this near, as a part of the code's length.
const NEAR: f32 = 0.12;

impl Code {
    pub fn new(format: CodeFormat, text: String, corners: [PixelPoint; 4]) -> Code {
        Code { format, text, corners, weight: f32::INFINITY }
    }

    fn centre(&self) -> PixelPoint {
        self.corners.into_iter().fold(PixelPoint { x: 0.0, y: 0.0 }, |sum, corner| sum + corner)
            * 0.25
    }

    /// Left, top, right, bottom.
    fn bounds(&self) -> [f32; 4] {
        let fold = |pick: fn(PixelPoint) -> f32, choose: fn(f32, f32) -> f32| {
            self.corners.into_iter().map(pick).reduce(choose).unwrap_or(0.0)
        };
        [
            fold(|p| p.x, f32::min),
            fold(|p| p.y, f32::min),
            fold(|p| p.x, f32::max),
            fold(|p| p.y, f32::max),
        ]
    }

    /// Whether both claim the same place: the centre of one is inside the other.
    fn overlaps(&self, other: &Code) -> bool {
        is_inside(self.centre(), &other.corners) || is_inside(other.centre(), &self.corners)
    }

    /// The code if its format is wanted. A UPC-A is an EAN-13 that begins with 0.
    pub fn if_wanted(mut self, wants: impl Fn(CodeFormat) -> bool) -> Option<Code> {
        if self.format == CodeFormat::UpcA && !wants(CodeFormat::UpcA) {
            self.format = CodeFormat::Ean13;
            self.text.insert(0, '0');
        }
        wants(self.format).then_some(self)
    }

    /// The ISBN that the code says: an EAN-13 of the prefixes for books with a right check digit.
    pub fn isbn(&self) -> Option<&str> {
        let digits: Vec<u8> = self.text.bytes().map(|byte| byte.wrapping_sub(b'0')).collect();
        let is_book = self.text.starts_with("978") || self.text.starts_with("979");
        let is_right =
            self.format == CodeFormat::Ean13 && digits.len() == 13 && ean::is_checked(&digits);
        (is_book && is_right).then_some(&self.text)
    }
}

/// Whether a point is in a quad, or no further outside than two pixels.
fn is_inside(point: PixelPoint, quad: &[PixelPoint; 4]) -> bool {
    let mut sides = (0..4).map(|index| {
        let (from, to) = (quad[index], quad[(index + 1) % 4]);
        let (along, off) = (to - from, point - from);
        let length = along.length();
        if length == 0.0 { 0.0 } else { (along.x * off.y - along.y * off.x) / length }
    });
    let is_clockwise = {
        let (a, b) = (quad[2] - quad[0], quad[3] - quad[1]);
        a.x * b.y - a.y * b.x >= 0.0
    };
    sides.all(|side| if is_clockwise { side >= -2.0 } else { side <= 2.0 })
}

/// Where a line read something.
trait Way {
    fn ends(&self) -> (PixelPoint, PixelPoint);
    /// Whether the other says the same thing.
    fn agrees(&self, other: &Self) -> bool;
}

impl Way for EanFrame {
    fn ends(&self) -> (PixelPoint, PixelPoint) {
        (self.from, self.to)
    }
    fn agrees(&self, other: &Self) -> bool {
        self.symbology == other.symbology
    }
}

impl Way for LinearReading {
    fn ends(&self) -> (PixelPoint, PixelPoint) {
        (self.from, self.to)
    }
    fn agrees(&self, other: &Self) -> bool {
        self.format == other.format && self.text == other.text
    }
}

/// Groups of ways that agree and lie beside each other.
fn groups<W: Way>(ways: &[W]) -> Vec<Vec<&W>> {
    let mut groups: Vec<Vec<&W>> = Vec::new();
    for way in ways {
        let joins = |member: &&W| {
            let ((from, to), (a, b)) = (way.ends(), member.ends());
            let reach = NEAR * (to - from).length();
            (a - from).length() <= reach && (b - to).length() <= reach && member.agrees(way)
        };
        // Neighbours come one after the other: the last members are likely the near ones.
        let (joined, mut others): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| group.iter().rev().any(joins));
        let mut group = joined.concat();
        group.push(way);
        others.push(group);
        groups = others;
    }
    groups
}

/// The quad between the outermost of some ways.
fn quad<W: Way>(ways: &[&W]) -> [PixelPoint; 4] {
    let zero = PixelPoint { x: 0.0, y: 0.0 };
    let along = ways.iter().fold(zero, |sum, way| sum + (way.ends().1 - way.ends().0));
    let depth = |way: &&&W| {
        let (from, to) = way.ends();
        let middle = from + to;
        middle.y * along.x - middle.x * along.y
    };
    let ends = |way: Option<&&W>| way.map_or((zero, zero), |way| way.ends());
    let top = ends(ways.iter().min_by(|a, b| depth(a).total_cmp(&depth(b))));
    let bottom = ends(ways.iter().max_by(|a, b| depth(a).total_cmp(&depth(b))));
    [top.0, top.1, bottom.1, bottom.0]
}

/// What the lines of a picture agree on.
pub struct Agreed {
    pub codes: Vec<Code>,
    /// Whether there is a place that looks like a code, but not which.
    pub has_doubt: bool,
}

/// Reads what lines through the same place say together.
pub fn agree(seen: &LinearFindings) -> Agreed {
    let mut codes = Vec::new();
    let mut doubtful: Vec<Code> = Vec::new();
    for frames in groups(&seen.frames) {
        let Some(text) = ean::text(frames[0].symbology, &frames) else { continue };
        let weight = frames.len() as f32 * frames[0].digits.len() as f32 / (0.1 + text.cost);
        let is_sure = is_sure(&text, frames.len());
        let code = Code { format: text.format, text: text.text, corners: quad(&frames), weight };
        if is_sure {
            codes.push(code);
        } else if frames.len() >= 3 {
            doubtful.push(code);
        }
    }
    for readings in groups(&seen.readings) {
        let first = readings[0];
        let least = if first.format == CodeFormat::Code128 { 2 } else { 3 };
        let is_short = first.format == CodeFormat::Itf && first.text.len() < 6;
        let weight = readings.len() as f32 * first.text.len() as f32;
        let (format, text) = (first.format, first.text.clone());
        let code = Code { format, text, corners: quad(&readings), weight };
        if readings.len() >= least && !is_short {
            codes.push(code);
        }
    }
    let codes = settle(codes);
    let has_doubt = doubtful.iter().any(|doubt| !codes.iter().any(|code| code.overlaps(doubt)));
    Agreed { codes, has_doubt }
}

/// Whether a text is beyond doubt. A short code without a checked prefix needs more.
fn is_sure(text: &ean::EanText, lines: usize) -> bool {
    match text.format {
        CodeFormat::UpcE => lines >= 3 && text.cost <= 0.3 && text.lead >= 0.7,
        CodeFormat::Ean8 => lines >= 2 && text.cost <= 0.45 && text.lead >= 0.7,
        _ => lines >= 2 && text.cost <= 0.45 && text.lead >= 0.55,
    }
}

/// One code for each place: the same text read twice is merged, of different ones the one stays for
/// which more speaks.
pub fn settle(mut codes: Vec<Code>) -> Vec<Code> {
    codes.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let mut kept: Vec<Code> = Vec::new();
    for code in codes {
        if !kept.iter().any(|other| other.overlaps(&code)) {
            kept.push(code);
        }
    }
    kept
}

/// In reading order: rows from the top, each from the left.
pub fn in_reading_order(mut codes: Vec<Code>) -> Vec<Code> {
    codes.sort_by(|a, b| a.centre().y.total_cmp(&b.centre().y));
    let mut ordered = Vec::with_capacity(codes.len());
    while let Some(first) = codes.first() {
        let [_, top, _, bottom] = first.bounds();
        let last = first.centre().y + (bottom - top) / 2.0;
        let count = codes.iter().take_while(|code| code.centre().y <= last).count().max(1);
        let mut row: Vec<Code> = codes.drain(..count).collect();
        row.sort_by(|a, b| a.centre().x.total_cmp(&b.centre().x));
        ordered.extend(row);
    }
    ordered
}
