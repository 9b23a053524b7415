//! `redis-image gallery evaluate PAIRS.csv`: how well a model tells people apart, on pairs of which the truth is known.

use super::plot::{Curve, svg};
use crate::commands::table::{Table, percent};
use crate::connect::{self, Connection};
use crate::digest;
use crate::error::Error;
use crate::gallery::{embedded, numbers};
use crate::output::print;
use crate::recognizer::{self, Recognizer};
use crate::terminal::tell;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// SFace's published one.
const DEFAULT_THRESHOLD: f64 = 0.363;
const STEPS: u32 = 100;

/// Tell accuracy, false accepts and false rejects over thresholds, from pairs of photos
#[derive(Args)]
#[command(after_long_help = "\
PAIRS.csv has a header line and the columns `a`, `b` (photos, relative to the file) and `same` (1 or 0, yes or no, true or
false). Of several faces in a photo the largest counts; a pair with a photo without any is left out, and counted.

Example:
  redis-image gallery evaluate lfw/pairs.csv --plot curve.svg

Exit status: 0 evaluated, 1 some photos could not be recognised, 2 could not work at all.")]
pub struct Arguments {
    /// The pairs
    #[arg(value_name = "PAIRS.csv")]
    pairs: PathBuf,

    /// Write the curve to this file, an SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

    /// The threshold to tell about; the default is that of the model `faces`
    #[arg(long, value_name = "COSINE", default_value_t = DEFAULT_THRESHOLD)]
    threshold: f64,

    #[arg(long, value_enum, default_value_t = EvaluateOutput::Table)]
    output: EvaluateOutput,

    #[command(flatten)]
    recognition: recognizer::RecognizeOptions,

    #[command(flatten)]
    connection: connect::Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EvaluateOutput {
    Table,
    Json,
}

#[derive(Deserialize)]
struct Row {
    a: PathBuf,
    b: PathBuf,
    same: String,
}

struct Pair {
    a: PathBuf,
    b: PathBuf,
    same: bool,
}

/// What a threshold does to the pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Rates {
    threshold: f64,
    accuracy: f64,
    /// Of the pairs of different people.
    false_accepts: f64,
    /// Of the pairs of one person.
    false_rejects: f64,
}

#[derive(Serialize)]
struct Evaluation {
    pairs: usize,
    same: usize,
    left_out: usize,
    at_threshold: Rates,
    best: Rates,
    /// Where false accepts and rejects are as near as can be.
    equal_error: Rates,
    curve: Vec<Rates>,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let pairs = read(&arguments.pairs)?;
    let connection = Connection::open(&arguments.connection).await?;
    let mut options = arguments.recognition;
    let concurrency = usize::from(options.concurrency);
    options.model.get_or_insert_with(|| "faces".to_owned());
    let recognizer = &Recognizer::new(connection, options, false);
    recognizer.check().await?;

    let photos: BTreeSet<&PathBuf> = pairs.iter().flat_map(|pair| [&pair.a, &pair.b]).collect();
    let mut found: BTreeMap<&PathBuf, Vec<f32>> = BTreeMap::new();
    let mut failed = 0;
    let mut answers = futures_util::stream::iter(photos)
        .map(|photo| async move { (photo, largest(recognizer, photo).await) })
        .buffer_unordered(concurrency);
    while let Some((photo, answer)) = answers.next().await {
        match answer {
            Ok(Some(embedding)) => drop(found.insert(photo, embedding)),
            Ok(None) => tell(&format!("redis-image: {}: no face", photo.display())),
            Err(error) => {
                failed += 1;
                tell(&format!("redis-image: {}: {error}", photo.display()));
            }
        }
    }
    let compared: Vec<(f64, bool)> = pairs
        .iter()
        .filter_map(|pair| Some((cosine(found.get(&pair.a)?, found.get(&pair.b)?), pair.same)))
        .collect();
    let evaluation = evaluate(&compared, pairs.len() - compared.len(), arguments.threshold)
        .ok_or_else(|| Error::usage("there must be pairs of both kinds, same and not the same"))?;
    if let Some(path) = &arguments.plot {
        let drawn = plot(&evaluation);
        std::fs::write(path, drawn).map_err(|why| Error::file(path, why))?;
    }
    match arguments.output {
        EvaluateOutput::Json => {
            let text = serde_json::to_string(&evaluation);
            print(&text.map_err(|why| Error::usage(why.to_string()))?)?;
        }
        EvaluateOutput::Table => show(&evaluation)?,
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn read(path: &Path) -> Result<Vec<Pair>, Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut reader = csv::Reader::from_path(path).map_err(|why| Error::file(path, why))?;
    let rows = reader.deserialize();
    rows.map(|row| {
        let Row { a, b, same } = row.map_err(|why| Error::file(path, why))?;
        let same = match same.trim().to_ascii_lowercase().as_str() {
            "1" | "yes" | "true" | "same" => true,
            "0" | "no" | "false" | "different" => false,
            other => {
                return Err(Error::file(path, format!("`same` must be 1 or 0, not {other}")));
            }
        };
        Ok(Pair { a: folder.join(a), b: folder.join(b), same })
    })
    .collect()
}

/// The embedding of the largest face, or of the whole picture.
async fn largest(recognizer: &Recognizer, photo: &Path) -> Result<Option<Vec<f32>>, Error> {
    let payload = digest::read(photo)?;
    let recognized = recognizer.recognize(&payload, None, None).await?;
    let faces = embedded(&recognized.result)?;
    let largest = faces.into_iter().max_by(|one, other| one.area.total_cmp(&other.area));
    Ok(largest.map(|face| numbers(&face.vector).collect()))
}

/// Of vectors of unit length.
fn cosine(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// None if one of the kinds is missing: then there is no rate of it.
fn evaluate(compared: &[(f64, bool)], left_out: usize, threshold: f64) -> Option<Evaluation> {
    let at = |threshold: f64| rates(compared, threshold);
    let curve: Vec<Rates> =
        (0..=STEPS).map(|step| at(f64::from(step) / f64::from(STEPS))).collect::<Option<_>>()?;
    let best = curve.iter().copied().max_by(|a, b| a.accuracy.total_cmp(&b.accuracy))?;
    let gap = |rates: &Rates| (rates.false_accepts - rates.false_rejects).abs();
    let equal_error = curve.iter().copied().min_by(|a, b| gap(a).total_cmp(&gap(b)))?;
    Some(Evaluation {
        pairs: compared.len(),
        same: compared.iter().filter(|(_, same)| *same).count(),
        left_out,
        at_threshold: at(threshold)?,
        best,
        equal_error,
        curve,
    })
}

fn rates(compared: &[(f64, bool)], threshold: f64) -> Option<Rates> {
    let (mut same, mut different, mut accepted, mut rejected) = (0u32, 0u32, 0u32, 0u32);
    for (cosine, is_same) in compared {
        let accepts = *cosine >= threshold;
        match is_same {
            true => {
                same += 1;
                rejected += u32::from(!accepts);
            }
            false => {
                different += 1;
                accepted += u32::from(accepts);
            }
        }
    }
    if same == 0 || different == 0 {
        return None;
    }
    let (wrong, all) = (f64::from(accepted + rejected), f64::from(same + different));
    Some(Rates {
        threshold,
        accuracy: 1.0 - wrong / all,
        false_accepts: f64::from(accepted) / f64::from(different),
        false_rejects: f64::from(rejected) / f64::from(same),
    })
}

fn plot(evaluation: &Evaluation) -> String {
    let points = |value: fn(&Rates) -> f64| {
        evaluation.curve.iter().map(|rates| (rates.threshold, value(rates))).collect()
    };
    let curves = [
        Curve { name: "accuracy", colour: "#2b6", points: points(|rates| rates.accuracy) },
        Curve {
            name: "false accepts",
            colour: "#c33",
            points: points(|rates| rates.false_accepts),
        },
        Curve {
            name: "false rejects",
            colour: "#36c",
            points: points(|rates| rates.false_rejects),
        },
    ];
    let title = format!("{} pairs, {} of one person", evaluation.pairs, evaluation.same);
    svg(&title, &curves, evaluation.at_threshold.threshold)
}

fn show(evaluation: &Evaluation) -> Result<(), Error> {
    let mut table = Table::new(["", "THRESHOLD", "ACCURACY", "FALSE ACCEPTS", "FALSE REJECTS"]);
    let mut add = |name: &str, rates: &Rates| {
        table.add([
            name.to_owned(),
            format!("{:.3}", rates.threshold),
            percent(Some(rates.accuracy)),
            percent(Some(rates.false_accepts)),
            percent(Some(rates.false_rejects)),
        ]);
    };
    add("in use", &evaluation.at_threshold);
    add("most accurate", &evaluation.best);
    add("equal errors", &evaluation.equal_error);
    for rates in evaluation.curve.iter().step_by(10) {
        add("", rates);
    }
    print(table.to_string().trim_end())?;
    print(&format!(
        "{} pairs, {} of one person; {} left out",
        evaluation.pairs, evaluation.same, evaluation.left_out
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_count_both_kinds_of_mistakes() {
        let compared = [(0.9, true), (0.3, true), (0.5, false), (0.1, false), (0.0, false)];
        let found = rates(&compared, 0.4).unwrap();
        assert_eq!((found.false_accepts, found.false_rejects), (1.0 / 3.0, 0.5));
        assert!((found.accuracy - 0.6).abs() < 1e-12);
        assert_eq!(rates(&compared[..2], 0.4), None);
    }

    #[test]
    fn the_best_threshold_divides_what_can_be_divided() {
        let compared = [(0.8, true), (0.7, true), (0.3, false), (0.2, false)];
        let found = evaluate(&compared, 1, 0.363).unwrap();
        assert_eq!((found.best.accuracy, found.at_threshold.accuracy), (1.0, 1.0));
        assert_eq!((found.pairs, found.same, found.left_out), (4, 2, 1));
        assert!(plot(&found).contains("4 pairs, 2 of one person"));
    }
}
