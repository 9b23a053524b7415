//! The JSON of a result. What is not drawn (embeddings, single characters) is passed over.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::limits::MAX_RESULT;

/// A result: of how large a photo, and what was found there.
pub(crate) struct Finding {
    pub(crate) size: (u32, u32),
    pub(crate) found: Found,
}

pub(crate) enum Found {
    Labels(Vec<Label>),
    Objects(Vec<Object>),
    Faces(Vec<Face>),
    Lines(Vec<Line>),
    Plates(Vec<Plate>),
    Barcodes(Vec<Barcode>),
    Embedding { dimensions: u64 },
}

/// `[x, y]` in pixels of the upright photo.
pub(crate) type RawPoint = [f64; 2];
/// `[x, y, width, height]`.
pub(crate) type RawBox = [f64; 4];

#[derive(Deserialize)]
pub(crate) struct Label {
    pub(crate) label: String,
    pub(crate) score: f64,
}

#[derive(Deserialize)]
pub(crate) struct Object {
    pub(crate) label: String,
    pub(crate) id: u64,
    pub(crate) score: f64,
    #[serde(rename = "box")]
    pub(crate) frame: RawBox,
}

#[derive(Deserialize)]
pub(crate) struct Face {
    pub(crate) score: f64,
    #[serde(rename = "box")]
    pub(crate) frame: RawBox,
    pub(crate) landmarks: Vec<RawPoint>,
}

#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) score: f64,
    pub(crate) quad: Vec<RawPoint>,
}

#[derive(Deserialize)]
pub(crate) struct Plate {
    pub(crate) text: String,
    pub(crate) score: f64,
    #[serde(rename = "box")]
    pub(crate) frame: RawBox,
    pub(crate) corners: Vec<RawPoint>,
    pub(crate) format: Option<String>,
    pub(crate) corrected: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Barcode {
    pub(crate) format: String,
    pub(crate) text: String,
    pub(crate) corners: Vec<RawPoint>,
    pub(crate) isbn: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    task: String,
    width: u32,
    height: u32,
}

pub(crate) fn parse(text: &str) -> Result<Finding, Error> {
    if text.len() > MAX_RESULT {
        return Err(Error::ResultTooLong);
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::NoResult);
    }
    if is_reply(text) {
        return Err(Error::Reply(text.to_owned()));
    }
    let Head { task, width, height } = read(text)?;
    let found = match task.as_str() {
        "classify" => {
            #[derive(Deserialize)]
            struct Classify {
                labels: Vec<Label>,
            }
            Found::Labels(read::<Classify>(text)?.labels)
        }
        "objects" => {
            #[derive(Deserialize)]
            struct Objects {
                objects: Vec<Object>,
            }
            Found::Objects(read::<Objects>(text)?.objects)
        }
        "faces" => {
            #[derive(Deserialize)]
            struct Faces {
                faces: Vec<Face>,
            }
            Found::Faces(read::<Faces>(text)?.faces)
        }
        "text" => {
            #[derive(Deserialize)]
            struct Text {
                lines: Vec<Line>,
            }
            Found::Lines(read::<Text>(text)?.lines)
        }
        "plates" => {
            #[derive(Deserialize)]
            struct Plates {
                plates: Vec<Plate>,
            }
            Found::Plates(read::<Plates>(text)?.plates)
        }
        "barcodes" => {
            #[derive(Deserialize)]
            struct Barcodes {
                barcodes: Vec<Barcode>,
            }
            Found::Barcodes(read::<Barcodes>(text)?.barcodes)
        }
        "embed" => {
            #[derive(Deserialize)]
            struct Embed {
                dimensions: u64,
            }
            Found::Embedding { dimensions: read::<Embed>(text)?.dimensions }
        }
        _ => return Err(Error::NotAResult(format!("its task is {task:?}"))),
    };
    Ok(Finding { size: (width, height), found })
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::NotAResult(error.to_string()))
}

/// Errors and statuses of Redis begin with a word in capitals (`NOMODEL no such model`, `ACCEPTED`); redis-cli writes
/// `(error)` or `(nil)` before or for some of them.
fn is_reply(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or_default();
    matches!(word, "(error)" | "(nil)")
        || word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}
