//! The two models that come with the module, on real photos, against the reference implementation.

use crate::models::{models, text};
use crate::support::*;
use serde_json::Value as Json;

/// What another JPEG decoder and another resize may change.
const TOLERANCE: f64 = 0.03;

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

/// Does `result` have the labels of `expected`, with their scores? `Err` says where not.
fn compare(result: &Json, expected: &Json) -> Result<(), String> {
    for side in ["width", "height"] {
        if result[side] != expected[side] {
            return Err(format!("{side} {} instead of {}", result[side], expected[side]));
        }
    }
    let (given, wanted) = (list(&result["labels"]), list(&expected["labels"]));
    if given.len() != wanted.len() {
        return Err(format!("{} labels instead of {}", given.len(), wanted.len()));
    }
    if given[0].0 != wanted[0].0 {
        return Err(format!("{} comes first instead of {}", given[0].0, wanted[0].0));
    }
    for (label, score) in &wanted {
        // A label that is not among the five has at most the score of the fifth.
        let other =
            given.iter().find(|(name, _)| name == label).or(given.last()).expect("labels").1;
        if (other - score).abs() > TOLERANCE {
            return Err(format!("{label} scores {other} instead of {score}"));
        }
    }
    Ok(())
}

fn list(labels: &Json) -> Vec<(String, f64)> {
    let labels = labels.as_array().expect("a list");
    labels
        .iter()
        .map(|l| {
            (l["label"].as_str().expect("text").to_owned(), l["score"].as_f64().expect("a number"))
        })
        .collect()
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
        for model in expected.as_object().expect("models").keys() {
            let result = json(&recognize(photo, &payload).arg(&["MODEL", model]).text(&mut client));
            if let Err(difference) = compare(&result, &expected[model]) {
                wrong.push(format!("{photo}, {model}: {difference}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn results_are_those_of_the_reference_on_every_shared_photo() {
    let Some(shared) = shared() else { return };
    let expected = json(
        &std::fs::read_to_string(shared.join("reference/expected.json")).expect("expected.json"),
    );
    let server = Server::with().real_models().start();
    let mut client = server.client();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (photo, results) in expected["photos"].as_object().expect("photos") {
        let payload = std::fs::read(shared.join("photos").join(photo)).expect("the photo");
        for (task, model) in [("classify", "mobilenetv2"), ("nsfw", "open-nsfw")] {
            let result = json(&recognize(photo, &payload).arg(&["MODEL", model]).text(&mut client));
            if results["fragile"].as_array().is_some_and(|fragile| fragile.contains(&task.into())) {
                continue;
            }
            compared += 1;
            if let Err(difference) = compare(&result, &results[task]) {
                wrong.push(format!("{photo}, {model}: {difference}"));
            }
        }
    }
    assert!(wrong.is_empty() && compared > 50, "{compared} compared, wrong: {wrong:#?}");
}
