//! Frames of a stream, as a consumer of a group.
//!
//! A frame is acknowledged after its result stands in the other stream, never before: whoever dies in between, it is
//! delivered again. What is pending comes back by three ways: our own at the start and after every broken connection
//! (a reply may have been lost that the server holds for delivered), that of others by `XAUTOCLAIM`. A frame that is in
//! work here is not begun a second time.

use super::entry::{Answer, Frame, frames_claimed, frames_read};
use super::retry_forever::{RetryForever, Stopped, Unanswered};
use crate::connect::{is_temporary, slot_of};
use crate::digest;
use crate::error::Error;
use crate::stop::Stop;
use crate::terminal::tell;
use clap::Args;
use redis::{Cmd, Value, cmd};
use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long a read waits for a new frame.
const BLOCK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Args)]
#[command(next_help_heading = "Stream")]
pub struct StreamOptions {
    /// The stream of frames
    #[arg(long, value_name = "KEY", requires_all = ["group", "consumer", "results"])]
    stream: Option<String>,

    /// The consumer group; it is created where there is none
    #[arg(long, value_name = "NAME", requires = "stream")]
    group: Option<String>,

    /// This consumer's name, which no other uses at the same time
    #[arg(long, value_name = "NAME", requires = "stream")]
    consumer: Option<String>,

    /// The stream that the results are written to
    #[arg(long, value_name = "KEY", requires = "stream")]
    results: Option<String>,

    /// About so many results are kept in their stream; 0: all
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    maxlen: u64,

    /// Frames in memory at a time; default: twice --concurrency
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,

    /// A frame that another consumer has left unanswered for so long is taken over
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    claim_after: u64,

    /// The gallery whose subjects are looked for in each frame, by its own model
    #[arg(long, value_name = "KEY", requires = "stream")]
    gallery: Option<String>,

    /// A group that is created begins with the frames to come
    #[arg(long)]
    from_now: bool,
}

pub struct Names {
    stream: String,
    group: String,
    consumer: String,
    results: String,
    gallery: Option<String>,
    maxlen: u64,
}

impl Names {
    /// What is written must not come back as a frame, and must fail over together with its acknowledgement.
    fn check(&self, is_cluster: bool) -> Result<(), Error> {
        if self.results == self.stream {
            return Err(Error::usage("--results must be another stream than --stream"));
        }
        if is_cluster && slot_of(self.stream.as_bytes()) != slot_of(self.results.as_bytes()) {
            return Err(Error::usage(
                "in a cluster --stream and --results must lie in one slot, as {door}:frames and {door}:found: else a \
                 failover could lose a result whose frame is acknowledged",
            ));
        }
        Ok(())
    }
}

impl StreamOptions {
    pub fn gallery(&self) -> Option<&str> {
        self.gallery.as_deref()
    }

    /// None if a folder is meant.
    pub fn names(&self) -> Option<Names> {
        Some(Names {
            stream: self.stream.clone()?,
            group: self.group.clone()?,
            consumer: self.consumer.clone()?,
            results: self.results.clone()?,
            gallery: self.gallery.clone(),
            maxlen: self.maxlen,
        })
    }
}

struct Consumer {
    recognizer: Arc<RetryForever>,
    names: Arc<Names>,
    begin: &'static str,
    /// Up to where our own pending frames were read again; none once all were.
    own_pending: Option<String>,
    claim_after: Duration,
    claimed: Option<Instant>,
    claim_from: String,
    /// As many frames as are asked for at most: a slow link may not bring more in time.
    most: usize,
}

pub async fn consume(
    recognizer: Arc<RetryForever>,
    names: Names,
    options: &StreamOptions,
    workers: usize,
    stop: Stop,
) -> Result<ExitCode, Error> {
    names.check(recognizer.connection().is_cluster())?;
    let batch = options.batch.map_or(2 * workers, usize::from);
    let mut consumer = Consumer {
        recognizer: recognizer.clone(),
        names: Arc::new(names),
        begin: if options.from_now { "$" } else { "0" },
        own_pending: Some("0".to_owned()),
        claim_after: Duration::from_secs(options.claim_after),
        claimed: None,
        claim_from: "0-0".to_owned(),
        most: batch,
    };
    let permits = Arc::new(Semaphore::new(workers));
    let mut in_work: HashSet<String> = HashSet::new();
    let mut tasks: JoinSet<(String, Result<bool, Error>)> = JoinSet::new();
    let (mut done, mut failed) = (0u64, 0u64);
    let mut ended = |outcome: Result<(String, Result<bool, Error>), _>,
                     in_work: &mut HashSet<String>| {
        // A task that panicked leaves its frame pending, and in work: another consumer takes it over.
        let Ok((id, told)) = outcome else { return Ok(()) };
        in_work.remove(&id);
        let is_recognized = told?;
        done += u64::from(is_recognized);
        failed += u64::from(!is_recognized);
        Ok::<(), Error>(())
    };

    while !stop.is_requested() {
        while let Some(outcome) = tasks.try_join_next() {
            ended(outcome, &mut in_work)?;
        }
        let room = batch.saturating_sub(in_work.len());
        if room == 0 {
            tokio::select! {
                Some(outcome) = tasks.join_next() => ended(outcome, &mut in_work)?,
                () = stop.wait() => {}
            }
            continue;
        }
        let frames = tokio::select! {
            frames = consumer.next(room) => frames?,
            () = stop.wait() => break,
        };
        for frame in frames {
            if !in_work.insert(frame.id.clone()) {
                continue;
            }
            let (recognizer, names) = (recognizer.clone(), consumer.names.clone());
            let (permits, stop) = (permits.clone(), stop.clone());
            tasks.spawn(async move {
                let id = frame.id.clone();
                let _permit = permits.acquire_owned().await;
                if stop.is_requested() {
                    return (id, Ok(false));
                }
                let told = stop.in_time(answer(&recognizer, &names, frame)).await;
                (id, told.unwrap_or(Ok(false)))
            });
        }
    }
    while let Some(outcome) = tasks.join_next().await {
        ended(outcome, &mut in_work)?;
    }
    tell(&format!("{done} recognised, {failed} failed or left for the next start"));
    Ok(ExitCode::SUCCESS)
}

impl Consumer {
    /// Some frames, or none after a while. An error is one that nobody but the user can put right.
    async fn next(&mut self, room: usize) -> Result<Vec<Frame>, Error> {
        let (command, is_claim) = self.command(room.min(self.most));
        let outcome = self.recognizer.connection().run_once(self.key(), &command, PATIENCE).await;
        self.most = match &outcome {
            Ok(_) => self.most.saturating_mul(2).min(usize::from(u16::MAX)),
            Err(Error::Lost { .. }) => (self.most / 2).max(1),
            Err(_) => self.most,
        };
        match outcome {
            Ok(reply) if is_claim => {
                let (next, frames) = frames_claimed(&reply);
                self.claimed = (next == "0-0").then(Instant::now);
                self.claim_from = next;
                Ok(frames)
            }
            Ok(reply) => {
                let frames = frames_read(&reply);
                if self.own_pending.is_some() {
                    self.own_pending = frames.last().map(|frame| frame.id.clone());
                }
                Ok(frames)
            }
            Err(error) if error.word() == "NOGROUP" => self.create_group().await,
            Err(error) if is_temporary(&error) => {
                self.own_pending = Some("0".to_owned());
                if ["MOVED", "ASK"].contains(&error.word()) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                } else {
                    // To stop is the caller's matter.
                    let _ = self.recognizer.pause(&error).await;
                }
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    fn command(&self, room: usize) -> (Cmd, bool) {
        let names = &self.names;
        let read = || {
            let mut command = cmd("XREADGROUP");
            command.arg("GROUP").arg(&names.group).arg(&names.consumer).arg("COUNT").arg(room);
            command
        };
        if let Some(last) = &self.own_pending {
            return (read().arg("STREAMS").arg(&names.stream).arg(last).take(), false);
        }
        let is_due = self.claimed.is_none_or(|last| last.elapsed() > self.claim_after / 2);
        if is_due {
            let mut command = cmd("XAUTOCLAIM");
            command.arg(&names.stream).arg(&names.group).arg(&names.consumer);
            command.arg(self.claim_after.as_millis() as u64).arg(&self.claim_from);
            return (command.arg("COUNT").arg(room).take(), true);
        }
        let mut command = read();
        command.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        (command.arg("STREAMS").arg(&names.stream).arg(">").take(), false)
    }

    async fn create_group(&mut self) -> Result<Vec<Frame>, Error> {
        let mut command = cmd("XGROUP");
        command.arg("CREATE").arg(&self.names.stream).arg(&self.names.group).arg(self.begin);
        // A second time it is one that has lost its group: every frame that is still there is to be seen.
        self.begin = "0";
        match self.recognizer.connection().run(self.key(), command.arg("MKSTREAM")).await {
            Ok(_) => Ok(Vec::new()),
            Err(error) if error.word() == "BUSYGROUP" || is_temporary(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn key(&self) -> &[u8] {
        self.names.stream.as_bytes()
    }
}

/// Recognises a frame, tells it, acknowledges it: was it recognised? False also where it was time to stop.
async fn answer(recognizer: &RetryForever, names: &Names, frame: Frame) -> Result<bool, Error> {
    let digest = frame.image.as_deref().map(digest::of);
    let usual_key = digest.as_deref().map(|digest| recognizer.key_of(digest));
    let key = frame.wishes.key.clone().or(usual_key);
    let outcome = match recognized(recognizer, names, &frame).await {
        Ok(answer) => Ok(answer),
        Err(Unanswered::Refused(error)) => Err(error),
        Err(Unanswered::Stopped) => return Ok(false),
    };
    let told =
        frame.told(&names.results, names.maxlen, digest.as_deref(), key.as_deref(), &outcome);
    let mut acknowledged = cmd("XACK");
    acknowledged.arg(&names.stream).arg(&names.group).arg(&frame.id);
    for (key, command) in [(&names.results, &told), (&names.stream, &acknowledged)] {
        if until_done(recognizer, key.as_bytes(), command).await?.is_err() {
            return Ok(false);
        }
    }
    Ok(outcome.is_ok())
}

/// What is in a frame, and who of the gallery if one is named.
async fn recognized(
    recognizer: &RetryForever,
    names: &Names,
    frame: &Frame,
) -> Result<Answer, Unanswered> {
    let Some(image) = &frame.image else {
        let sentence = "the entry has no field `image`, or was deleted too early";
        return Err(Unanswered::Refused(Error::usage(sentence)));
    };
    let recognized = recognizer.recognize(image, &frame.wishes).await?;
    let people = match &names.gallery {
        Some(gallery) => Some(recognizer.identify(gallery, &recognized.result).await?),
        None => None,
    };
    Ok(Answer { recognized, people })
}

/// The outer error is one that nobody but the user can put right.
async fn until_done(
    recognizer: &RetryForever,
    key: &[u8],
    command: &Cmd,
) -> Result<Result<Value, Stopped>, Error> {
    loop {
        match recognizer.connection().run(key, command).await {
            Ok(reply) => return Ok(Ok(reply)),
            Err(error) if is_temporary(&error) => {
                if let Err(stopped) = recognizer.pause(&error).await {
                    return Ok(Err(stopped));
                }
            }
            Err(error) => return Err(error),
        }
    }
}
