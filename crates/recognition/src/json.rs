//! The numbers and the lists of a result's JSON.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::error::RecognitionError;

/// The text of a result.
pub fn text(result: &impl Serialize) -> Result<String, RecognitionError> {
    serde_json::to_string(result).map_err(|error| RecognitionError::Failed(error.to_string()))
}

/// Scores have four decimals.
pub fn score<S: Serializer>(score: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((f64::from(*score) * 1e4).round() / 1e4)
}

/// Coordinates, in pixels, have two decimals.
pub fn coordinate(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Embeddings are the base64 text of their f32 values, little endian.
pub fn embedding<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    serializer.serialize_str(&BASE64.encode(bytes))
}

/// A result whose lists are cut to their first `count` items: the items' text stays as it is
/// stored. What is not a JSON object comes back unchanged.
pub fn trim_lists(result: &str, count: usize) -> String {
    let Ok(Entries(entries)) = serde_json::from_str(result) else {
        return result.to_owned();
    };
    let mut trimmed = String::with_capacity(result.len());
    for (key, value) in entries {
        trimmed.push(if trimmed.is_empty() { '{' } else { ',' });
        trimmed.push_str(key.get());
        trimmed.push(':');
        match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(items) => {
                let kept: Vec<&str> = items.iter().take(count).map(|item| item.get()).collect();
                trimmed.push('[');
                trimmed.push_str(&kept.join(","));
                trimmed.push(']');
            }
            Err(_) => trimmed.push_str(value.get()),
        }
    }
    trimmed.push('}');
    trimmed
}

/// The entries of an object in their order, each as its text.
struct Entries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_the_rest_stays_as_it_is() {
        let result = r#"{"task":"classify","labels":[{"label":"a \"b\"","score":0.9},{"label":"c","score":0.05}],"width":4,"height":3}"#;
        let one = r#"{"task":"classify","labels":[{"label":"a \"b\"","score":0.9}],"width":4,"height":3}"#;
        assert_eq!(trim_lists(result, 1), one);
        assert_eq!(trim_lists(result, 2), result);
        assert_eq!(trim_lists(result, 100), result);
    }

    #[test]
    fn what_is_not_a_result_is_left_alone() {
        for text in ["", "null", "[1,2]", "{\"a\":"] {
            assert_eq!(trim_lists(text, 1), text);
        }
    }

    #[test]
    fn scores_have_four_decimals() {
        #[derive(serde::Serialize)]
        struct One(#[serde(serialize_with = "score")] f32);
        let text = |value: f32| serde_json::to_string(&One(value)).expect("a number");
        assert_eq!(text(0.931_249), "0.9312");
        assert_eq!(text(1.0), "1.0");
        assert_eq!(text(0.000_04), "0.0");
    }
}
