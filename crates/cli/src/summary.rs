//! A result in a few words, for people.

use crate::error::printable;
use serde_json::Value as Json;
use std::collections::BTreeMap;

const MOST_CHARACTERS: usize = 100;

/// What the result's JSON says, on one line.
pub fn of(result: &str) -> String {
    let Ok(result) = serde_json::from_str::<Json>(result) else {
        return "a result that is no JSON".to_owned();
    };
    let text = match result["task"].as_str() {
        Some("classify") => listed(&result["labels"], |label| {
            format!("{} {}", word(&label["label"]), score(&label["score"]))
        }),
        Some("objects") => counted(&result["objects"]),
        Some("faces") => number(&result["faces"], "face"),
        Some("text") => listed(&result["lines"], |line| word(&line["text"])),
        Some("plates") => listed(&result["plates"], |plate| word(&plate["text"])),
        Some("barcodes") => listed(&result["barcodes"], |code| {
            format!("{} {}", word(&code["format"]), word(&code["text"]))
        }),
        Some("embed") => format!("{} dimensions", result["dimensions"]),
        _ => result.to_string(),
    };
    shortened(&printable(&text))
}

/// Who was identified: `alice 0.71, stranger 0.12`.
pub fn people(answer: &Json) -> String {
    let person = |face: &Json| {
        let name = face["subject"].as_str().unwrap_or("stranger");
        format!("{name} {}", score(&face["similarity"]))
    };
    let faces = answer["faces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = match faces {
        [] => "nobody".to_owned(),
        faces => faces.iter().map(person).collect::<Vec<String>>().join(", "),
    };
    shortened(&printable(&text))
}

fn listed(items: &Json, of: impl Fn(&Json) -> String) -> String {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    match items {
        [] => "nothing".to_owned(),
        items => items.iter().map(of).collect::<Vec<String>>().join(", "),
    }
}

/// `2 person, 1 car`, in the order of their best scores.
fn counted(objects: &Json) -> String {
    let objects = objects.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for object in objects {
        let label = word(&object["label"]);
        if !counts.contains_key(&label) {
            order.push(label.clone());
        }
        *counts.entry(label).or_default() += 1;
    }
    if order.is_empty() {
        return "nothing".to_owned();
    }
    order.iter().map(|label| format!("{} {label}", counts[label])).collect::<Vec<_>>().join(", ")
}

fn number(items: &Json, of: &str) -> String {
    match items.as_array().map_or(0, Vec::len) {
        1 => format!("1 {of}"),
        count => format!("{count} {of}s"),
    }
}

fn word(value: &Json) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

fn score(value: &Json) -> String {
    format!("{:.2}", value.as_f64().unwrap_or_default())
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MOST_CHARACTERS {
        return text.to_owned();
    }
    let start: String = text.chars().take(MOST_CHARACTERS - 1).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_is_told_in_its_own_way() {
        for (result, told) in [
            (r#"{"task":"classify","labels":[{"label":"red","id":0,"score":0.987}]}"#, "red 0.99"),
            (
                r#"{"task":"objects","objects":[{"label":"cat"},{"label":"person"},{"label":"cat"}]}"#,
                "2 cat, 1 person",
            ),
            (r#"{"task":"objects","objects":[]}"#, "nothing"),
            (r#"{"task":"faces","faces":[{}]}"#, "1 face"),
            (r#"{"task":"text","lines":[{"text":"a"},{"text":"b\u001b[2J"}]}"#, "a, b\u{fffd}[2J"),
            (r#"{"task":"barcodes","barcodes":[{"format":"EAN-13","text":"97"}]}"#, "EAN-13 97"),
            (r#"{"task":"embed","embedding":"AA","dimensions":1280}"#, "1280 dimensions"),
        ] {
            assert_eq!(of(result), told);
        }
        let long = format!(r#"{{"task":"text","lines":[{{"text":"{}"}}]}}"#, "x".repeat(500));
        assert_eq!(of(&long).chars().count(), MOST_CHARACTERS);
    }
}
