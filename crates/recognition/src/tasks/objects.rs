//! `objects`: what is where in the picture, of a fixed list of labels.

use serde::{Deserialize, Serialize};

use super::task::{Body, Outcome, Task, TaskKind};
use crate::decode::{Detail, Photo};
use crate::engine::Output;
use crate::error::{LoadError, RecognitionError};
use crate::geometry::{Point, Rect, non_maximum_suppression};
use crate::json;
use crate::manifest::{Graph, Input, LabelList, check_shares};
use crate::network::{Loading, Network};
use crate::prepare::{Scratch, detail};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsManifest {
    graph: ObjectsGraphs,
    output: ObjectsRules,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ObjectsGraphs {
    objects: Graph,
}

#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ObjectsRules {
    head: Head,
    #[serde(skip_serializing)]
    labels: LabelList,
    /// The least score of an object, 0 to 1.
    score_threshold: f64,
    /// Of two boxes of a label with a larger IoU the worse goes.
    iou_threshold: f64,
    /// The most objects of a picture; the best are kept.
    #[serde(default = "default_max_objects")]
    max_objects: usize,
}

fn default_max_objects() -> usize {
    300
}

/// What the numbers of the graph's output mean. One candidate is a row or a column of it: the centre
/// and the size of its box, maybe its objectness, and a score for each label.
#[derive(Deserialize, Serialize, Clone)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
enum Head {
    /// YOLOX: a candidate for each cell of some grids, its centre in cells from its own, the logarithm
    /// of its size in cells, an objectness. (Megvii, YOLOX, `demo_postprocess`.)
    Yolox {
        /// Pixels of a cell of each grid, in the output's order.
        strides: Vec<u32>,
    },
    /// The usual export of other YOLO networks: centre and size in pixels of the input.
    Yolo {
        /// Whether an objectness stands before the scores, which they are to be multiplied with.
        objectness: bool,
    },
}

pub struct Objects {
    network: Network,
    rules: ObjectsRules,
    labels: Vec<String>,
}

impl Body for ObjectsManifest {
    fn graphs(&self) -> Vec<&Graph> {
        vec![&self.graph.objects]
    }

    fn labels(&self) -> Option<&str> {
        Some(&self.output.labels.file)
    }

    fn check(&self, _labels: &[String]) -> Result<(), LoadError> {
        let output = &self.output;
        check_shares(&[
            ("score-threshold", output.score_threshold),
            ("iou-threshold", output.iou_threshold),
        ])?;
        let Head::Yolox { strides } = &output.head else { return Ok(()) };
        let Input { width, height, .. } = self.graph.objects.input;
        let fits = |stride: &u32| *stride > 0 && width % stride == 0 && height % stride == 0;
        if strides.is_empty() || !strides.iter().all(fits) {
            return Err(LoadError(format!(
                "model.toml: strides must divide the input of {width}x{height}"
            )));
        }
        Ok(())
    }
}

impl TaskKind for Objects {
    const NAME: &'static str = "objects";
    const REVISION: u32 = 1;
    type Manifest = ObjectsManifest;

    fn load(
        manifest: &ObjectsManifest,
        labels: &[String],
        loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError> {
        Ok(Box::new(Objects {
            network: loading.network(&manifest.graph.objects)?,
            rules: manifest.output.clone(),
            labels: labels.to_vec(),
        }))
    }
}

#[derive(Serialize)]
struct ObjectsResult<'a> {
    task: &'static str,
    objects: Vec<Object<'a>>,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Object<'a> {
    label: &'a str,
    id: usize,
    #[serde(serialize_with = "json::score")]
    score: f32,
    #[serde(rename = "box")]
    place: Rect,
}

/// A box that may show an object of a label, in pixels of the input.
struct Candidate {
    label: usize,
    score: f64,
    place: Rect,
}

impl Task for Objects {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError> {
        let (outputs, placement) = self.network.run_placed(photo, scratch)?;
        let candidates = self.candidates(outputs)?;
        let mut found = self.best_of_each_label(candidates);
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(self.rules.max_objects);
        let objects = found.iter().map(|candidate| Object {
            label: &self.labels[candidate.label],
            id: candidate.label,
            score: candidate.score as f32,
            place: placement
                .rect_in_photo(candidate.place)
                .clipped(photo.full_width, photo.full_height),
        });
        Outcome::of(&ObjectsResult {
            task: Objects::NAME,
            objects: objects.collect(),
            width: photo.full_width,
            height: photo.full_height,
        })
    }

    fn detail(&self) -> Detail {
        detail(&self.network.input)
    }
}

impl Objects {
    /// Every label of every box whose score is high enough.
    fn candidates(&self, outputs: Vec<Output>) -> Result<Vec<Candidate>, RecognitionError> {
        let (has_objectness, cells) = match &self.rules.head {
            Head::Yolox { strides } => (true, Some(cells(&self.network.input, strides))),
            Head::Yolo { objectness } => (*objectness, None),
        };
        let scores_start = if has_objectness { 5 } else { 4 };
        let table = Table::new(outputs, scores_start + self.labels.len())?;
        if cells.as_ref().is_some_and(|cells| cells.len() != table.rows) {
            let rows = table.rows;
            return Err(RecognitionError::Failed(format!(
                "the graph gives {rows} boxes, which does not fit the strides"
            )));
        }
        let mut candidates = Vec::new();
        for row in 0..table.rows {
            let objectness = if has_objectness { table.at(row, 4) } else { 1.0 };
            if objectness < self.rules.score_threshold {
                continue;
            }
            for label in 0..self.labels.len() {
                let score = objectness * table.at(row, scores_start + label);
                if score >= self.rules.score_threshold {
                    let place = place(&table, row, cells.as_deref());
                    candidates.push(Candidate { label, score: score.min(1.0), place });
                }
            }
        }
        Ok(candidates)
    }

    /// Non-maximum suppression, among the candidates of each label.
    fn best_of_each_label(&self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let mut by_label: Vec<Vec<Candidate>> = self.labels.iter().map(|_| Vec::new()).collect();
        for candidate in candidates {
            by_label[candidate.label].push(candidate);
        }
        let mut found = Vec::new();
        for candidates in by_label {
            let place = |candidate: &Candidate| (candidate.place, candidate.score);
            found.extend(non_maximum_suppression(candidates, place, self.rules.iou_threshold));
        }
        found
    }
}

fn place(table: &Table, row: usize, cells: Option<&[Cell]>) -> Rect {
    let [x, y, width, height] = [0, 1, 2, 3].map(|column| table.at(row, column));
    match cells.map(|cells| cells[row]) {
        Some(Cell { column, row, stride }) => Rect::around(
            Point { x: (x + column) * stride, y: (y + row) * stride },
            width.exp() * stride,
            height.exp() * stride,
        ),
        None => Rect::around(Point { x, y }, width, height),
    }
}

/// A cell of a YOLOX grid.
#[derive(Clone, Copy)]
struct Cell {
    column: f64,
    row: f64,
    /// Pixels.
    stride: f64,
}

fn cells(input: &Input, strides: &[u32]) -> Vec<Cell> {
    let of_grid = |stride: u32| {
        let (columns, rows) = (input.width / stride, input.height / stride);
        let stride = f64::from(stride);
        (0..rows).flat_map(move |row| {
            (0..columns).map(move |column| Cell { column: column.into(), row: row.into(), stride })
        })
    };
    strides.iter().flat_map(|stride| of_grid(*stride)).collect()
}

/// The first output as a table with a row for each candidate, whichever way it lies in memory.
struct Table {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl Table {
    fn new(outputs: Vec<Output>, columns: usize) -> Result<Table, RecognitionError> {
        let output = outputs.into_iter().next();
        let Output { shape, values } = output.unwrap_or(Output { shape: vec![], values: vec![] });
        let (rows, transposed) = match shape[..] {
            [1, rows, last] if last == columns => (rows, false),
            [1, first, rows] if first == columns => (rows, true),
            _ => {
                return Err(RecognitionError::Failed(format!(
                    "the graph's output has the shape {shape:?}, no side of it is {columns}, \
                     the numbers of a box and its labels"
                )));
            }
        };
        Ok(Table { values, rows, columns, transposed })
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        let index =
            if self.transposed { column * self.rows + row } else { row * self.columns + column };
        self.values[index].into()
    }
}
