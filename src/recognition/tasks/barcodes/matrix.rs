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

use super::codes::{Code, Format, Point};
use super::gray::Gray;
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
/// Finder patterns of a QR code.
const FINDERS: usize = 3;
/// Most sets of three finder patterns that turn out to be no code.
const MOST_FAILED: usize = 2000;

/// Looks for codes of the wanted formats.
pub fn scan(gray: &Gray, threshold: Threshold, wants: impl Fn(Format) -> bool) -> Vec<Code> {
    if gray.width.min(gray.height) < LEAST_SIDE {
        return Vec::new();
    }
    let mut found = Vec::new();
    let Some(black) = black_and_white(gray, threshold) else { return found };
    if wants(Format::QRCode) {
        found.extend(qr_codes(gray, &black));
    }
    if wants(Format::DataMatrix) && may_hold_matrix(&black) {
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
            found.extend(code(gray, Format::QRCode, text, &points));
        } else {
            failed += 1;
            if failed == MOST_FAILED {
                break;
            }
        }
    }
    found
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
        let Some(code) = code(gray, Format::DataMatrix, result.getText().to_owned(), points) else {
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
fn code(gray: &Gray, format: Format, text: String, points: &[rxing::Point]) -> Option<Code> {
    let point = |point: &rxing::Point| {
        let is_somewhere = point.x.is_finite() && point.y.is_finite();
        is_somewhere.then(|| gray.in_photo(Point { x: point.x - 0.5, y: point.y - 0.5 }))
    };
    let points: Vec<Point> = points.iter().map(point).collect::<Option<_>>()?;
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
