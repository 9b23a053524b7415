//! `redis-image gallery identify GALLERY PATH…`: who is in these photos.
//!
//! The faces are found by IMAGE.RECOGNIZE, whose results are stored, on whatever node has the photo's key; the gallery's
//! node only compares.

use super::place::GalleryPlace;
use crate::connect::Connection;
use crate::digest;
use crate::error::{Error, printable};
use crate::files::Files;
use crate::gallery::{Gallery, Wishes};
use crate::output::print;
use crate::recognizer::{self, Recognizer};
use crate::stop::{INTERRUPTED, Stop};
use crate::summary::people;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tell who is in photos: known subjects by name, others as strangers
#[derive(Args)]
#[command(after_long_help = "\
The faces of each photo are stored as a result, strangers' faces as well: --ex limits for how long. The command
IMAGE.IDENTIFY itself stores nothing. Without --model the gallery's own is taken.

Example:
  redis-image gallery identify '{north}:people' visitors/*.jpg --ex 3600")]
pub struct Arguments {
    #[command(flatten)]
    place: GalleryPlace,

    /// Files, folders, patterns
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[arg(long, value_enum, default_value_t = IdentifyOutput::Table)]
    output: IdentifyOutput,

    #[command(flatten)]
    wishes: Wishes,

    #[command(flatten)]
    recognition: recognizer::RecognizeOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IdentifyOutput {
    /// For people
    Table,
    /// An object a line: {"path","source","faces"}, or {"path","error"}
    Json,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let stop = Stop::listen();
    let files = Files::find(&arguments.paths, None);
    let connection = Connection::open(&arguments.place.connection).await?;
    let gallery = &Gallery::new(&connection, &arguments.place.gallery);
    let concurrency = usize::from(arguments.recognition.concurrency);
    // The gallery's own model, unless the user knows better.
    let model = match arguments.recognition.model.clone() {
        Some(model) => model,
        None => gallery.about().await?.model,
    };
    let options = recognizer::RecognizeOptions { model: Some(model), ..arguments.recognition };
    let recognizer = &Recognizer::new(connection, options, false);
    recognizer.check().await?;
    let (mut failed, output, wishes) = (0, arguments.output, &arguments.wishes);
    for (path, error) in files.failures {
        failed += 1;
        print(&line(output, &path, &Err(error)))?;
    }
    let mut answers = futures_util::stream::iter(&files.paths)
        .take_until(Box::pin(stop.wait()))
        .map(|path| async move { (path, identify(recognizer, gallery, wishes, path).await) })
        .buffered(concurrency);
    while let Some((path, answer)) = answers.next().await {
        failed += usize::from(answer.is_err());
        print(&line(output, &path.to_string_lossy(), &answer))?;
    }
    Ok(ExitCode::from(match () {
        () if stop.is_requested() => INTERRUPTED,
        () if failed > 0 => 1,
        () => 0,
    }))
}

async fn identify(
    recognizer: &Recognizer,
    gallery: &Gallery,
    wishes: &Wishes,
    path: &Path,
) -> Result<Json, Error> {
    let payload = digest::read(path)?;
    let recognized = recognizer.recognize(&payload, None, None).await?;
    let mut answer = gallery.identify(&recognized.result, wishes).await?;
    answer["source"] = recognized.source.name().into();
    Ok(answer)
}

fn line(output: IdentifyOutput, path: &str, answer: &Result<Json, Error>) -> String {
    match (output, answer) {
        (IdentifyOutput::Table, Ok(answer)) => {
            format!("{:<40}  {}", printable(path), people(answer))
        }
        (IdentifyOutput::Table, Err(error)) => format!("{:<40}  failed: {error}", printable(path)),
        (IdentifyOutput::Json, Ok(answer)) => {
            json!({ "path": path, "source": answer["source"], "faces": answer["faces"] })
                .to_string()
        }
        (IdentifyOutput::Json, Err(error)) => {
            json!({ "path": path, "error": error.to_string() }).to_string()
        }
    }
}
