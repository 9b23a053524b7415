//! `redis-image recognize PATH…`: what is stored is asked for, what is not is uploaded.
//!
//! One task finds out what is stored, some dozens of photos at a time, and hands photo by photo to the workers; each of
//! them has at most one file in memory. So the memory is that of `--concurrency` photos, however many there are.

use super::annotate::draw;
use crate::connect::{self, Connection};
use crate::digest::{self, MAX_PAYLOAD};
use crate::error::{COULD_NOT_WORK, Error};
use crate::files::{Files, common_folder, drawn};
use crate::output::{Format, Outcome};
use crate::recognizer::{self, Photo, Recognized, Recognizer, Source};
use crate::report::Report;
use crate::stop::{INTERRUPTED, Stop};
use annotate::{annotate, photo_of, write_picture};
use clap::Args;
use futures_util::future::join_all;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use tokio::task::spawn_blocking;

/// Photos that are asked for in one go.
const ASKED_AT_ONCE: usize = 64;

/// Recognise photos: files, folders, patterns; what is stored already is not sent
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  redis-image recognize photos/
  redis-image recognize cat.jpg 'holidays/**/*.png' --model objects
  redis-image recognize photos/ --output json --annotate seen/ > found.jsonl
  curl -s https://camera/still.jpg | redis-image recognize - --url redis://cache:6379
  redis-image recognize photos/ --cluster node1:6379,node2:6379 --concurrency 32
  redis-image recognize photos/ --sentinel s1:26379,s2:26379 --master images

Interrupted or failed, the same command goes on where it ended: what is stored is not sent again.

What an ACL user must be allowed:
  ACL SETUSER tool on '>secret' '~image:*' resetchannels -@all
  ACL SETUSER tool +image.recognize +image.get +image.models
  In a cluster also: '+cluster|shards' +asking

Exit status: 0 all recognised, 1 some files failed, 2 could not work at all, 130 interrupted.")]
pub struct Arguments {
    /// Files, folders (with all they hold), patterns, or - for a photo on standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How the results are written to standard output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,

    /// Write the photos with what was found drawn in to this folder
    #[arg(long, value_name = "DIR")]
    annotate: Option<PathBuf>,

    /// Compute again what is stored
    #[arg(long)]
    refresh: bool,

    #[command(flatten)]
    recognition: recognizer::RecognizeOptions,

    #[command(flatten)]
    connection: connect::Options,
}

/// A photo on its way.
struct Job {
    place: PictureFolder,
    digest: String,
    stored: Option<String>,
}

#[derive(Clone)]
enum PictureFolder {
    File(PathBuf),
    StandardInput(Arc<Vec<u8>>),
}

/// What it takes to recognise many photos.
struct Round {
    recognizer: Arc<Recognizer>,
    drawing: Option<Arc<Drawing>>,
    workers: usize,
    stop: Stop,
}

/// Where pictures are drawn.
struct Drawing {
    folder: PathBuf,
    common: PathBuf,
}

/// What the workers tell: the photo's outcome, and why its picture could not be drawn.
type Told = (Outcome, Option<String>);

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let stop = Stop::listen();
    if let Some(folder) = &arguments.annotate {
        refuse_folder_of_photos(&arguments.paths, folder)?;
    }
    let files = Files::find(&arguments.paths, arguments.annotate.as_deref());
    let mut places: Vec<PictureFolder> =
        files.paths.iter().cloned().map(PictureFolder::File).collect();
    if files.standard_input {
        match stop.unless(standard_input()).await {
            Some(payload) => places.push(PictureFolder::StandardInput(Arc::new(payload?))),
            None => return Ok(ExitCode::from(INTERRUPTED)),
        }
    }
    if places.is_empty() && files.failures.is_empty() {
        return Err(Error::usage("no JPEG, PNG, WebP, GIF or BMP file there"));
    }
    let drawing = arguments
        .annotate
        .map(|folder| Arc::new(Drawing { folder, common: common_folder(files.paths.iter()) }));

    let workers = usize::from(arguments.recognition.concurrency);
    let Some(connection) = stop.unless(Connection::open(&arguments.connection)).await else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let recognizer = Recognizer::new(connection?, arguments.recognition, arguments.refresh);
    recognizer.check().await?;
    let recognizer = Arc::new(recognizer);

    let mut report = Report::begin(arguments.output, places.len() + files.failures.len())?;
    for (path, error) in files.failures {
        report.add(&Outcome { path, digest: None, recognized: Err(error) })?;
    }
    let round = Round { recognizer, drawing, workers, stop: stop.clone() };
    let upsets = round.recognizer.connection().upsets();
    let mut outcomes = round.begin(places.clone());
    let mut failed = HashSet::new();
    while let Some((outcome, undrawn)) = outcomes.recv().await {
        report.add(&outcome)?;
        if outcome.recognized.is_err() {
            failed.insert(outcome.path.clone());
        }
        if let Some(why) = undrawn {
            report.warn(&outcome.path, &why);
        }
    }
    if !arguments.refresh && !stop.is_requested() {
        round.recognizer.connection().look_again().await;
        if upsets != round.recognizer.connection().upsets() {
            places.retain(|place| !failed.contains(&place.name()));
            restore(round, places, &mut report).await;
        }
    }
    report.end(stop.is_requested());
    Ok(ExitCode::from(match () {
        () if stop.is_requested() => INTERRUPTED,
        () if report.nothing_worked() => COULD_NOT_WORK,
        () if report.failed > 0 => 1,
        () => 0,
    }))
}

/// A master that failed may have taken results with it that its replica did not have yet: whatever is no longer stored
/// is sent once more. What comes of it was told already.
async fn restore(round: Round, places: Vec<PictureFolder>, report: &mut Report) {
    let mut outcomes = Round { drawing: None, ..round }.begin(places);
    while let Some((outcome, _)) = outcomes.recv().await {
        match outcome.recognized {
            Ok(found) => report.restored += u64::from(found.source == Source::Computed),
            Err(why) => {
                report.warn(&outcome.path, &format!("told, and not stored any more: {why}"))
            }
        }
    }
}

impl Round {
    /// Recognises all of them; what becomes of each is told in any order.
    fn begin(&self, places: Vec<PictureFolder>) -> mpsc::Receiver<Told> {
        let (told, outcomes) = mpsc::channel(2 * ASKED_AT_ONCE);
        let (jobs, queue) = mpsc::channel(1);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..self.workers {
            tokio::spawn(work(
                self.recognizer.clone(),
                queue.clone(),
                told.clone(),
                self.drawing.clone(),
                self.stop.clone(),
            ));
        }
        tokio::spawn(ask(self.recognizer.clone(), places, jobs, told, self.stop.clone()));
        outcomes
    }
}

/// Pictures among the photos would be recognised the next time.
fn refuse_folder_of_photos(paths: &[PathBuf], drawn: &Path) -> Result<(), Error> {
    let whole = |path: &Path| std::fs::canonicalize(path).ok();
    let drawn = whole(drawn);
    if drawn.is_some() && paths.iter().any(|path| whole(path) == drawn) {
        return Err(Error::usage("--annotate must be another folder than that of the photos"));
    }
    Ok(())
}

/// Hands out every photo, those with a stored result along with it.
async fn ask(
    recognizer: Arc<Recognizer>,
    places: Vec<PictureFolder>,
    jobs: mpsc::Sender<Job>,
    told: mpsc::Sender<Told>,
    stop: Stop,
) {
    for chunk in places.chunks(ASKED_AT_ONCE) {
        if stop.is_requested() {
            return;
        }
        let Some((photos, unreadable)) = stop.in_time(hashed(chunk)).await else { return };
        for outcome in unreadable {
            let _ = told.send((outcome, None)).await;
        }
        let digests: Vec<String> = photos.iter().map(|(_, digest)| digest.clone()).collect();
        let Some(stored) = stop.in_time(recognizer.stored(&digests)).await else { return };
        for ((place, digest), stored) in photos.into_iter().zip(stored) {
            // Nobody listens any more where the output or the work has ended.
            let gone = match stored {
                Ok(stored) => jobs.send(Job { place, digest, stored }).await.is_err(),
                Err(error) => {
                    let outcome = Outcome {
                        path: place.name(),
                        digest: Some(digest),
                        recognized: Err(error),
                    };
                    told.send((outcome, None)).await.is_err()
                }
            };
            if gone || stop.is_requested() {
                return;
            }
        }
    }
}

/// The digest of each, and those that can't be read; on all cores, as this is what a run of stored photos waits for.
async fn hashed(places: &[PictureFolder]) -> (Vec<(PictureFolder, String)>, Vec<Outcome>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shares = places.chunks(places.len().div_ceil(cores).max(1)).map(|share| {
        let share = share.to_vec();
        spawn_blocking(move || share.into_iter().map(PictureFolder::hashed).collect::<Vec<_>>())
    });
    let (mut photos, mut unreadable) = (Vec::new(), Vec::new());
    for (place, digest) in join_all(shares).await.into_iter().flat_map(Result::unwrap_or_default) {
        match digest {
            Ok(digest) => photos.push((place, digest)),
            Err(error) => unreadable.push(Outcome {
                path: place.name(),
                digest: None,
                recognized: Err(error),
            }),
        }
    }
    (photos, unreadable)
}

/// Takes photo after photo until there is none, or it is time to stop.
async fn work(
    recognizer: Arc<Recognizer>,
    queue: Arc<Mutex<mpsc::Receiver<Job>>>,
    told: mpsc::Sender<Told>,
    drawing: Option<Arc<Drawing>>,
    stop: Stop,
) {
    while !stop.is_requested() {
        let Some(job) = queue.lock().await.recv().await else { return };
        let Some(outcome) = stop.in_time(job.recognize(&recognizer)).await else { return };
        let undrawn = match (&drawing, &outcome.recognized) {
            (Some(drawing), Ok(found)) => drawing.draw(job.place, found.result.clone()).await,
            _ => None,
        };
        if told.send((outcome, undrawn)).await.is_err() {
            return;
        }
    }
}

impl PictureFolder {
    fn name(&self) -> String {
        match self {
            PictureFolder::File(path) => path.to_string_lossy().into_owned(),
            PictureFolder::StandardInput(_) => "-".to_owned(),
        }
    }

    fn hashed(self) -> (PictureFolder, Result<String, Error>) {
        let digest = match &self {
            PictureFolder::File(path) => digest::of_file(path),
            PictureFolder::StandardInput(payload) => Ok(digest::of(payload)),
        };
        (self, digest)
    }

    async fn payload(&self) -> Result<Arc<Vec<u8>>, Error> {
        match self {
            PictureFolder::StandardInput(payload) => Ok(payload.clone()),
            PictureFolder::File(path) => {
                let path = path.clone();
                let read = spawn_blocking(move || digest::read(&path)).await;
                read.unwrap_or_else(|why| Err(Error::usage(why.to_string()))).map(Arc::new)
            }
        }
    }
}

impl Job {
    async fn recognize(&self, recognizer: &Recognizer) -> Outcome {
        let mut digest = self.digest.clone();
        let recognized = match &self.stored {
            Some(result) => Ok(Recognized { source: Source::Stored, result: result.clone() }),
            None => self.upload(recognizer, &mut digest).await,
        };
        Outcome { path: self.place.name(), digest: Some(digest), recognized }
    }

    async fn upload(
        &self,
        recognizer: &Recognizer,
        digest: &mut String,
    ) -> Result<Recognized, Error> {
        let payload = self.place.payload().await?;
        // The file may have changed since it was asked for: what counts is what is sent.
        *digest = digest::of(&payload);
        let key = recognizer.key_of(digest);
        let photo = Photo { key: &key, digest, model: recognizer.model() };
        recognizer.upload(photo, &payload).await
    }
}

impl Drawing {
    /// Why it was not drawn, if it was not.
    async fn draw(self: &Arc<Drawing>, place: PictureFolder, result: String) -> Option<String> {
        let drawing = self.clone();
        let drawn = spawn_blocking(move || match place {
            PictureFolder::File(path) => {
                let output = drawn(&path, &drawing.common, &drawing.folder);
                create_folder_of(&output)?;
                draw(&path, &result, &output).map_err(|why| why.to_string())
            }
            PictureFolder::StandardInput(payload) => {
                let output = drawing.folder.join("stdin.png");
                create_folder_of(&output)?;
                let picture = photo_of(&payload).and_then(|photo| annotate(&photo, &result));
                let written = picture.and_then(|picture| write_picture(&picture, &output));
                written.map_err(|why| why.to_string())
            }
        });
        let outcome = drawn.await.unwrap_or_else(|why| Err(why.to_string()));
        outcome.err().map(|why| format!("not drawn: {why}"))
    }
}

fn create_folder_of(output: &Path) -> Result<(), String> {
    let folder = output.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))
}

/// Read on a thread that nobody waits for at the end: it may wait for its writer for ever.
async fn standard_input() -> Result<Vec<u8>, Error> {
    let (done, read) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(read_standard_input()));
    read.await.unwrap_or_else(|_| Err(Error::usage("standard input: it can't be read")))
}

fn read_standard_input() -> Result<Vec<u8>, Error> {
    let mut payload = Vec::new();
    // One byte more, so that a longer one is told as such.
    let read = std::io::stdin().lock().take(MAX_PAYLOAD + 1).read_to_end(&mut payload);
    read.map_err(|why| Error::usage(format!("standard input: {why}")))?;
    if payload.len() as u64 > MAX_PAYLOAD {
        return Err(Error::usage(
            "standard input is longer than 512 MB, the most that Redis takes",
        ));
    }
    Ok(payload)
}
