//! Linear codes: lines across the picture in several directions.
//!
//! `rxing` looks along rows and columns of whole pixels; here lines go in any direction, and its
//! readers of Code 128, Code 39 and ITF get each stretch between two quiet zones.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rxing::common::BitArray;
use rxing::oned::{Code39Reader, Code128Reader, ITFReader, OneDReader};
use rxing::{BarcodeFormat, DecodeHints, RXingResult};

use super::ean::{self, EanFrame};
use super::edges::{self, Edges};
use super::gray::Gray;
use super::symbol::{CodeFormat, LinearReading, PixelPoint};

/// One way to look through a picture.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Degrees, clockwise.
    pub angle: f32,
    /// Neighbouring lines that are averaged.
    pub thickness: usize,
    /// How much of the contrast around it a change must be to count.
    pub share: f32,
    /// Samples to either side that the line is sharpened against, 0 for not at all.
    pub sharpening: usize,
}

/// What lines say.
#[derive(Default)]
pub struct LinearFindings {
    pub frames: Vec<EanFrame>,
    pub readings: Vec<LinearReading>,
}

/// Most lines of a pass.
const LINES: usize = 160;
/// Most frames and most readings of a picture: a picture of nothing but stripes has no end of them.
const MOST: usize = 3000;
/// Bits that `rxing` gets for a sample, so that it sees fractions.
const BITS: f32 = 4.0;
/// Less edges are no code.
const LEAST_EDGES: usize = 20;

/// Looks through a picture in one direction, both ways.
pub fn scan(
    gray: &Gray,
    pass: Pass,
    wants: impl Fn(CodeFormat) -> bool,
    seen: &mut LinearFindings,
) {
    let wants_ean =
        [CodeFormat::Ean13, CodeFormat::UpcA, CodeFormat::Ean8, CodeFormat::UpcE].map(&wants);
    let wants_others = [CodeFormat::Code128, CodeFormat::Code39, CodeFormat::Itf].map(&wants);
    let mut values = Vec::new();
    let mut edges = Edges::default();
    for line in gray.lines(pass.angle.to_radians(), LINES) {
        if line.samples < LEAST_EDGES {
            continue;
        }
        gray.sample(&line, pass.thickness, &mut values);
        edges::sharpen(&mut values, pass.sharpening);
        edges::find(&values, pass.share, &mut edges);
        let length = (line.samples - 1) as f32;
        for is_backwards in [false, true] {
            if edges.at.len() < LEAST_EDGES || seen.frames.len() + seen.readings.len() > MOST {
                continue;
            }
            let place = |at: f32| {
                let at = if is_backwards { length - at } else { at };
                gray.in_photo(line.start + line.step * at)
            };
            if wants_ean.contains(&true) {
                ean::frames(&edges.at, length, |symbology, first, last, digits| {
                    let (from, to) = (place(edges.at[first]), place(edges.at[last]));
                    seen.frames.push(EanFrame { symbology, from, to, digits });
                });
            }
            if wants_others.contains(&true) {
                others(&edges, &wants, place, &mut seen.readings);
            }
            edges.reverse(length);
        }
    }
}

/// Reads with `rxing` the stretches between two quiet zones.
fn others(
    edges: &Edges,
    wants: impl Fn(CodeFormat) -> bool,
    place: impl Fn(f32) -> PixelPoint,
    found: &mut Vec<LinearReading>,
) {
    for (first, last) in stretches(edges) {
        let stretch = &edges.at[first..=last];
        let readers = Readers::fit_for(stretch);
        if !readers.are_any() {
            continue;
        }
        let Some(row) = bits(stretch) else { continue };
        let Some(result) = decode(&row, readers) else { continue };
        let format = match result.getBarcodeFormat() {
            BarcodeFormat::CODE_128 => CodeFormat::Code128,
            BarcodeFormat::CODE_39 => CodeFormat::Code39,
            BarcodeFormat::ITF => CodeFormat::Itf,
            _ => continue,
        };
        if wants(format) && has_all_runs(format, result.getText(), last - first) {
            let (from, to) = (place(edges.at[first]), place(edges.at[last]));
            found.push(LinearReading { format, text: result.getText().to_owned(), from, to });
        }
    }
}

/// Whether a text accounts for all the runs of a stretch: a reader may stop at something inside that
/// looks like an end.
fn has_all_runs(format: CodeFormat, text: &str, runs: usize) -> bool {
    let characters = text.chars().count();
    match format {
        // Start, then five runs a digit, then the end.
        CodeFormat::Itf => runs == 4 + 5 * characters + 3,
        // Nine runs and a gap a character, start and end among them.
        CodeFormat::Code39 => runs == 10 * (characters + 2) - 1,
        // Code 128 has a check symbol.
        _ => true,
    }
}

/// The stretch as `rxing` wants it, with light on both sides.
fn bits(stretch: &[f32]) -> Option<BitArray> {
    let (first, last) = (*stretch.first()?, *stretch.last()?);
    let mean = (last - first) / (stretch.len() - 1) as f32;
    let quiet = 8.0 * mean;
    let bit = |at: f32| ((at - first + quiet) * BITS).round() as usize;
    let mut row = BitArray::with_size(bit(last + quiet) + 1);
    for run in stretch.chunks_exact(2) {
        row.setRange(bit(run[0]), bit(run[1])).ok()?;
    }
    Some(row)
}

/// Readers that may find something in a stretch: they take longer to find nothing than this to tell.
#[derive(Clone, Copy)]
struct Readers {
    code128: bool,
    code39: bool,
    itf: bool,
}

impl Readers {
    fn fit_for(stretch: &[f32]) -> Readers {
        let runs = stretch.len() - 1;
        Readers { code128: has_code128_start(stretch), code39: runs % 10 == 9, itf: runs % 10 == 7 }
    }

    fn are_any(self) -> bool {
        self.code128 || self.code39 || self.itf
    }
}

/// Whether a start of Code 128 may be in a stretch: all begin with runs of two, one and one modules of
/// eleven, after light of half their width. Never stricter than `rxing`, which allows .7 of a module.
fn has_code128_start(stretch: &[f32]) -> bool {
    const MODULES: [f32; 3] = [2.0, 1.0, 1.0];
    (0..stretch.len().saturating_sub(6)).step_by(2).any(|dark| {
        let at = &stretch[dark..=dark + 6];
        let width = at[6] - at[0];
        let module = width / 11.0;
        let rounding = 1.0 / BITS;
        let tolerance = 0.7 * module + rounding;
        let has_light = dark == 0 || at[0] - stretch[dark - 1] >= width / 2.0 - rounding;
        let mut runs = at.windows(2).map(|run| run[1] - run[0]).zip(MODULES);
        has_light && runs.all(|(run, modules)| (run - modules * module).abs() <= tolerance)
    })
}

fn decode(row: &BitArray, readers: Readers) -> Option<RXingResult> {
    let hints = DecodeHints::default();
    let read = || {
        let code128 = || Code128Reader.decode_row(0, row, &hints).ok();
        let code39 = || Code39Reader::default().decode_row(0, row, &hints).ok();
        let itf = || ITFReader::default().decode_row(0, row, &hints).ok();
        let code128 = readers.code128.then(code128).flatten();
        let code39 = || readers.code39.then(code39).flatten();
        let itf = || readers.itf.then(itf).flatten();
        code128.or_else(code39).or_else(itf)
    };
    // The readers share nothing that outlives the call: a panic leaves no broken state.
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

/// Stretches with a quiet zone on both sides: their first and last edge.
fn stretches(edges: &Edges) -> Vec<(usize, usize)> {
    /// Runs whose mean width a quiet zone is compared with, and how many times as wide it is.
    const RUNS: usize = 8;
    const RATIO: f32 = 4.2;
    let at = &edges.at;
    let mean = |from: usize, to: usize| (at[to] - at[from]) / (to - from) as f32;
    let mut found = Vec::new();
    let mut start: Option<usize> = None;
    for dark in (0..at.len().saturating_sub(1)).step_by(2) {
        let light = dark + 1;
        let is_start = dark + RUNS < at.len()
            && (dark == 0 || at[dark] - at[dark - 1] >= RATIO * mean(dark, dark + RUNS));
        if is_start {
            start = Some(dark);
        }
        let is_end = light >= RUNS
            && (light + 1 == at.len()
                || at[light + 1] - at[light] >= RATIO * mean(light - RUNS, light));
        if is_end
            && let Some(start) = start.take()
            && light - start >= LEAST_EDGES - 1
        {
            found.push((start, light));
        }
    }
    found
}
