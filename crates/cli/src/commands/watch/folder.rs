//! A camera's folder. A thread of its own listens to the file system and hands on what is complete; the workers
//! recognise it.

use super::recent::Recent;
use super::retry_forever::{FrameFields, RetryForever, Unanswered};
use super::settled_files::{SettledFiles, counts};
use crate::digest;
use crate::error::Error;
use crate::output::{Outcome, json_line, print};
use crate::recognizer::Source;
use crate::stop::Stop;
use crate::terminal::tell;
use clap::Args;
use notify::{RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

/// How often unsettled files are looked at, and a request to stop.
const TICK: Duration = Duration::from_millis(200);
const DEFAULT_POLL: Duration = Duration::from_secs(5);
/// How often it is looked whether masters have changed.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// How often, and after how long, a file that can't be read is tried again.
const READ_AGAIN: usize = 5;
const TRY_AGAIN: Duration = Duration::from_secs(1);

#[derive(Args)]
#[command(next_help_heading = "Folder")]
pub struct FolderOptions {
    /// Pass over what lies there at the start
    #[arg(long, conflicts_with = "stream")]
    new_only: bool,

    /// End when all that lies there at the start is recognised
    #[arg(long, conflicts_with_all = ["stream", "new_only"])]
    existing_only: bool,

    /// Look into the folder so often instead of being told, for network file systems
    #[arg(long, value_name = "SECONDS", conflicts_with = "stream", value_parser = clap::value_parser!(u64).range(1..))]
    poll: Option<u64>,

    /// A file of which nothing is told is complete when it has not changed for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, conflicts_with = "stream")]
    settle: f64,
}

pub async fn watch(
    recognizer: Arc<RetryForever>,
    folder: PathBuf,
    options: FolderOptions,
    workers: usize,
    stop: Stop,
) -> Result<ExitCode, Error> {
    if !folder.is_dir() {
        return Err(Error::file(&folder, "it is no folder"));
    }
    // As the system tells of files in it, so that each has one path, however it was found.
    let folder = std::path::absolute(&folder).map_err(|why| Error::file(&folder, why))?;
    let settle = Duration::try_from_secs_f64(options.settle)
        .map_err(|why| Error::usage(format!("--settle: {why}")))?;
    let (complete, queue) = mpsc::channel(1);
    let queue = Arc::new(Mutex::new(queue));
    let (told, mut outcomes) = mpsc::channel(workers);
    for _ in 0..workers {
        tokio::spawn(work(recognizer.clone(), queue.clone(), told.clone(), stop.clone()));
    }
    drop((told, queue));
    let is_bounded = options.existing_only;
    let settled_files = SettledFiles::new(folder, settle);
    let listening = stop.clone();
    let listener =
        std::thread::spawn(move || listen(settled_files, &options, &complete, &listening));

    let (mut failed, mut done) = (0u64, 0u64);
    let mut recent = Recent::new(recognizer.connection());
    let mut restoring = tokio::spawn(async {});
    let mut tick = tokio::time::interval(LOOK_AFTER);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            outcome = outcomes.recv() => {
                let Some(outcome) = outcome else { break };
                match outcome.recognized {
                    Ok(_) => {
                        done += 1;
                        recent.add(PathBuf::from(&outcome.path));
                    }
                    Err(_) => failed += 1,
                }
                print(&json_line(&outcome))?;
            }
            _ = tick.tick() => if restoring.is_finished() {
                let paths = recent.maybe_lost(recognizer.connection()).await;
                restoring = tokio::spawn(restore(recognizer.clone(), paths));
            }
        }
    }
    if is_bounded && !stop.is_requested() {
        let paths = recent.maybe_lost(recognizer.connection()).await;
        restore(recognizer, paths).await;
    }
    tell(&format!("{done} recognised, {failed} failed"));
    match listener.join() {
        Ok(Err(error)) => Err(error),
        _ if is_bounded && stop.is_requested() => Ok(ExitCode::from(crate::stop::INTERRUPTED)),
        _ if is_bounded && failed > 0 => Ok(ExitCode::FAILURE),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Hands on every file as it is complete, until it is time to stop.
fn listen(
    mut settled_files: SettledFiles,
    options: &FolderOptions,
    complete: &mpsc::Sender<PathBuf>,
    stop: &Stop,
) -> Result<(), Error> {
    let (sender, events) = channel();
    let mut poll = options.poll.map(Duration::from_secs);
    // Begun before the first look: what comes in between is seen twice rather than not at all.
    let watcher = match poll {
        Some(_) => None,
        None if options.existing_only => None,
        None => {
            let watcher = told_of(settled_files.folder(), sender.clone());
            if let Err(why) = &watcher {
                tell(&format!(
                    "redis-image: the folder can't be watched ({why}); looking into it every {} s instead",
                    DEFAULT_POLL.as_secs()
                ));
                poll = Some(DEFAULT_POLL);
            }
            watcher.ok()
        }
    };
    if options.new_only {
        settled_files.pass_over_existing();
    }
    let mut ready = settled_files.scan();
    let mut looked = Instant::now();
    loop {
        for path in ready.drain(..) {
            if complete.blocking_send(path).is_err() {
                return Ok(());
            }
        }
        if stop.is_requested() || options.existing_only && !settled_files.is_waiting() {
            return Ok(());
        }
        match events.recv_timeout(TICK) {
            Ok(Ok(event)) => ready = settled_files.on_event(&event),
            Ok(Err(why)) => {
                tell(&format!("redis-image: {why}"));
                ready = settled_files.scan();
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        ready.extend(settled_files.settled());
        if poll.is_some_and(|period| looked.elapsed() >= period) {
            ready.extend(settled_files.scan());
            looked = Instant::now();
        }
        // Unmounted or removed: nothing will ever come.
        if !settled_files.folder().is_dir() {
            return Err(Error::file(settled_files.folder(), "the folder has gone"));
        }
        let _ = &watcher;
    }
}

fn told_of(
    folder: &Path,
    sender: Sender<notify::Result<notify::Event>>,
) -> notify::Result<notify::RecommendedWatcher> {
    // Only what counts, as the others would pile up while servers can't be reached.
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.as_ref().map_or(true, counts) {
            let _ = sender.send(event);
        }
    })?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}

async fn work(
    recognizer: Arc<RetryForever>,
    queue: Arc<Mutex<mpsc::Receiver<PathBuf>>>,
    told: mpsc::Sender<Outcome>,
    stop: Stop,
) {
    while !stop.is_requested() {
        let next = async { queue.lock().await.recv().await };
        let path = tokio::select! {
            path = next => path,
            () = stop.wait() => None,
        };
        let Some(path) = path else { return };
        let Some(Some(outcome)) = stop.in_time(recognize(&recognizer, path)).await else { return };
        if told.send(outcome).await.is_err() {
            return;
        }
    }
}

/// Sends again what is no longer stored. What comes of it was told already.
async fn restore(recognizer: Arc<RetryForever>, paths: Vec<PathBuf>) {
    let mut restored = 0;
    for path in paths {
        // One that is gone by now was taken care of by somebody else.
        let outcome = recognize(&recognizer, path).await;
        let found = outcome.and_then(|outcome| outcome.recognized.ok());
        restored += u64::from(found.is_some_and(|found| found.source == Source::Computed));
    }
    if restored > 0 {
        tell(&format!("{restored} results that an outage had lost were stored again"));
    }
}

/// Nothing if it was time to stop.
async fn recognize(recognizer: &RetryForever, path: PathBuf) -> Option<Outcome> {
    let name = path.to_string_lossy().into_owned();
    let mut tries = 0;
    let payload = loop {
        let this = path.clone();
        let read = spawn_blocking(move || digest::read(&this)).await;
        match read.unwrap_or_else(|why| Err(Error::usage(why.to_string()))) {
            Ok(payload) => break payload,
            // Its permissions may come after its content, a network file system back.
            Err(_) if tries < READ_AGAIN && path.is_file() => tokio::time::sleep(TRY_AGAIN).await,
            Err(error) => {
                return Some(Outcome { path: name, digest: None, recognized: Err(error) });
            }
        }
        tries += 1;
    };
    let recognized = match recognizer.recognize(&payload, &FrameFields::default()).await {
        Ok(recognized) => Ok(recognized),
        Err(Unanswered::Refused(error)) => Err(error),
        Err(Unanswered::Stopped) => return None,
    };
    Some(Outcome { path: name, digest: Some(digest::of(&payload)), recognized })
}
