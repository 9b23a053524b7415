//! Compares a result with the expected one, with tolerances for another decoder, resize or engine.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

/// How much two results may differ.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub score: f64,
    /// The smallest IoU of two boxes.
    pub iou: f64,
    /// The largest distance of landmarks and corners, as a fraction of the box's width.
    pub points: f64,
    /// The smallest cosine of two embeddings.
    pub cosine: f64,
    /// Items with a lower score may be missing: they are too close to the model's threshold.
    pub sure: f64,
}

/// For another JPEG decoder and another resize. `threshold` is the model's.
pub fn as_the_reference(threshold: f64) -> Tolerance {
    Tolerance { score: 0.03, iou: 0.9, points: 0.05, cosine: 0.99, sure: threshold + 0.03 }
}

/// For another engine.
pub fn as_the_other_engine(threshold: f64) -> Tolerance {
    Tolerance { score: 0.01, iou: 0.98, points: 0.01, cosine: 0.999, sure: threshold + 0.01 }
}

/// `Err` describes a difference.
pub fn compare(given: &Json, wanted: &Json, tolerance: Tolerance) -> Result<(), String> {
    for field in ["task", "width", "height", "dimensions"] {
        if given[field] != wanted[field] {
            return Err(format!("{field} {} instead of {}", given[field], wanted[field]));
        }
    }
    let list = match wanted["task"].as_str() {
        Some("classify") => return labels(given, wanted, tolerance),
        Some("embed") => return embedding(given, wanted, tolerance),
        Some("text") => "lines",
        Some(task) => task,
        None => return Err("no task".to_owned()),
    };
    items(&given[list], &wanted[list], tolerance)
}

fn labels(given: &Json, wanted: &Json, tolerance: Tolerance) -> Result<(), String> {
    let list = |result: &Json| -> Vec<(String, f64)> {
        let labels = result["labels"].as_array().expect("labels");
        labels.iter().map(|label| (label["label"].to_string(), number(&label["score"]))).collect()
    };
    let (given, wanted) = (list(given), list(wanted));
    if given.len() != wanted.len() {
        return Err(format!("{} labels instead of {}", given.len(), wanted.len()));
    }
    if given[0].0 != wanted[0].0 {
        return Err(format!("{} comes first instead of {}", given[0].0, wanted[0].0));
    }
    for (label, score) in &wanted {
        // A label that is not listed has at most the score of the last one.
        let other = given.iter().find(|(name, _)| name == label).or(given.last());
        let other = other.expect("labels").1;
        if (other - score).abs() > tolerance.score {
            return Err(format!("{label} scores {other} instead of {score}"));
        }
    }
    Ok(())
}

fn embedding(given: &Json, wanted: &Json, tolerance: Tolerance) -> Result<(), String> {
    let cosine = cosine(&given["embedding"], &wanted["embedding"]);
    if cosine < tolerance.cosine { Err(format!("the cosine is {cosine}")) } else { Ok(()) }
}

/// Every item must have a counterpart, except those with a low score.
fn items(given: &Json, wanted: &Json, tolerance: Tolerance) -> Result<(), String> {
    let (given, wanted) = (array(given), array(wanted));
    let mut left: Vec<&Json> = given.iter().collect();
    for item in wanted {
        let found = left.iter().position(|other| same(other, item, tolerance).is_ok());
        match found {
            Some(position) => {
                left.remove(position);
            }
            None if number(&item["score"]) < tolerance.sure => (),
            None => {
                let nearest = left.iter().map(|other| same(other, item, tolerance));
                let reasons: Vec<String> = nearest.filter_map(Result::err).collect();
                return Err(format!("missing {}: {reasons:?}", brief(item)));
            }
        }
    }
    match left.iter().find(|item| number(&item["score"]) >= tolerance.sure) {
        Some(extra) => Err(format!("{} is too much", brief(extra))),
        None => Ok(()),
    }
}

fn same(given: &Json, wanted: &Json, tolerance: Tolerance) -> Result<(), String> {
    for field in ["label", "text", "format"] {
        let is_wanted = wanted.get(field).is_some();
        if is_wanted && given[field] != wanted[field] {
            return Err(format!("{} instead of {}", given[field], wanted[field]));
        }
    }
    let score = (number(&given["score"]) - number(&wanted["score"])).abs();
    if score > tolerance.score {
        return Err(format!("the score differs by {score}"));
    }
    let Some(frame) = frame(wanted) else { return Ok(()) };
    let iou = frame_of(given).iou(&frame);
    if iou < tolerance.iou {
        return Err(format!("the IoU is {iou}"));
    }
    for field in ["landmarks", "corners"] {
        for (a, b) in array(&given[field]).iter().zip(array(&wanted[field])) {
            let away = (number(&a[0]) - number(&b[0])).hypot(number(&a[1]) - number(&b[1]));
            if away > tolerance.points * frame.width {
                return Err(format!("{field} are {away} pixels away"));
            }
        }
    }
    let has_embedding = wanted.get("embedding").is_some();
    if has_embedding {
        embedding(given, wanted, tolerance)?;
    }
    Ok(())
}

/// The box of an item, not rotated.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn iou(&self, other: &Frame) -> f64 {
        let common = |a: f64, a_side: f64, b: f64, b_side: f64| {
            ((a + a_side).min(b + b_side) - a.max(b)).max(0.0)
        };
        let both = common(self.left, self.width, other.left, other.width)
            * common(self.top, self.height, other.top, other.height);
        both / (self.width * self.height + other.width * other.height - both)
    }
}

fn frame_of(item: &Json) -> Frame {
    frame(item).unwrap_or(Frame { left: 0.0, top: 0.0, width: 0.0, height: 0.0 })
}

/// The item's box, or the box around its quad.
fn frame(item: &Json) -> Option<Frame> {
    if let Some(sides) = item["box"].as_array() {
        let [left, top, width, height] = [0, 1, 2, 3].map(|index| number(&sides[index]));
        return Some(Frame { left, top, width, height });
    }
    let quad = item["quad"].as_array()?;
    let range = |axis: usize| {
        let values = quad.iter().map(|point| number(&point[axis]));
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    let ((left, right), (top, bottom)) = (range(0), range(1));
    Some(Frame { left, top, width: right - left, height: bottom - top })
}

pub fn cosine(a: &Json, b: &Json) -> f64 {
    let (a, b) = (vector(a), vector(b));
    assert_eq!(a.len(), b.len(), "embeddings of different lengths");
    a.iter().zip(&b).map(|(x, y)| x * y).sum()
}

/// The values of an embedding, which must have unit length.
pub fn vector(text: &Json) -> Vec<f64> {
    let bytes = BASE64.decode(text.as_str().expect("an embedding")).expect("base64");
    let values: Vec<f64> =
        bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value).into()).collect();
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() < 1e-4, "the embedding has the length {length}");
    values
}

fn array(list: &Json) -> &[Json] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Json) -> f64 {
    value.as_f64().unwrap_or(1.0)
}

fn brief(item: &Json) -> String {
    item.to_string().chars().take(160).collect()
}
