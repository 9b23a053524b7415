//! `plates`: where licence plates are and what they say.
//!
//! `detector` finds them, `crops` and `line` look at them, `choosing` decides what they say with the
//! help of `formats`; `reading` and `rows` say in which order. Two settings: *quick* takes one pass
//! and one look and reports what that reads; *thorough* takes several of both.

mod alphabet;
mod choosing;
mod crops;
mod detector;
mod formats;
mod line;
mod reading;
mod rows;
#[cfg(test)]
mod tests_shared;
#[cfg(test)]
mod tests_two_rows;

use serde::{Deserialize, Serialize};

use super::task::{Body, Outcome, Task, TaskKind};
use crate::decode::Photo;
use crate::error::{LoadError, RecognitionError};
use crate::geometry::{Quad, Rect, cut_out};
use crate::json;
use crate::manifest::{Graph, check_shares};
use crate::network::Loading;
use crate::prepare::Scratch;
use crate::reading::{LineReader, ReaderRules};
use alphabet::Alphabet;
use choosing::Judge;
use crops::PlateReader;
use detector::{Detector, DetectorRules, PlateDetection, grouped};
use formats::{Formats, Likeness, NamedPattern};
use line::LineFinder;
use reading::{Plate, PlateReading, WEAK_DETECTION, WEAK_EVIDENCE};

/// A reading needs this evidence.
const EVIDENCE: f64 = 0.1;
/// One of digits only or letters only is a plate's only with this detection: barcodes have digits
/// beneath, signs have words.
const ONE_KIND_DETECTION: f64 = 0.5;
/// A plate whose box has more than this in common with that of a better one, of the smaller of the
/// two, is the same.
const SAME_PLATE: f64 = 0.5;
/// Sides of passes are multiples of this, as their inputs are of a fifth of them.
const SIDE_STEP: u32 = 160;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PlatesManifest {
    graph: PlatesGraphs,
    reader: ReaderRules,
    output: PlatesRules,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PlatesGraphs {
    /// Finds plates and their corners.
    detect: Graph,
    /// Reads a line.
    read: Graph,
    /// Finds the lines within a plate: of *thorough*.
    line: Graph,
}

#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PlatesRules {
    setting: PlatesSetting,
    quick: Quick,
    thorough: Thorough,
    detector: DetectorRules,
    /// The least score of a plate, the mean of its characters': 0 to 1.
    score_threshold: f64,
    /// The characters that plates consist of.
    characters: String,
    /// Those between groups of characters, which mean nothing.
    separators: String,
    formats: Vec<NamedPattern>,
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum PlatesSetting {
    Quick,
    Thorough,
}

#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Quick {
    detection_threshold: f64,
}

#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Thorough {
    /// Pixels of the photo's long side in each of the detector's passes.
    sides: Vec<u32>,
    detection_threshold: f64,
    /// The most plates that are read; the best detections are. Each costs up to a dozen readings.
    max_plates: usize,
}

pub struct Plates {
    detector: Detector,
    lines: LineReader,
    /// None in the setting *quick*.
    finder: Option<LineFinder>,
    judge: Judge,
    rules: PlatesRules,
}

impl PlatesRules {
    fn judge(&self, known: &[String]) -> Result<Judge, LoadError> {
        let alphabet = Alphabet::new(&self.characters, &self.separators, known).map_err(|c| {
            LoadError(format!("model.toml: the reader does not know the character {c:?}"))
        })?;
        let formats = Formats::new(&self.formats).ok_or_else(|| {
            LoadError("model.toml: patterns consist of the letters L, D, A and P".to_owned())
        })?;
        Ok(Judge { alphabet, formats })
    }
}

impl Body for PlatesManifest {
    fn graphs(&self) -> Vec<&Graph> {
        vec![&self.graph.detect, &self.graph.read, &self.graph.line]
    }

    fn labels(&self) -> Option<&str> {
        Some(&self.reader.characters.file)
    }

    fn check(&self, labels: &[String]) -> Result<(), LoadError> {
        const MAX_SIDE: u32 = 4096;
        let output = &self.output;
        check_shares(&[
            ("score-threshold", output.score_threshold),
            ("iou-threshold", output.detector.iou_threshold),
            ("quick.detection-threshold", output.quick.detection_threshold),
            ("thorough.detection-threshold", output.thorough.detection_threshold),
        ])?;
        let sides = &output.thorough.sides;
        let fits = |side: &u32| (1..=MAX_SIDE).contains(side) && side.is_multiple_of(SIDE_STEP);
        if sides.is_empty() || !sides.iter().all(fits) {
            return Err(LoadError(format!(
                "model.toml: sides must be multiples of {SIDE_STEP}, at most {MAX_SIDE}"
            )));
        }
        self.reader.check()?;
        output.detector.check()?;
        output.judge(labels).map(drop)
    }
}

impl TaskKind for Plates {
    const NAME: &'static str = "plates";
    const REVISION: u32 = 2;
    type Manifest = PlatesManifest;

    fn load(
        manifest: &PlatesManifest,
        labels: &[String],
        loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError> {
        let PlatesManifest { graph, reader, output } = manifest;
        let finder = match output.setting {
            PlatesSetting::Quick => None,
            PlatesSetting::Thorough => Some(LineFinder { network: loading.network(&graph.line)? }),
        };
        Ok(Box::new(Plates {
            finder,
            lines: LineReader::load(&graph.read, reader, labels, loading)?,
            detector: Detector {
                network: loading.network(&graph.detect)?,
                rules: output.detector.clone(),
            },
            judge: output.judge(labels)?,
            rules: output.clone(),
        }))
    }
}

#[derive(Serialize)]
struct PlatesResult {
    task: &'static str,
    plates: Vec<FoundPlate>,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct FoundPlate {
    text: String,
    #[serde(serialize_with = "json::score")]
    score: f32,
    #[serde(rename = "box")]
    place: Rect,
    corners: Quad,
    #[serde(serialize_with = "json::score")]
    detection: f32,
    characters: Vec<ReadCharacter>,
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected: Option<String>,
}

#[derive(Serialize)]
struct ReadCharacter {
    char: String,
    #[serde(serialize_with = "json::score")]
    score: f32,
}

impl Task for Plates {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError> {
        let mut plates = match &self.finder {
            None => self.quick(photo, scratch)?,
            Some(finder) => self.thorough(photo, finder, scratch)?,
        };
        for plate in &mut plates {
            plate.place = plate.place.clipped(photo.width, photo.height);
        }
        Outcome::of(&PlatesResult {
            task: Plates::NAME,
            plates,
            width: photo.full_width,
            height: photo.full_height,
        })
    }

    fn try_out(&self, scratch: &mut Scratch) -> Result<(), RecognitionError> {
        let grey = Photo::new(8, 8, vec![127; 8 * 8 * 3]);
        self.detector.detect(&grey, self.rules.quick.detection_threshold, scratch)?;
        self.lines.try_out(scratch)?;
        self.finder.as_ref().map_or(Ok(()), |finder| finder.try_out(scratch))
    }
}

impl Plates {
    /// Every detection of one pass that can be read, as it is read. The best first.
    fn quick(
        &self,
        photo: &Photo,
        scratch: &mut Scratch,
    ) -> Result<Vec<FoundPlate>, RecognitionError> {
        let mut plates = Vec::new();
        let threshold = self.rules.quick.detection_threshold;
        for detection in self.detector.detect(photo, threshold, scratch)? {
            let Some(picture) = cut_out(photo, &detection.corners) else { continue };
            let steps = self.lines.read(&picture, scratch)?;
            let characters: Vec<ReadCharacter> = (self.lines.characters(&steps).iter())
                .map(|one| ReadCharacter { char: one.text.to_owned(), score: one.score })
                .collect();
            let text: String = characters.iter().map(|one| one.char.as_str()).collect();
            let number = self.judge.alphabet.without_separators(&text);
            let looks = [self.judge.alphabet.kept(&steps)];
            let plate = FoundPlate {
                text,
                score: mean(&characters),
                place: detection.place,
                corners: detection.corners,
                detection: detection.score as f32,
                characters,
                format: self.judge.formats.name_of(&number).map(str::to_owned),
                corrected: self.judge.corrected(&number, &looks).map(String::from_iter),
            };
            if f64::from(plate.score) >= self.rules.score_threshold {
                plates.push(plate);
            }
        }
        plates.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(plates)
    }

    /// What several passes find, each looked at until it is sure what it says. The best first.
    fn thorough(
        &self,
        photo: &Photo,
        finder: &LineFinder,
        scratch: &mut Scratch,
    ) -> Result<Vec<FoundPlate>, RecognitionError> {
        let Thorough { sides, detection_threshold, max_plates } = &self.rules.thorough;
        let mut passes = Vec::new();
        for side in sides {
            passes.push(self.detector.detect_at(photo, *side, *detection_threshold, scratch)?);
        }
        let mut plates: Vec<FoundPlate> = Vec::new();
        for detections in grouped(passes, *max_plates) {
            let reader = PlateReader { lines: &self.lines, judge: &self.judge, photo };
            let plate = Plate { detections: &detections, reader, finder };
            if let Some(reading) = plate.read(scratch)?
                && let Some(best) = detections.first()
            {
                plates.extend(self.judged(&reading, best));
            }
        }
        plates.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<FoundPlate> = Vec::new();
        for plate in plates {
            let is_same =
                |other: &FoundPlate| other.place.share_of_smaller(&plate.place) > SAME_PLATE;
            if !kept.iter().any(is_same) {
                kept.push(plate);
            }
        }
        Ok(kept)
    }

    /// The plate, if what was read is one's number.
    fn judged(&self, reading: &PlateReading, detection: &PlateDetection) -> Option<FoundPlate> {
        let Judge { alphabet, formats } = &self.judge;
        let PlateReading { choice, looks, corners } = reading;
        let text = &choice.text;
        let likeness = formats.likeness(text);
        let is_weak = detection.score < WEAK_DETECTION;
        let evidence = if is_weak { WEAK_EVIDENCE } else { EVIDENCE };
        let is_of_one_kind = text.iter().all(char::is_ascii_digit)
            || text.iter().all(|character| character.is_alphabetic());
        let corrected = self.judge.corrected(text, looks);
        if choice.evidence < evidence
            || is_weak && likeness != Likeness::Named
            || likeness == Likeness::None && corrected.is_none()
            || is_of_one_kind && detection.score < ONE_KIND_DETECTION
        {
            return None;
        }
        let scores = alphabet.scores(looks.get(choice.clearest)?, text);
        let character =
            |(c, score): (&char, &f64)| ReadCharacter { char: c.to_string(), score: *score as f32 };
        let characters: Vec<ReadCharacter> = text.iter().zip(&scores).map(character).collect();
        let score = mean(&characters);
        (f64::from(score) >= self.rules.score_threshold).then(|| FoundPlate {
            text: text.iter().collect(),
            score,
            place: detection.place,
            corners: corners.unwrap_or(detection.corners),
            detection: detection.score as f32,
            characters,
            format: formats.name_of(text).map(str::to_owned),
            corrected: corrected.map(String::from_iter),
        })
    }
}

fn mean(characters: &[ReadCharacter]) -> f32 {
    let sum: f64 = characters.iter().map(|one| f64::from(one.score)).sum();
    if characters.is_empty() { 0.0 } else { (sum / characters.len() as f64) as f32 }
}
