//! What was found, on standard output: a line a photo, as soon as it is known, for people or for programs.

use crate::error::{Error, printable};
use crate::recognizer::Recognized;
use crate::summary;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: path, source, what was found
    Table,
    /// An object a line: {"path","sha256","source","result"}, or {"path","sha256","error"}
    Json,
    /// path, sha256, source (stored, computed, failed), what was found
    Csv,
}

/// What became of one photo.
#[derive(Debug)]
pub struct Outcome {
    pub path: String,
    /// Unknown if the file could not be read.
    pub digest: Option<String>,
    pub recognized: Result<Recognized, Error>,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    path: &'a str,
    sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Format {
    /// What stands above all lines.
    pub fn head(self) -> Option<String> {
        match self {
            Format::Table => Some(format!("{:<40}  {:<8}  {}", "PHOTO", "SOURCE", "FOUND")),
            Format::Json => None,
            Format::Csv => Some(csv_line(["path", "sha256", "source", "found"])),
        }
    }

    pub fn line(self, outcome: &Outcome) -> String {
        let (source, found) = match &outcome.recognized {
            Ok(found) => (found.source.name(), summary::of(&found.result)),
            Err(error) => ("failed", error.to_string()),
        };
        match self {
            Format::Table => format!("{:<40}  {source:<8}  {found}", printable(&outcome.path)),
            Format::Json => json_line(outcome),
            Format::Csv => {
                let digest = outcome.digest.as_deref().unwrap_or_default();
                csv_line([&outcome.path, digest, source, &found])
            }
        }
    }
}

/// One object; `path` as far as it is UTF-8.
pub fn json_line(outcome: &Outcome) -> String {
    let mut line = JsonLine {
        path: &outcome.path,
        sha256: outcome.digest.as_deref(),
        source: None,
        result: None,
        error: None,
    };
    match &outcome.recognized {
        Ok(found) => match serde_json::from_str::<&RawValue>(&found.result) {
            Ok(result) => {
                line.source = Some(found.source.name());
                line.result = Some(result);
            }
            Err(_) => line.error = Some("what is stored is no JSON".to_owned()),
        },
        Err(error) => line.error = Some(error.to_string()),
    }
    // Strings, and JSON that was read just now: it can't fail.
    serde_json::to_string(&line).unwrap_or_default()
}

fn csv_line(fields: [&str; 4]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(fields).map_err(io::Error::other);
    let bytes = written.and_then(|()| writer.into_inner().map_err(|why| why.into_error()));
    String::from_utf8_lossy(&bytes.unwrap_or_default()).trim_end_matches('\n').to_owned()
}

/// Writes one line and hands it on at once: the reader may be a program that waits for it.
pub fn print(line: &str) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    output
        .write_all(format!("{line}\n").as_bytes())
        .and_then(|()| output.flush())
        .map_err(|why| Error::usage(format!("nobody takes the output any more: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recognizer::Source;

    fn found() -> Outcome {
        let result = r#"{"task":"faces","faces":[],"width":1,"height":1}"#.to_owned();
        Outcome {
            path: "a, \"b\".jpg".to_owned(),
            digest: Some("ab".to_owned()),
            recognized: Ok(Recognized { source: Source::Stored, result }),
        }
    }

    fn failed() -> Outcome {
        Outcome { path: "x".to_owned(), digest: None, recognized: Err(Error::usage("why\nnot")) }
    }

    #[test]
    fn a_line_of_json_holds_the_result_as_it_is() {
        assert_eq!(
            Format::Json.line(&found()),
            r#"{"path":"a, \"b\".jpg","sha256":"ab","source":"stored","result":{"task":"faces","faces":[],"width":1,"height":1}}"#
        );
        let line = Format::Json.line(&failed());
        assert_eq!(line, "{\"path\":\"x\",\"sha256\":null,\"error\":\"why\u{fffd}not\"}");
    }

    #[test]
    fn csv_quotes_what_it_must() {
        assert_eq!(Format::Csv.line(&found()), r#""a, ""b"".jpg",ab,stored,0 faces"#);
        assert_eq!(Format::Csv.line(&failed()), "x,,failed,why\u{fffd}not");
    }
}
