//! The models that come with the module, on real photos, against the reference implementation.

use crate::models::{models, text};
use crate::support::compare::{as_the_reference, compare, cosine};
use crate::support::*;
use serde_json::Value as Json;

/// Each model: its name, the reference's name of what it does, and its threshold.
pub const MODELS: [(&str, &str, f64); 7] = [
    ("mobilenetv2", "classify", 0.0),
    ("open-nsfw", "nsfw", 0.0),
    ("objects", "objects", 0.3),
    ("faces", "faces", 0.7),
    ("embed", "embed", 0.0),
    ("text", "text", 0.5),
    ("plates", "plates", 0.5),
];

/// The same of what runs on no engine.
const BARCODES: (&str, &str, f64) = ("barcodes", "barcodes", 0.0);

/// The reference does these with its plain rules, the models with thorough ones: unit tests compare the plain rules.
const THOROUGH: [&str; 3] = ["text", "plates", "barcodes"];

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

/// A change that gives other results must raise the task's revision (or change the manifest), and with it the version;
/// then the versions here, and where need be the results, are to be recorded anew.
#[test]
fn results_of_a_version_stay_what_they_are() {
    let golden = json(include_str!("golden.json"));
    let server = Server::with().real_models().start();
    let mut client = server.client();
    let listed = models(&server);
    for (model, version) in golden["versions"].as_object().expect("versions") {
        assert_eq!(
            text(&listed[model], "version"),
            *version,
            "{model} has another version than its golden results"
        );
    }
    let mut wrong = Vec::new();
    for (photo, expected) in golden["photos"].as_object().expect("photos") {
        let payload = photos::photo(photo);
        for (model, reference, threshold) in MODELS.into_iter().chain([BARCODES]) {
            let Some(expected) = expected.get(reference) else { continue };
            let result = json(&recognize(photo, &payload).arg(&["MODEL", model]).text(&mut client));
            if let Err(difference) = compare(&result, expected, as_the_reference(threshold)) {
                wrong.push(format!("{photo}, {model}: {difference}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn results_are_those_of_the_reference_on_every_shared_photo() {
    let shared = needs::shared();
    let expected = json(
        &std::fs::read_to_string(shared.join("reference/expected.json")).expect("expected.json"),
    );
    let server = Server::with().real_models().start();
    let mut client = server.client();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (photo, results) in expected["photos"].as_object().expect("photos") {
        let payload = std::fs::read(shared.join("photos").join(photo)).expect("the photo");
        for (model, reference, threshold) in MODELS {
            let fragile = results["fragile"].as_array().expect("a list");
            let is_compared = results.get(reference).is_some() && !THOROUGH.contains(&model);
            if !is_compared || fragile.contains(&reference.into()) {
                continue;
            }
            let result = json(&recognize(photo, &payload).arg(&["MODEL", model]).text(&mut client));
            compared += 1;
            let difference = compare(&result, &results[reference], as_the_reference(threshold));
            if let Err(difference) = difference {
                wrong.push(format!("{photo}, {model}: {difference}"));
            }
        }
    }
    assert!(wrong.is_empty() && compared > 140, "{compared} compared, wrong: {wrong:#?}");
}

#[test]
fn embeddings_tell_people_apart() {
    let server = Server::with().real_models().start();
    let mut client = server.client();
    let mut embedding = |photo: &str| {
        let payload = photos::photo(photo);
        let result = recognize(photo, &payload).arg(&["MODEL", "faces"]).text(&mut client);
        json(&result)["faces"][0]["embedding"].clone()
    };
    let [obama, again, third, biden, collins] =
        ["obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg", "astronaut.png"].map(&mut embedding);
    for (a, b) in [(&obama, &again), (&obama, &third), (&again, &third)] {
        assert!(cosine(a, b) >= 0.55, "the same person: {}", cosine(a, b));
    }
    for (a, b) in [(&obama, &biden), (&again, &biden), (&obama, &collins), (&biden, &collins)] {
        assert!(cosine(a, b) <= 0.35, "two people: {}", cosine(a, b));
    }
}
