//! Embeddings read back from a result's text. Anybody may have written it, so all of it is checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::embedding::{Embedded, Face, LANDMARKS};
use super::geometry::{Point, Rect};

#[derive(Deserialize)]
struct Stored {
    faces: Option<Vec<StoredFace>>,
    embedding: Option<String>,
}

#[derive(Deserialize)]
struct StoredFace {
    score: f32,
    #[serde(rename = "box")]
    place: [f64; 4],
    landmarks: [[f64; 2]; LANDMARKS],
    embedding: String,
}

/// How far from 1 the length of an embedding may be.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// The embeddings in a result's text; none if one is missing or not what a model gives.
pub fn embeddings(result: &str, dimensions: usize) -> Option<Vec<Embedded>> {
    let stored: Stored = serde_json::from_str(result).ok()?;
    if let Some(text) = stored.embedding {
        return Some(vec![Embedded { face: None, values: values(&text, dimensions)? }]);
    }
    stored.faces?.into_iter().map(|face| embedded(face, dimensions)).collect()
}

fn embedded(stored: StoredFace, dimensions: usize) -> Option<Embedded> {
    let StoredFace { score, place: [left, top, width, height], landmarks, embedding } = stored;
    let face = Face {
        score,
        place: Rect { left, top, right: left + width, bottom: top + height },
        landmarks: landmarks.map(|[x, y]| Point { x, y }),
        quality: None,
    };
    Some(Embedded { face: Some(face), values: values(&embedding, dimensions)? })
}

fn values(text: &str, dimensions: usize) -> Option<Vec<f32>> {
    let bytes = BASE64.decode(text).ok()?;
    let (values, []) = bytes.as_chunks::<4>() else { return None };
    let values: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let fits = values.len() == dimensions && (length - 1.0).abs() <= LENGTH_TOLERANCE;
    fits.then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(values: &[f32]) -> String {
        BASE64.encode(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn faces_and_whole_pictures_are_read() {
        let vector = base64(&[0.6, 0.8]);
        let face = format!(
            r#"{{"score":0.9,"box":[1.5,2.0,10.0,20.0],"landmarks":[[1,2],[3,4],[5,6],[7,8],[9,10]],"embedding":"{vector}"}}"#
        );
        let result = format!(r#"{{"task":"faces","faces":[{face}],"width":40,"height":30}}"#);
        let found = embeddings(&result, 2).expect("a face");
        let place = found[0].face.as_ref().expect("a face").place;
        assert_eq!((found.len(), place.right, place.bottom), (1, 11.5, 22.0));
        assert_eq!(found[0].values, [0.6, 0.8]);
        let whole = format!(r#"{{"task":"embed","embedding":"{vector}","dimensions":2}}"#);
        assert!(embeddings(&whole, 2).is_some_and(|found| found[0].face.is_none()));
        assert_eq!(embeddings(r#"{"task":"faces","faces":[]}"#, 2).map(|f| f.len()), Some(0));
    }

    #[test]
    fn what_no_model_gives_is_refused() {
        let whole = |vector: &str| format!(r#"{{"embedding":"{vector}"}}"#);
        for text in [
            whole(&base64(&[0.6, 0.8, 0.0])),
            whole(&base64(&[0.6, 0.9])),
            whole(&base64(&[f32::NAN, 0.8])),
            whole(&base64(&[0.0, 0.0])),
            whole("AAA"),
            whole("%%%"),
            "{}".to_owned(),
            "null".to_owned(),
            "{".to_owned(),
            r#"{"faces":[{"score":0.9,"box":[1,2,3,4],"landmarks":[[1,2],[3,4],[5,6],[7,8],[9,10]]}]}"#.to_owned(),
        ] {
            assert!(embeddings(&text, 2).is_none(), "{text}");
        }
    }
}
