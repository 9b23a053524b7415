//! `barcodes`: what linear and matrix codes in the picture say, and which of them are ISBNs. There
//! is no graph: `rxing` reads matrix codes and the stretches of lines that [`linear`] finds, and
//! [`ean`] the codes on goods and books.
//!
//! A picture is first looked through quickly. Where that leaves nothing unread, it is all: what is
//! sharp enough to be read at once is mostly all that there is. Else more directions, sizes and
//! thresholds follow. The work depends on the picture's size and never on a clock, so that the same
//! picture always gives the same result.

mod codes;
mod ean;
mod edges;
mod gray;
mod linear;
mod matrix;
mod symbol;
mod threshold;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::task::{Body, Outcome, Task, TaskKind};
use crate::decode::Photo;
use crate::error::{LoadError, RecognitionError};
use crate::json::coordinate;
use crate::manifest::Graph;
use crate::network::Loading;
use crate::prepare::Scratch;
use codes::{Agreed, Code};
use gray::Gray;
use linear::{LinearFindings, Pass};
use matrix::Threshold;
use symbol::CodeFormat;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BarcodesManifest {
    /// The formats that are looked for; others are not told.
    formats: Vec<CodeFormat>,
}

pub struct Barcodes {
    formats: Vec<CodeFormat>,
}

#[derive(Serialize)]
struct FoundCode<'a> {
    task: &'static str,
    barcodes: Vec<Barcode<'a>>,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Barcode<'a> {
    format: CodeFormat,
    text: &'a str,
    corners: [[f64; 2]; 4],
    #[serde(skip_serializing_if = "Option::is_none")]
    isbn: Option<&'a str>,
}

impl Barcode<'_> {
    fn of(code: &Code) -> Barcode<'_> {
        let corners =
            code.corners.map(|corner| [corner.x, corner.y].map(|value| coordinate(value.into())));
        Barcode { format: code.format, text: &code.text, corners, isbn: code.isbn() }
    }
}

impl Body for BarcodesManifest {
    fn graphs(&self) -> Vec<&Graph> {
        Vec::new()
    }

    fn check(&self, _labels: &[String]) -> Result<(), LoadError> {
        if self.formats.is_empty() {
            return Err(LoadError("model.toml: formats must name at least one format".to_owned()));
        }
        Ok(())
    }
}

impl TaskKind for Barcodes {
    const NAME: &'static str = "barcodes";
    const REVISION: u32 = 2;
    type Manifest = BarcodesManifest;

    fn load(
        manifest: &BarcodesManifest,
        _labels: &[String],
        _loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError> {
        Ok(Box::new(Barcodes { formats: manifest.formats.clone() }))
    }
}

impl Task for Barcodes {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError> {
        let start = std::time::Instant::now();
        let codes = read(photo, &self.formats);
        scratch.inference += start.elapsed();
        let found = FoundCode {
            task: Barcodes::NAME,
            barcodes: codes.iter().map(Barcode::of).collect(),
            width: photo.full_width,
            height: photo.full_height,
        };
        Outcome::of(&found)
    }
}

/// A picture of more pixels is halved for the quick look, and until it has not more than
/// [`MOST_PIXELS`] for the thorough one.
const QUICK_PIXELS: usize = 1_600_000;
const MOST_PIXELS: usize = 4 * QUICK_PIXELS;
/// A picture of less is doubled for the thorough look at matrix codes.
const FEW_PIXELS: usize = 400_000;

/// Degrees. A linear code is read up to about 30 beside its own direction, a low one less.
const STRAIGHT: [f32; 4] = [0.0, 90.0, 45.0, 135.0];
const BETWEEN: [f32; 4] = [22.5, 67.5, 112.5, 157.5];

/// All codes of the picture, in reading order.
fn read(photo: &Photo, formats: &[CodeFormat]) -> Vec<Code> {
    let wants = |format| formats.contains(&format);
    let mut large = Gray::of(photo);
    while large.pixels.len() > MOST_PIXELS {
        large = large.halved();
    }
    let reduced = (large.pixels.len() > QUICK_PIXELS).then(|| large.halved());
    let gray = reduced.as_ref().unwrap_or(&large);

    let mut matrix_codes = matrix::scan(gray, Threshold::Local, wants);
    let mut seen = LinearFindings::default();
    let mut look = |gray: &Gray, angles: &[f32], thickness, share, sharpening| {
        for &angle in angles {
            linear::scan(gray, Pass { angle, thickness, share, sharpening }, wants, &mut seen);
        }
        codes::agree(&seen)
    };
    let mut lines = look(gray, &STRAIGHT, 2, 0.2, 0);
    // A matrix code alone is no reason to look harder for linear ones; a place that looks like one is.
    let is_done = |lines: &Agreed| !lines.has_doubt && !lines.codes.is_empty();
    if lines.has_doubt || lines.codes.is_empty() && matrix_codes.is_empty() {
        look(gray, &BETWEEN, 2, 0.2, 0);
        lines = look(gray, &STRAIGHT, 4, 0.12, 0);
        for sharpening in [3, 6] {
            if !is_done(&lines) {
                look(gray, &STRAIGHT, 3, 0.2, sharpening);
                lines = look(gray, &BETWEEN, 3, 0.2, sharpening);
            }
        }
        if !is_done(&lines) {
            let small = gray.halved();
            look(&small, &STRAIGHT, 1, 0.12, 0);
            lines = look(&small, &BETWEEN, 1, 0.12, 0);
        }
        if !is_done(&lines) && reduced.is_some() {
            lines = look(&large, &STRAIGHT, 2, 0.2, 0);
        }
    }
    if lines.codes.is_empty() && matrix_codes.is_empty() {
        matrix_codes = again(gray, &large, reduced.is_some(), wants);
    }
    let codes = codes::settle([matrix_codes, lines.codes].concat());
    let codes = codes.into_iter().filter_map(|code| code.if_wanted(wants)).collect();
    codes::in_reading_order(codes)
}

/// Looks for matrix codes with other thresholds and sizes, until there is one.
fn again(
    gray: &Gray,
    large: &Gray,
    is_reduced: bool,
    wants: impl Fn(CodeFormat) -> bool,
) -> Vec<Code> {
    let mut found = matrix::scan(gray, Threshold::Global, &wants);
    if found.is_empty() && gray.pixels.len() < FEW_PIXELS {
        found = matrix::scan(&gray.doubled(), Threshold::Local, &wants);
    }
    if found.is_empty() {
        found = matrix::scan(&gray.halved(), Threshold::Local, &wants);
    }
    if found.is_empty() && is_reduced {
        found = matrix::scan(large, Threshold::Local, &wants);
    }
    found
}
