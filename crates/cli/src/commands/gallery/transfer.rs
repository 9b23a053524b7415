//! `redis-image gallery export` and `import`: a gallery as lines of JSON, exact to the bit.

use super::place::GalleryPlace;
use crate::connect::Connection;
use crate::error::Error;
use crate::gallery::{About, Gallery, Sample, numbers};
use crate::output::print;
use crate::terminal::tell;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

/// Write a gallery to standard output: a line about it, then one for each sample
#[derive(Args)]
#[command(after_long_help = "\
The file holds people's embeddings: keep it as you keep the gallery, and delete it when somebody is to be forgotten.")]
pub struct Export {
    #[command(flatten)]
    place: GalleryPlace,
}

/// Read what `export` wrote into a gallery; a second time it changes nothing
#[derive(Args)]
#[command(after_long_help = "\
Samples keep their numbers, so the gallery should be new, or the one that was exported. To put two galleries together
import into a third one and use `redis-image gallery sync`.

Example:
  redis-image gallery import '{south}:people' people.jsonl")]
pub struct Import {
    #[command(flatten)]
    place: GalleryPlace,

    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct SubjectLine {
    subject: String,
    sample: u64,
    /// Base64 of 32-bit little-endian floats.
    vector: String,
}

pub async fn export(arguments: Export) -> Result<ExitCode, Error> {
    let connection = Connection::open(&arguments.place.connection).await?;
    let gallery = Gallery::new(&connection, &arguments.place.gallery);
    let about = gallery.about().await?;
    let samples = gallery.samples().await?;
    // As many as follow, whatever was enrolled in between: import checks it.
    let subjects: BTreeSet<&str> = samples.iter().map(|sample| sample.subject.as_str()).collect();
    let next = samples.iter().map(|sample| sample.id + 1).max().unwrap_or(1);
    let about = About {
        subjects: subjects.len() as u64,
        samples: samples.len() as u64,
        next_sample: about.next_sample.max(next),
        ..about
    };
    print(&to_json(&about)?)?;
    for Sample { subject, id, vector } in samples {
        let line = SubjectLine { subject, sample: id, vector: STANDARD.encode(vector) };
        print(&to_json(&line)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn import(arguments: Import) -> Result<ExitCode, Error> {
    let (about, samples) = read(&arguments.file)?;
    let connection = Connection::open(&arguments.place.connection).await?;
    let gallery = Gallery::new(&connection, &arguments.place.gallery);
    // All or nothing: one that is refused in the middle would leave half of somebody.
    let there: BTreeSet<Sample> = match gallery.about_if_any().await? {
        Some(_) => gallery.samples().await?.into_iter().collect(),
        None => BTreeSet::new(),
    };
    let (known, new): (Vec<Sample>, Vec<Sample>) =
        samples.into_iter().partition(|sample| there.contains(sample));
    let taken: BTreeSet<u64> = there.iter().map(|sample| sample.id).collect();
    if let Some(sample) = new.iter().find(|sample| taken.contains(&sample.id)) {
        return Err(Error::usage(format!(
            "{} has another sample of the number {}: nothing was imported. Import into a new gallery, then `gallery sync`",
            gallery.key(),
            sample.id
        )));
    }
    gallery.bind(&about).await?;
    let (done, error) = gallery.restore(&about, &new).await;
    tell(&format!(
        "{}: {done} of {} samples imported, {} were there",
        gallery.key(),
        new.len(),
        known.len()
    ));
    match error {
        Some(error) if done == 0 => Err(error),
        Some(error) => {
            tell(&format!("the first that is not: {error}"));
            Ok(ExitCode::from(1))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

fn read(path: &std::path::Path) -> Result<(About, Vec<Sample>), Error> {
    let failed = |why: String| Error::file(path, why);
    let file = File::open(path).map_err(|why| failed(why.to_string()))?;
    let mut lines = BufReader::new(file).lines();
    let head = lines.next().ok_or_else(|| failed("the file is empty".to_owned()))?;
    let head = head.map_err(|why| failed(why.to_string()))?;
    let about: About = serde_json::from_str(&head)
        .map_err(|why| failed(format!("its first line is none of `gallery export`: {why}")))?;
    let mut samples = Vec::new();
    for (number, line) in (2..).zip(lines) {
        let wrong = |why: String| failed(format!("line {number}: {why}"));
        let line = line.map_err(|why| wrong(why.to_string()))?;
        let SubjectLine { subject, sample, vector } =
            serde_json::from_str(&line).map_err(|why| wrong(why.to_string()))?;
        let vector = STANDARD.decode(vector).map_err(|why| wrong(why.to_string()))?;
        if vector.len() as u64 != 4 * about.dimensions || !numbers(&vector).all(f32::is_finite) {
            return Err(wrong(format!("its vector is none of {} numbers", about.dimensions)));
        }
        samples.push(Sample { subject, id: sample, vector });
    }
    if samples.len() as u64 != about.samples {
        return Err(failed(format!(
            "its first line tells of {} samples, but {} follow: the file is not whole",
            about.samples,
            samples.len()
        )));
    }
    Ok((about, samples))
}

fn to_json(line: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(line).map_err(|why| Error::usage(why.to_string()))
}
