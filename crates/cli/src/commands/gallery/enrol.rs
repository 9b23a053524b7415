//! `redis-image gallery enrol GALLERY DIR`: a folder per subject.

use super::place::GalleryPlace;
use crate::connect::{Connection, map, text};
use crate::digest;
use crate::error::{Error, printable};
use crate::files::Files;
use crate::output::print;
use crate::stop::{INTERRUPTED, Stop};
use crate::terminal::tell;
use annotate::photo_of;
use clap::Args;
use futures_util::StreamExt;
use image::{ImageFormat, imageops};
use redis::{Cmd, cmd};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long a photo may wait for its recognition.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Enrol photos: DIR holds a folder for each subject, named like it
#[derive(Args)]
#[command(after_long_help = "\
A line for each photo: what was enrolled, or why it was refused (no face, several, too small, too blurred, looking away).
A photo that is sent twice is enrolled twice, which changes no answer.

Exit status: 0 all enrolled, 1 some were refused, 2 could not work at all.")]
pub struct Arguments {
    #[command(flatten)]
    place: GalleryPlace,

    /// The folder of folders
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// The model of a new gallery; default: the servers' image.gallery-model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Of several faces take the largest one
    #[arg(long)]
    largest: bool,

    /// Don't warn of a face that is nearer to another subject
    #[arg(long)]
    force: bool,

    /// Enrol each photo turned by 90, 180 and 270 degrees as well: for covers, as books lie on their sides
    #[arg(long)]
    turned: bool,

    /// How many photos are with the server at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let stop = Stop::listen();
    let photos = photos_by_subject(&arguments.folder)?;
    let connection = Connection::open(&arguments.place.connection).await?;
    let (connection, arguments) = (&connection, &arguments);
    let mut outcomes = futures_util::stream::iter(&photos)
        .take_until(Box::pin(stop.wait()))
        .map(|(subject, path)| async move {
            (subject, path, enrol(connection, arguments, subject, path).await)
        })
        .buffered(usize::from(arguments.concurrency));
    let (mut enrolled, mut refused) = (0, 0);
    while let Some((subject, path, outcome)) = outcomes.next().await {
        let path = printable(&path.to_string_lossy());
        match outcome {
            Ok(said) => {
                enrolled += 1;
                print(&format!("{path}  {}  {said}", printable(subject)))?;
            }
            // Nothing that another photo could make better.
            Err(error) if error.is_without_module() || error.word() == "NOMODEL" => {
                return Err(error);
            }
            Err(error) => {
                refused += 1;
                print(&format!("{path}  {}  refused: {error}", printable(subject)))?;
            }
        }
    }
    tell(&format!("{enrolled} enrolled, {refused} refused"));
    Ok(ExitCode::from(match () {
        () if stop.is_requested() => INTERRUPTED,
        () if refused > 0 => 1,
        () => 0,
    }))
}

/// Each photo with the name of the folder it lies in.
fn photos_by_subject(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let failed = |why: std::io::Error| Error::file(folder, why);
    let mut photos = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') {
            let files = Files::find(&[path], None);
            photos.extend(files.paths.into_iter().map(|photo| (name.clone(), photo)));
        }
    }
    photos.sort();
    if photos.is_empty() {
        let sentence = "no folder with photos there: DIR holds a folder for each subject";
        return Err(Error::file(folder, sentence));
    }
    Ok(photos)
}

async fn enrol(
    connection: &Connection,
    arguments: &Arguments,
    subject: &str,
    path: &Path,
) -> Result<String, Error> {
    let payload = digest::read(path)?;
    let mut said = enrol_one(connection, arguments, subject, &payload).await?;
    if arguments.turned {
        for view in turned(path, &payload)? {
            let more = enrol_one(connection, arguments, subject, &view).await?;
            said = format!("{said}; {more}");
        }
    }
    Ok(said)
}

/// The photo turned by each of the other right angles.
fn turned(path: &Path, payload: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::file(path, why);
    let photo = photo_of(payload).map_err(|why| failed(&why))?;
    [imageops::rotate90(&photo), imageops::rotate180(&photo), imageops::rotate270(&photo)]
        .iter()
        .map(|view| {
            let mut file = Cursor::new(Vec::new());
            view.write_to(&mut file, ImageFormat::Png).map_err(|why| failed(&why))?;
            Ok(file.into_inner())
        })
        .collect()
}

async fn enrol_one(
    connection: &Connection,
    arguments: &Arguments,
    subject: &str,
    payload: &[u8],
) -> Result<String, Error> {
    let command = command(arguments, subject, payload);
    let key = arguments.place.gallery.as_bytes();
    let mut tries = connection.tries();
    loop {
        match connection.run_within(key, &command, 2 * TIMEOUT).await {
            Ok(reply) => {
                let fields = map(&reply).unwrap_or_default();
                let field = |name: &str| fields.get(name).and_then(|value| text(value));
                let sample = field("sample").unwrap_or_default();
                let warning = field("warning").map(|warning| format!(", but {warning}"));
                return Ok(format!("sample {sample}{}", warning.unwrap_or_default()));
            }
            Err(error) if error.word() == "QUEUEFULL" => {
                tries.pause(error, Duration::ZERO).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn command(arguments: &Arguments, subject: &str, payload: &[u8]) -> Cmd {
    let mut command = cmd("IMAGE.ENROLL");
    command.arg(&arguments.place.gallery).arg(subject).arg(payload);
    if let Some(model) = &arguments.model {
        command.arg("MODEL").arg(model);
    }
    if arguments.largest {
        command.arg("LARGEST");
    }
    if arguments.force {
        command.arg("FORCE");
    }
    command.arg("TIMEOUT").arg(TIMEOUT.as_millis() as u64);
    command
}
