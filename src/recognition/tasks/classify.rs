//! `classify`: what is in the picture, of a fixed list of labels.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Loaded, Task, version};
use crate::recognition::decode::Photo;
use crate::recognition::engine::{Engines, Output, Session};
use crate::recognition::error::{LoadError, RecognitionError};
use crate::recognition::folder::Folder;
use crate::recognition::json;
use crate::recognition::manifest::{Graph, Manifest};
use crate::recognition::prepare::{Scratch, prepare};

pub const NAME: &str = "classify";

/// Raised whenever the same picture gives another result.
const REVISION: u32 = 1;

const DEFAULT_TOP: usize = 5;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ClassifyManifest {
    graph: Graphs,
    output: OutputRules,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Graphs {
    classify: Graph,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OutputRules {
    kind: Kind,
    #[serde(skip_serializing)]
    labels: String,
    #[serde(skip_serializing, rename = "labels-source")]
    _labels_source: Option<String>,
    #[serde(skip_serializing, rename = "labels-licence")]
    _labels_licence: Option<String>,
    #[serde(default = "default_top")]
    top: usize,
}

fn default_top() -> usize {
    DEFAULT_TOP
}

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Raw outputs: softmax makes them probabilities.
    Logits,
    /// The graph gives scores already: taken as they are.
    Scores,
}

struct Classify {
    session: Box<dyn Session>,
    graph: Graph,
    kind: Kind,
    labels: Vec<String>,
    top: usize,
}

#[derive(Serialize)]
struct Classification<'a> {
    task: &'static str,
    labels: Vec<Label<'a>>,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Label<'a> {
    label: &'a str,
    id: usize,
    #[serde(serialize_with = "json::score")]
    score: f32,
}

pub fn load(folder: &Folder, manifest: Manifest, engines: &Engines) -> Result<Loaded, LoadError> {
    let manifest: ClassifyManifest = manifest.body()?;
    let labels = folder.labels(&manifest.output.labels)?;
    let version = version(NAME, REVISION, &manifest, &labels)?;
    let graph = manifest.graph.classify;
    graph.input.check()?;
    let weights = folder.weights(&graph)?;
    let session = engines
        .load(&weights, &graph.input.shape())
        .map_err(|error| LoadError(format!("{}: {error}", graph.file)))?;
    let engine = session.engine();
    let files = vec![graph.file.clone()];
    let task =
        Classify { session, graph, kind: manifest.output.kind, labels, top: manifest.output.top };
    task.try_out()?;
    let count = task.labels.len();
    if !(1..=count).contains(&task.top) {
        return Err(LoadError(format!(
            "model.toml: top must be 1 to {count}, the number of labels"
        )));
    }
    Ok(Loaded { task: Box::new(task), name: NAME, version, engine, files, memory: weights.len() })
}

impl Classify {
    /// Runs the graph once on a grey picture: a graph that cannot run, or whose output does not fit
    /// the labels, is refused when it is loaded and not at the first photo.
    fn try_out(&self) -> Result<(), LoadError> {
        let grey = Photo::new(8, 8, vec![127; 8 * 8 * 3]);
        match self.recognize(&grey, &mut Scratch::default()) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(LoadError(format!("{}: the trial run failed: {error}", self.graph.file)))
            }
        }
    }

    fn scores(&self, outputs: Vec<Output>) -> Result<Vec<f32>, RecognitionError> {
        let failed = |reason: String| Err(RecognitionError::Failed(reason));
        let Some(output) = outputs.into_iter().next() else {
            return failed("the graph has no output".to_owned());
        };
        if output.values.len() != self.labels.len() {
            return failed(format!(
                "the graph's output has the shape {:?}, which does not fit {} labels",
                output.shape,
                self.labels.len()
            ));
        }
        let scores = match self.kind {
            Kind::Logits => softmax(output.values),
            Kind::Scores => output.values,
        };
        if scores.iter().any(|score| !score.is_finite()) {
            return failed("the graph gave a score that is not a number".to_owned());
        }
        Ok(scores)
    }
}

impl Task for Classify {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<String, RecognitionError> {
        let input = prepare(photo, &self.graph.input, scratch)?;
        let start = Instant::now();
        let outputs = self.session.run(input).map_err(RecognitionError::Failed)?;
        scratch.inference += start.elapsed();
        let scores = self.scores(outputs)?;
        let classification = Classification {
            task: NAME,
            labels: best(&scores, self.top)
                .into_iter()
                .map(|id| Label { label: &self.labels[id], id, score: scores[id] })
                .collect(),
            width: photo.full_width,
            height: photo.full_height,
        };
        serde_json::to_string(&classification)
            .map_err(|error| RecognitionError::Failed(error.to_string()))
    }
}

/// Probabilities of logits. The largest is subtracted first, so that no exponential overflows.
fn softmax(mut logits: Vec<f32>) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for value in &mut logits {
        *value = (*value - largest).exp();
        sum += f64::from(*value);
    }
    for value in &mut logits {
        *value = (f64::from(*value) / sum) as f32;
    }
    logits
}

/// Indices of the `count` largest scores, best first; of equal ones the first.
fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let mut ids: Vec<usize> = (0..scores.len()).collect();
    if count < ids.len() {
        ids.select_nth_unstable_by(count, order);
        ids.truncate(count);
    }
    ids.sort_unstable_by(order);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_even_for_large_logits() {
        let scores = softmax(vec![1000.0, 999.0, -1000.0]);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((scores[0] - 0.731_058_6).abs() < 1e-6);
        assert_eq!(scores[2], 0.0);
    }

    #[test]
    fn the_best_come_first_and_equal_ones_in_their_order() {
        assert_eq!(best(&[0.1, 0.5, 0.5, 0.9], 3), [3, 1, 2]);
        assert_eq!(best(&[0.1, 0.5], 5), [1, 0]);
        assert_eq!(best(&[], 5), Vec::<usize>::new());
    }
}
