//! A tiny classifier: its scores for red, green and blue are the mean colour of the picture. It loads in milliseconds,
//! and its results can be worked out by hand.

use super::photos;
use super::protobuf::{Message, model, node, tensor, value};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// The files of a model before they are written, so that a test can change them.
#[derive(Clone)]
pub struct Model {
    pub manifest: String,
    pub labels: String,
    pub weights: Vec<u8>,
}

/// A flaw in the graph.
pub enum Flaw {
    /// Four scores for three labels.
    FourScores,
    /// An operator that no engine knows.
    UnknownOperator,
    /// An input of four channels.
    FourChannels,
    /// Scores divided by their sum, which is NaN for a black picture only.
    DividesByZero,
}

pub const MANIFEST_TEXT: &str = r#"# Made by the test suite.
task = "classify"
licence = "MIT"
source = "tests/support/tiny.rs"

[graph.classify]
file = "tiny.onnx"
sha256 = "SHA256"

[graph.classify.input]
width = 8
height = 8
layout = "nchw"
colour = "rgb"
resize = { rule = "stretch", width = 8, height = 8 }
divide-by = 255.0
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]

[output]
kind = "scores"
labels = { file = "labels.txt" }
top = 3
"#;

impl Model {
    pub fn new() -> Model {
        Model::of(graph(None))
    }

    pub fn flawed(flaw: Flaw) -> Model {
        Model::of(graph(Some(flaw)))
    }

    fn of(weights: Vec<u8>) -> Model {
        let manifest = MANIFEST_TEXT.replace("SHA256", &photos::digest(&weights));
        Model { manifest, labels: "red\ngreen\nblue\n".to_owned(), weights }
    }

    /// Replaces `old` by `new` in the manifest.
    #[track_caller]
    pub fn replace(mut self, old: &str, new: &str) -> Model {
        assert!(self.manifest.contains(old), "the manifest has no {old}");
        self.manifest = self.manifest.replace(old, new);
        self
    }

    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("the model's folder");
        fs::write(folder.join("model.toml"), &self.manifest).expect("model.toml");
        fs::write(folder.join("labels.txt"), &self.labels).expect("labels.txt");
        fs::write(folder.join("tiny.onnx"), &self.weights).expect("tiny.onnx");
    }
}

/// A models folder with these models.
pub fn folder(models: &[(&str, Model)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, model) in models {
        model.write(&folder.path().join(name));
    }
    folder
}

fn graph(flaw: Option<Flaw>) -> Vec<u8> {
    let channels: usize = if matches!(flaw, Some(Flaw::FourChannels)) { 4 } else { 3 };
    let scores: usize = if matches!(flaw, Some(Flaw::FourScores)) { 4 } else { 3 };
    let pool = if matches!(flaw, Some(Flaw::UnknownOperator)) {
        "NoSuchOperator"
    } else {
        "GlobalAveragePool"
    };
    let divided = matches!(flaw, Some(Flaw::DividesByZero));
    let identity: Vec<f32> =
        (0..channels * scores).map(|i| f32::from(i / scores == i % scores)).collect();

    let mut graph = Message::default()
        .message(1, node(pool, &["data"], "pooled"))
        .message(1, node("Flatten", &["pooled"], "flat"))
        .message(
            1,
            node("MatMul", &["flat", "identity"], if divided { "amounts" } else { "scores" }),
        );
    if divided {
        graph = graph
            .message(1, node("MatMul", &["flat", "ones"], "sums"))
            .message(1, node("Div", &["amounts", "sums"], "scores"))
            .message(5, tensor("ones", &[3, 3], &[1.0; 9]));
    }
    let (channels, scores) = (channels as u64, scores as u64);
    graph = graph
        .bytes(2, "tiny")
        .message(5, tensor("identity", &[channels, scores], &identity))
        .message(11, value("data", &[1, channels, 8, 8]))
        .message(12, value("scores", &[1, scores]));
    model(graph)
}
