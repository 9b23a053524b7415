//! Real results over their photos, from the shared folder.

#[macro_use]
extern crate attribute;

use std::process::ExitCode;

use annotate::{annotate, read_photo};
use harness::shared_folder;
use serde_json::{Map, Value};

fn main() -> ExitCode {
    harness::main()
}

#[test]
fn every_result_is_drawn_over_its_photo() {
    let shared = shared_folder();
    let expected = std::fs::read_to_string(shared.join("reference/expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let photos: &Map<String, Value> = expected["photos"].as_object().unwrap();
    for (name, results) in photos {
        let photo = read_photo(&shared.join("photos").join(name)).unwrap();
        for (task, result) in results.as_object().unwrap() {
            if result["task"].is_string() {
                let picture = annotate(&photo, &result.to_string());
                let picture = picture.unwrap_or_else(|error| panic!("{name} {task}: {error}"));
                assert_eq!(picture.dimensions(), photo.dimensions(), "{name} {task}");
                assert!(picture != photo, "{name} {task}: nothing was drawn");
            }
        }
    }
}

#[test]
fn photos_of_every_orientation_are_read_upright() {
    let shared = shared_folder();
    let folder = shared.join("reference/bad");
    let upright = read_photo(&folder.join("exif_orientation_1.jpg")).unwrap();
    let others = (2..=8).map(|number| format!("exif_orientation_{number}.jpg"));
    for name in others
        .chain(["exif_orientation_6_big_endian.jpg", "exif_orientation_6.webp"].map(String::from))
    {
        let photo = read_photo(&folder.join(&name)).unwrap();
        assert_eq!(photo.dimensions(), upright.dimensions(), "{name}");
        let differences = photo.as_raw().iter().zip(upright.as_raw());
        let sum: f64 = differences.map(|(one, other)| f64::from(one.abs_diff(*other))).sum();
        let mean = sum / upright.as_raw().len() as f64;
        assert!(mean < 8.0, "{name}: {mean}");
    }
}
