//! Both settings on the shared photos.

use std::path::PathBuf;

use harness::{need, shared_folder};
use serde_json::Value;

use super::*;
use crate::decode::{DecodeLimits, decode};
use crate::engine::{EngineChoice, Engines};
use crate::folder::Folder;
use crate::manifest::Manifest;

fn json(file: &str) -> Value {
    let text = std::fs::read_to_string(shared_folder().join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The task with a setting. Skips the test without the weights.
pub fn task(setting: &str) -> Box<dyn Task> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("models/plates");
    let text = std::fs::read_to_string(path.join("model.toml")).unwrap();
    let text = text.replace("setting = \"thorough\"", &format!("setting = \"{setting}\""));
    let manifest: PlatesManifest = Manifest::parse(&text).unwrap().body().unwrap();
    for graph in manifest.graphs() {
        let file = path.join(&graph.file);
        need(file.exists().then_some(()), &format!("models/plates/{}", graph.file));
    }
    let folder = Folder::open(&path).unwrap();
    let labels = folder.labels(manifest.labels().unwrap()).unwrap();
    manifest.check(&labels).unwrap();
    let engines = Engines::find(EngineChoice::Auto, &[root.join("onnxruntime")]);
    let task = Plates::load(&manifest, &labels, &mut Loading::new(&folder, &engines)).unwrap();
    task.try_out(&mut Scratch::default()).unwrap();
    task
}

pub fn result_of(task: &dyn Task, file: &std::path::Path) -> Value {
    let payload = std::fs::read(file).unwrap();
    let photo = decode(&payload, &DecodeLimits::default(), task.detail()).unwrap();
    let result = task.recognize(&photo, &mut Scratch::default()).unwrap().json;
    serde_json::from_str(&result).unwrap()
}

fn plates_of(task: &dyn Task, photo: &str) -> Vec<Value> {
    let result = result_of(task, &shared_folder().join("photos").join(photo));
    result["plates"].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

fn rect(value: &Value) -> Rect {
    let [left, top, width, height] = numbers(value)[..] else { panic!("{value}") };
    Rect { left, top, right: left + width, bottom: top + height }
}

#[test]
fn quick_gives_what_the_reference_gives() {
    let (expected, task) = (json("reference/expected.json"), task("quick"));
    let mut compared = 0;
    for (photo, row) in expected["photos"].as_object().unwrap() {
        let Some(wanted) = row["plates"]["plates"].as_array() else { continue };
        let found = plates_of(&*task, photo);
        assert_eq!(found.len(), wanted.len(), "{photo}: {found:?}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!(found["text"], wanted["text"], "{photo}");
            for key in ["score", "detection"] {
                let difference = found[key].as_f64().unwrap() - wanted[key].as_f64().unwrap();
                assert!(difference.abs() < 0.03, "{photo}: {key}: {found} {wanted}");
            }
            assert!(rect(&found["box"]).iou(&rect(&wanted["box"])) >= 0.9, "{photo}: {found}");
            let most = 0.05 * rect(&wanted["box"]).width();
            let corners = numbers(&found["corners"]).into_iter().zip(numbers(&wanted["corners"]));
            for (found, wanted) in corners {
                assert!((found - wanted).abs() <= most, "{photo}: {found} is not {wanted}");
            }
        }
        compared += 1;
    }
    assert!(compared > 5, "{compared}");
}

#[test]
fn thorough_names_formats_and_leaves_separators_out() {
    let task = task("thorough");
    for (photo, text, format) in [
        ("plates/cn_hyperlpr_2.jpg", "藏DT5022", "cn-blue"),
        ("plates/cn_hyperlpr_test_img.jpg", "苏ED51712", "cn-green"),
        ("plates/fast_alpr_test_image.png", "5AU5341", "cz"),
    ] {
        let found = plates_of(&*task, photo);
        let read: Vec<_> = found.iter().map(|plate| (&plate["text"], &plate["format"])).collect();
        assert_eq!(read, [(&Value::from(text), &Value::from(format))], "{photo}");
    }
}

#[test]
fn thorough_reads_plates_of_many_countries() {
    let (truth, task) = (json("photos/truth.json"), task("thorough"));
    let mut table = Vec::new();
    for (country, least) in [("us", 0.72), ("eu", 0.62), ("br", 0.88)] {
        let start = format!("plates/labelled/{country}_");
        let photos: Vec<_> = truth
            .as_object()
            .unwrap()
            .iter()
            .filter(|(photo, _)| photo.starts_with(&start))
            .collect();
        let mut right = 0;
        for (photo, row) in &photos {
            let found = plates_of(&*task, photo);
            let texts: Vec<&Value> = found.iter().map(|plate| &plate["text"]).collect();
            if texts.contains(&&row["text"]) {
                right += 1;
            } else {
                println!("{photo}: {} is read {texts:?}", row["text"]);
            }
        }
        println!("{country}: {right} of {}", photos.len());
        table.push((country, right as f64 / photos.len() as f64, least));
    }
    assert!(table.iter().all(|(_, right, least)| right >= least), "{table:?}");
}

#[test]
fn thorough_sees_no_plates_where_there_are_none() {
    let task = task("thorough");
    let (mut photos, mut found) = (0, Vec::new());
    for folder in ["faces", "objects", "text", "barcodes", "barcodes/formats"] {
        let files = std::fs::read_dir(shared_folder().join("photos").join(folder)).unwrap();
        for file in files.map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
            let result = result_of(&*task, &file);
            photos += 1;
            found.extend(
                result["plates"].as_array().unwrap().iter().map(|one| (file.clone(), one.clone())),
            );
        }
    }
    println!("{photos} photos without plates: {found:?}");
    assert!(found.len() * 20 <= photos, "{found:?}");
}
