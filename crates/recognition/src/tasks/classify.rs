//! `classify`: what is in the picture, of a fixed list of labels.

use serde::{Deserialize, Serialize};

use super::task::{Body, Outcome, Task, TaskKind};
use crate::decode::{Detail, Photo};
use crate::engine::Output;
use crate::error::{LoadError, RecognitionError};
use crate::json;
use crate::manifest::{Graph, LabelList};
use crate::network::{Loading, Network};
use crate::prepare::{Scratch, detail};

const DEFAULT_TOP: usize = 5;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifyManifest {
    graph: ClassifyGraphs,
    output: ClassifyRules,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ClassifyGraphs {
    classify: Graph,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClassifyRules {
    kind: ClassifyKind,
    #[serde(skip_serializing)]
    labels: LabelList,
    #[serde(default = "default_top")]
    top: usize,
}

fn default_top() -> usize {
    DEFAULT_TOP
}

#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ClassifyKind {
    /// Raw outputs: softmax makes them probabilities.
    Logits,
    /// The graph gives scores already: taken as they are.
    Scores,
}

pub struct Classify {
    network: Network,
    kind: ClassifyKind,
    labels: Vec<String>,
    top: usize,
}

impl Body for ClassifyManifest {
    fn graphs(&self) -> Vec<&Graph> {
        vec![&self.graph.classify]
    }

    fn labels(&self) -> Option<&str> {
        Some(&self.output.labels.file)
    }

    fn check(&self, labels: &[String]) -> Result<(), LoadError> {
        let count = labels.len();
        if (1..=count).contains(&self.output.top) {
            return Ok(());
        }
        Err(LoadError(format!("model.toml: top must be 1 to {count}, the number of labels")))
    }
}

impl TaskKind for Classify {
    const NAME: &'static str = "classify";
    const REVISION: u32 = 2;
    type Manifest = ClassifyManifest;

    fn load(
        manifest: &ClassifyManifest,
        labels: &[String],
        loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError> {
        Ok(Box::new(Classify {
            network: loading.network(&manifest.graph.classify)?,
            kind: manifest.output.kind,
            labels: labels.to_vec(),
            top: manifest.output.top,
        }))
    }
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

impl Classify {
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
        Ok(match self.kind {
            ClassifyKind::Logits => softmax(output.values),
            ClassifyKind::Scores => output.values,
        })
    }
}

impl Task for Classify {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError> {
        let scores = self.scores(self.network.run(photo, scratch)?)?;
        let classification = Classification {
            task: Classify::NAME,
            labels: best(&scores, self.top)
                .into_iter()
                .map(|id| Label { label: &self.labels[id], id, score: scores[id] })
                .collect(),
            width: photo.full_width,
            height: photo.full_height,
        };
        Outcome::of(&classification)
    }

    fn detail(&self) -> Detail {
        detail(&self.network.input)
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
