//! QR codes and Data Matrix codes: `rxing`'s detectors on the whole picture.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rxing::common::{
    BitArray, BitMatrix, DetectorRXingResult, GlobalHistogramBinarizer, HybridBinarizer,
    LineOrientation, Result,
};
use rxing::datamatrix::DataMatrixReader;
use rxing::qrcode::cpp_port::decoder::Decode;
use rxing::qrcode::cpp_port::detector::{FindFinderPatterns, GenerateFinderPatternSets, SampleQR};
use rxing::{
    BarcodeFormat, Binarizer, BinaryBitmap, DecodeHints, Luma8LuminanceSource, Luma8Source, Reader,
};

use super::codes::Code;
use super::gray::Gray;
use super::symbol::{CodeFormat, PixelPoint};
use super::threshold;

/// How dark and light are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// For every block of 8x8 pixels, by those around it.
    Local,
    /// One for the picture.
    Global,
}

/// The detectors want a picture at least this wide and high.
const LEAST_SIDE: usize = 10;
/// Most Data Matrix codes of a picture: each takes a search of its own.
const MOST_DATA_MATRIX: usize = 12;

/// More finder patterns, of which a QR code has three, are no codes but a picture made to take long.
const MOST_FINDERS: usize = 400;
/// The same of places in lines that look like the middle of one: finding patterns takes time with the
/// square of their number.
const MOST_CENTRES: usize = 12_000;
/// Finder patterns of a QR code.
const FINDERS: usize = 3;
/// Most sets of three finder patterns that turn out to be no code.
const MOST_FAILED: usize = 2000;

/// Looks for codes of the wanted formats.
pub fn scan(gray: &Gray, threshold: Threshold, wants: impl Fn(CodeFormat) -> bool) -> Vec<Code> {
    if gray.width.min(gray.height) < LEAST_SIDE {
        return Vec::new();
    }
    let mut found = Vec::new();
    let Some(black) = black_and_white(gray, threshold) else { return found };
    if wants(CodeFormat::QRCode) {
        found.extend(qr_codes(gray, &black));
    }
    if wants(CodeFormat::DataMatrix) && may_hold_matrix(&black) {
        found.extend(data_matrices(gray, black));
    }
    found
}

fn black_and_white(gray: &Gray, threshold: Threshold) -> Option<BitMatrix> {
    let (width, height) = (gray.width as u32, gray.height as u32);
    let source = Luma8Source::new_with_slice(&gray.pixels, width, height).ok()?;
    // Nothing that the closure shares is written: a panic leaves no broken state.
    guarded(|| match threshold {
        Threshold::Local => threshold::local(gray)
            .or_else(|| HybridBinarizer::new(source).get_black_matrix().cloned().ok()),
        Threshold::Global => GlobalHistogramBinarizer::new(source).get_black_matrix().cloned().ok(),
    })
}

/// What a search of `rxing` finds; one that panics has found nothing.
fn guarded<T>(search: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(search)).ok().flatten()
}

/// By the port of zxing-cpp's detector: ZXing's older one compares every three finder patterns, so
/// that a picture full of them takes minutes. Its reader would do the same steps, but without a bound.
fn qr_codes(gray: &Gray, black: &BitMatrix) -> Vec<Code> {
    if !(1..=MOST_CENTRES).contains(&likely_centres(black)) {
        return Vec::new();
    }
    let Some(mut finders) = guarded(|| Some(FindFinderPatterns(black, true, 0))) else {
        return Vec::new();
    };
    if !(FINDERS..=MOST_FINDERS).contains(&finders.len()) {
        return Vec::new();
    }
    // The likely ones first.
    let sets = guarded(|| Some(GenerateFinderPatternSets(&mut finders))).unwrap_or_default();
    let mut used = Vec::new();
    let mut found = Vec::new();
    let mut failed = 0;
    for set in &sets {
        let three = [set.bl, set.tl, set.tr];
        if three.iter().any(|finder| used.contains(finder)) {
            continue;
        }
        let read = guarded(|| {
            let sampled = SampleQR(black, set).ok()?;
            let decoded = Decode(sampled.getBits()).ok().filter(|decoded| decoded.isValid())?;
            Some((decoded.text(), sampled.getPoints().to_vec()))
        });
        if let Some((text, points)) = read {
            used.extend(three);
            found.extend(code(gray, CodeFormat::QRCode, text, &points));
        } else {
            failed += 1;
            if failed == MOST_FAILED {
                break;
            }
        }
    }
    found
}

/// Counts where a line looks like the middle of a finder pattern: dark, light, dark, light, dark, of one,
/// one, three, one and one modules. It is the first thing that the detector asks, on the same lines.
fn likely_centres(black: &BitMatrix) -> usize {
    const LINES: usize = 3;
    let mut count = 0;
    let mut runs: Vec<u32> = Vec::new();
    for y in (LINES as u32 - 1..black.height()).step_by(LINES) {
        runs.clear();
        runs_of(&black.getRow(y), black.width(), &mut runs);
        // The first run is light.
        let fives = runs.windows(5).skip(1).step_by(2);
        count += fives
            .filter(|run| {
                run[2] >= 3 && run[2] >= 2 * run[0].max(run[4]) && run[2] >= run[1].max(run[3])
            })
            .count();
    }
    count
}

/// Lengths of a line's light and dark runs in turn, a light one first, which may have none.
fn runs_of(line: &BitArray, width: u32, runs: &mut Vec<u32>) {
    let mut from = 0;
    let mut last = 0;
    for (index, &word) in (0u32..).zip(line.getBitArray()) {
        // A bit for every pixel that differs from the one before it.
        let mut changes = word ^ (word << 1 | last);
        last = word >> (usize::BITS - 1);
        while changes != 0 {
            let at = index * usize::BITS + changes.trailing_zeros();
            if at >= width {
                break;
            }
            runs.push(at - from);
            from = at;
            changes &= changes - 1;
        }
    }
    runs.push(width - from);
}

/// The reader gives one code at a time: what is read is wiped out, and it looks again.
fn data_matrices(gray: &Gray, mut black: BitMatrix) -> Vec<Code> {
    let hints = hints(BarcodeFormat::DATA_MATRIX);
    let mut found = Vec::new();
    for _ in 0..MOST_DATA_MATRIX {
        let result =
            guarded(|| DataMatrixReader.decode_with_hints(&mut bitmap(&black), &hints).ok());
        let Some(result) = result else { break };
        let points = result.getPoints();
        let span = |pick: fn(&rxing::Point) -> f32, limit: u32| {
            let low = points.iter().map(pick).fold(f32::INFINITY, f32::min).max(0.0);
            let high = points.iter().map(pick).fold(0.0, f32::max);
            low as u32..(high as u32).saturating_add(1).min(limit)
        };
        for y in span(|point| point.y, black.height()) {
            for x in span(|point| point.x, black.width()) {
                black.unset(x, y);
            }
        }
        let Some(code) = code(gray, CodeFormat::DataMatrix, result.getText().to_owned(), points)
        else {
            break;
        };
        found.push(code);
    }
    found
}

/// Changes between light and dark that a row and a column through a matrix code have at least: one of a
/// Data Matrix has at least ten modules, at half of which it changes, and light around it.
const LEAST_CHANGES: u32 = 6;

/// Whether some row and some column change often enough. What has upright bars only has no such column.
fn may_hold_matrix(black: &BitMatrix) -> bool {
    let words = black.getRowSize();
    // Three bits of a counter for every column, that stay where they are full.
    let mut counters = vec![[0usize; 3]; words];
    let mut before = vec![0; words];
    let (mut has_row, mut has_column) = (false, false);
    for y in 0..black.height() {
        let row = black.getRow(y);
        let bits = row.getBitArray();
        let mut last = 0;
        let mut changes = 0;
        for ((&word, before), [ones, twos, fours]) in
            bits.iter().zip(&mut before).zip(&mut counters)
        {
            changes += (word ^ (word << 1 | last)).count_ones();
            last = word >> (usize::BITS - 1);
            let add = (word ^ *before) & !(*twos & *fours);
            let carry = *ones & add;
            *ones ^= add;
            *fours |= *twos & carry;
            *twos ^= carry;
            has_column |= *twos & *fours != 0;
            *before = word;
        }
        has_row |= changes >= LEAST_CHANGES;
        if has_row && has_column {
            return true;
        }
    }
    false
}

fn hints(format: BarcodeFormat) -> DecodeHints {
    DecodeHints {
        TryHarder: Some(true),
        PossibleFormats: Some(HashSet::from([format])),
        ..DecodeHints::default()
    }
}

/// A result in pixels of the photo. The readers give the corners from the top left clockwise.
fn code(gray: &Gray, format: CodeFormat, text: String, points: &[rxing::Point]) -> Option<Code> {
    let point = |point: &rxing::Point| {
        let is_somewhere = point.x.is_finite() && point.y.is_finite();
        is_somewhere.then(|| gray.in_photo(PixelPoint { x: point.x - 0.5, y: point.y - 0.5 }))
    };
    let points: Vec<PixelPoint> = points.iter().map(point).collect::<Option<_>>()?;
    let corners = *points.first_chunk::<4>()?;
    Some(Code::new(format, text, corners))
}

fn bitmap(black: &BitMatrix) -> BinaryBitmap<Made> {
    let (width, height) = (black.width() as usize, black.height() as usize);
    let source = Luma8LuminanceSource::with_empty_image(width, height);
    BinaryBitmap::new(Made { black: black.clone(), source })
}

/// Black and white that is made already, for readers that want to make it themselves.
struct Made {
    black: BitMatrix,
    source: Luma8LuminanceSource,
}

impl Binarizer for Made {
    type Source = Luma8LuminanceSource;

    fn get_luminance_source(&self) -> &Self::Source {
        &self.source
    }

    fn get_black_row(&self, y: usize) -> Result<Cow<'_, BitArray>> {
        Ok(Cow::Owned(self.black.getRow(y as u32)))
    }

    fn get_black_row_from_matrix(&self, y: usize) -> Result<Cow<'_, BitArray>> {
        self.get_black_row(y)
    }

    fn get_black_line(
        &self,
        line: usize,
        orientation: LineOrientation,
    ) -> Result<Cow<'_, BitArray>> {
        Ok(Cow::Owned(match orientation {
            LineOrientation::Row => self.black.getRow(line as u32),
            LineOrientation::Column => self.black.getCol(line as u32),
        }))
    }

    fn get_black_matrix(&self) -> Result<&BitMatrix> {
        Ok(&self.black)
    }

    fn create_binarizer(&self, source: Self::Source) -> Self {
        Made { black: self.black.clone(), source }
    }

    fn get_width(&self) -> usize {
        self.black.width() as usize
    }

    fn get_height(&self) -> usize {
        self.black.height() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, is_dark: impl Fn(usize, usize) -> bool) -> BitMatrix {
        let mut black = BitMatrix::new(width as u32, height as u32).unwrap();
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            black.set_bool(x as u32, y as u32, is_dark(x, y));
        }
        black
    }

    #[test]
    fn bars_are_no_matrix_and_a_chequered_field_may_be_one() {
        assert!(!may_hold_matrix(&picture(200, 100, |_, _| false)));
        let inside = |x: usize, y: usize| (60..140).contains(&x) && (20..80).contains(&y);
        assert!(!may_hold_matrix(&picture(200, 100, |x, y| inside(x, y) && x % 4 < 2)));
        assert!(!may_hold_matrix(&picture(200, 100, |x, y| inside(x, y) && y % 4 < 2)));
        let field = |x: usize, y: usize| inside(x, y) && (x / 8 + y / 8).is_multiple_of(2);
        assert!(may_hold_matrix(&picture(200, 100, field)));
    }

    #[test]
    fn the_middle_of_a_finder_pattern_is_likely_on_the_lines_through_it() {
        // Modules of three pixels: three lines of every third go through the middle.
        let finder = |x: usize, y: usize| {
            let ring = usize::abs_diff(x / 3, 26).max(usize::abs_diff(y / 3, 10));
            matches!(ring, 0 | 1 | 3)
        };
        assert_eq!(likely_centres(&picture(170, 64, finder)), 3);
        assert_eq!(likely_centres(&picture(170, 64, |x, _| x % 6 < 3)), 0);
        assert_eq!(likely_centres(&picture(170, 64, |_, _| true)), 0);
    }

    #[test]
    fn runs_are_those_of_the_line() {
        let dark = [0..2, 5..64, 64..70, 128..129];
        let black = picture(129, 1, |x, _| dark.iter().any(|side| side.contains(&x)));
        let mut runs = Vec::new();
        runs_of(&black.getRow(0), 129, &mut runs);
        assert_eq!(runs, [0, 2, 3, 65, 58, 1]);
    }
}
