//! Preparing, sending, and cleaning up after it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use redis::{Cmd, Value, cmd};

use super::mix::{Kind, Mix};
use super::photos::BenchPhoto;
use super::stats::{BenchReport, Stats};
use crate::connect::{Connection, is_temporary, map, text};
use crate::error::Error;
use crate::stop::Stop;

pub struct Plan {
    pub connection: Connection,
    pub photos: Vec<BenchPhoto>,
    pub mix: Mix,
    pub model: Option<String>,
    pub concurrency: usize,
    pub requests: u64,
    pub time: Duration,
    pub stop: Stop,
}

pub struct Load {
    plan: Plan,
    /// Tells this run's keys and payloads from every other's.
    run: String,
    /// Keys that have been used, from 0 on.
    numbers: AtomicU64,
    sequence: AtomicU64,
    pub done: AtomicU64,
    stored: OnceLock<Vec<Stored>>,
}

/// A result that is there to be hit.
#[derive(Clone, Copy)]
struct Stored {
    number: u64,
    photo: usize,
}

pub struct Prepared {
    pub stored: usize,
    /// Photos that are none for the server.
    pub refused: Vec<String>,
}

/// Per master, so that chance spreads hits evenly enough.
const STORED_PER_NODE: usize = 16;
/// How long the server may let a request wait; then the word is its `TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than that: no word at all.
const PATIENCE: Duration = Duration::from_secs(45);
/// A key outlives the run by this, should it not be removed.
const EXPIRY: Duration = Duration::from_secs(600);

impl Load {
    pub fn new(plan: Plan) -> Load {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Load {
            plan,
            run: format!("{:x}-{:x}", std::process::id(), now.as_micros()),
            numbers: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            done: AtomicU64::new(0),
            stored: OnceLock::new(),
        }
    }

    pub fn is_interrupted(&self) -> bool {
        self.plan.stop.is_requested()
    }

    /// Stores what hits and gets will ask for, and finds out which photos the server takes.
    pub async fn prepare(&self) -> Result<Prepared, Error> {
        let mut stored = Vec::new();
        let mut refused = Vec::new();
        let first = (0..self.plan.photos.len()).collect();
        self.store(first, &mut stored, &mut refused).await?;
        if stored.is_empty() && !self.is_interrupted() {
            return Err(Error::usage("the server takes none of these photos"));
        }
        let wanted = STORED_PER_NODE * self.plan.connection.masters().len().max(1);
        let good: Vec<usize> = stored.iter().map(|stored| stored.photo).collect();
        let more = good.iter().copied().cycle().take(wanted.saturating_sub(good.len())).collect();
        self.store(more, &mut stored, &mut refused).await?;
        let prepared = Prepared { stored: stored.len(), refused };
        self.stored.get_or_init(|| stored);
        Ok(prepared)
    }

    async fn store(
        &self,
        photos: Vec<usize>,
        stored: &mut Vec<Stored>,
        refused: &mut Vec<String>,
    ) -> Result<(), Error> {
        let requests = futures_util::stream::iter(photos).map(|photo| async move {
            let one = Stored { number: self.numbers.fetch_add(1, Relaxed), photo };
            if self.is_interrupted() {
                return (one, None);
            }
            (one, Some(self.store_one(one).await))
        });
        let mut replies = requests.buffer_unordered(self.plan.concurrency);
        while let Some((one, reply)) = replies.next().await {
            match reply {
                Some(Ok(_)) => stored.push(one),
                Some(Err(error)) if error.word() == "BADIMAGE" => {
                    refused.push(self.plan.photos[one.photo].name.clone());
                }
                Some(Err(error)) => return Err(error),
                None => (),
            }
        }
        Ok(())
    }

    async fn store_one(&self, one: Stored) -> Result<Value, Error> {
        // A node without the module quotes the bytes of a photo in its error, which is then no text any more.
        self.ask(Kind::Gets, one).await.0?;
        let begun = Instant::now();
        loop {
            match self.ask(Kind::Misses, one).await.0 {
                // The servers have other clients, too.
                Err(error)
                    if ["QUEUEFULL", "TIMEOUT"].contains(&error.word())
                        && begun.elapsed() < PATIENCE
                        && !self.is_interrupted() =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                reply => return reply,
            }
        }
    }

    /// Sends until the time or the requests are over.
    pub async fn run(self: &Arc<Load>) -> BenchReport {
        let begun = Instant::now();
        let until = begun + self.plan.time;
        let workers: Vec<_> = (0..self.plan.concurrency)
            .map(|_| tokio::spawn(send_until(self.clone(), until)))
            .collect();
        let mut stats = Stats::default();
        for worker in workers {
            if let Ok(of_worker) = worker.await {
                stats.add(of_worker);
            }
        }
        stats.report(begun.elapsed().as_secs_f64())
    }

    /// What the request of this number in the sequence is about.
    fn choose(&self, kind: Kind, sequence: u64) -> Option<Stored> {
        let stored = self.stored.get()?;
        // Scattered, so that it does not go in step with the mix.
        let scattered = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let one = *stored.get((scattered % stored.len().max(1) as u64) as usize)?;
        Some(match kind {
            Kind::Hits | Kind::Gets => one,
            Kind::Misses => Stored { number: self.numbers.fetch_add(1, Relaxed), photo: one.photo },
        })
    }

    /// The reply, and the bytes sent for it.
    async fn ask(&self, kind: Kind, one: Stored) -> (Result<Value, Error>, u64) {
        let key = self.key(one.number);
        let mut sent = 0;
        let mut command = if kind == Kind::Gets {
            cmd("IMAGE.GET").arg(&key).take()
        } else {
            let mut payload = self.plan.photos[one.photo].bytes.clone();
            payload.extend(format!("\nredis-image bench {} {}\n", self.run, one.number).bytes());
            sent = payload.len() as u64;
            self.recognize(&key, &payload)
        };
        if let Some(model) = &self.plan.model {
            command.arg("MODEL").arg(model);
        }
        (self.plan.connection.run_within(key.as_bytes(), &command, PATIENCE).await, sent)
    }

    fn recognize(&self, key: &str, payload: &[u8]) -> Cmd {
        cmd("IMAGE.RECOGNIZE")
            .arg(key)
            .arg(payload)
            .arg("TIMEOUT")
            .arg(TIMEOUT.as_millis() as u64)
            .arg("EX")
            .arg((self.plan.time + EXPIRY).as_secs())
            .arg("WITHMETA")
            .take()
    }

    fn key(&self, number: u64) -> String {
        format!("bench:{}:{number}", self.run)
    }

    /// Removes all keys of this run; how many there were. What a node does not answer for is left to expire.
    pub async fn clean(&self) -> (u64, Option<Error>) {
        const AT_ONCE: usize = 500;
        let connection = &self.plan.connection;
        let numbers: Vec<u64> = (0..self.numbers.load(Relaxed)).collect();
        let mut removed = 0;
        let mut gone = HashSet::new();
        let mut first_error = None;
        for some in numbers.chunks(AT_ONCE) {
            let mut commands: Vec<(Vec<u8>, Cmd)> = some
                .iter()
                .map(|number| self.key(*number))
                .map(|key| (key.clone().into_bytes(), cmd("UNLINK").arg(key).take()))
                .collect();
            commands.retain(|(key, _)| !gone.contains(&connection.node_of(key)));
            let replies = connection.run_many(&commands).await;
            for (reply, (key, _)) in replies.into_iter().zip(&commands) {
                match reply {
                    Ok(reply) => removed += u64::from(reply == Value::Int(1)),
                    Err(error) => {
                        gone.insert(connection.node_of(key));
                        first_error.get_or_insert(error);
                    }
                }
            }
        }
        (removed, first_error)
    }
}

async fn send_until(load: Arc<Load>, until: Instant) -> Stats {
    let mut stats = Stats::default();
    let connection = &load.plan.connection;
    while Instant::now() < until && !load.is_interrupted() {
        let sequence = load.sequence.fetch_add(1, Relaxed);
        if sequence >= load.plan.requests {
            break;
        }
        let kind = load.plan.mix.kind(sequence);
        let Some(one) = load.choose(kind, sequence) else { break };
        let begun = Instant::now();
        let (reply, sent) = load.ask(kind, one).await;
        let time = begun.elapsed();
        stats.sent_bytes += sent;
        // As far as known after it: a slot may have moved under the request.
        let node = connection.node_of(load.key(one.number).as_bytes());
        let node = node.map_or("unknown".to_owned(), |node| node.to_string());
        match reply {
            Ok(value) => stats.answered(&node, kind, time, source(kind, &value)),
            Err(error) => {
                stats.failed(&node, kind, error.word());
                let is_full = ["QUEUEFULL", "TIMEOUT"].contains(&error.word());
                if is_temporary(&error) && !is_full {
                    // A failover: who is master now?
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _ = connection.nodes().await;
                }
            }
        }
        load.done.fetch_add(1, Relaxed);
    }
    stats
}

fn source(kind: Kind, reply: &Value) -> String {
    let known = match (kind, reply) {
        (Kind::Gets, Value::Nil) => Some("absent".to_owned()),
        (Kind::Gets, _) => Some("stored".to_owned()),
        _ => map(reply).and_then(|meta| meta.get("source").and_then(|source| text(source))),
    };
    known.unwrap_or_else(|| "unknown".to_owned())
}
