//! `redis-image bench`: a load of a chosen mix on live servers, and how they bear it.
//!
//! Its keys are `bench:<run>:<number>`, with an expiry, and are removed at the end. A number says all about its request:
//! which photo, and what stands behind the photo's bytes to make its digest one that nobody has sent before.

mod load;
mod mix;
mod photos;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::connect::{self, Connection};
use crate::error::Error;
use crate::output::print;
use crate::stop::{INTERRUPTED, Stop};
use crate::terminal::tell;
use load::Load;
use mix::Mix;

/// Put a load on live servers and measure it, overall and per node
#[derive(Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// Kinds of requests and their weights: hits (a stored result is asked for with the photo), misses (a photo that is
    /// new), gets (a stored result is asked for by its key)
    #[arg(long, value_name = "MIX", default_value = "hits=90,misses=10")]
    mix: Mix,

    /// How long; no longer than an hour
    #[arg(long, value_name = "SECONDS", default_value = "10", conflicts_with = "requests",
          value_parser = clap::value_parser!(u64).range(1..=LONGEST))]
    duration: u64,

    /// So many requests instead, within an hour
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_REQUESTS))]
    requests: Option<u64>,

    /// Requests under way at the same time, each on a connection of its own
    #[arg(long, value_name = "N", default_value = "8",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,

    /// The model; default: the server's own
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// A folder of photos; without it a small made picture, which tells less
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,

    #[arg(long, value_enum, default_value = "table")]
    output: BenchOutput,

    #[command(flatten)]
    connection: connect::Options,
}

const HELP: &str = "\
Examples:
  redis-image bench --photos photos/ --url redis://cache:6379
  redis-image bench --photos photos/ --mix misses=1 --requests 500 --model objects
  redis-image bench --photos photos/ --cluster node1:6379,node2:6379 --duration 60 --concurrency 32 --output json

It is a real load: misses keep the workers busy, and other clients wait behind them. Results are stored under keys \
bench:*, which expire and are removed at the end. Nothing is tried again: an error is counted under its word.

What an ACL user must be allowed: ~bench:* +image.recognize +image.get +unlink, in a cluster +cluster|shards +asking.

Exit status: 0 every request was answered, 1 some failed, 2 could not work at all, 130 interrupted.";

/// Seconds.
const LONGEST: u64 = 3600;
/// Their times are kept in memory.
const MOST_REQUESTS: u64 = 10_000_000;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BenchOutput {
    Table,
    Json,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    // An outage is to be counted, not to be waited for.
    let options = connect::Options { retry_for: 0, ..arguments.connection };
    let photos = match &arguments.photos {
        Some(folder) => photos::read(folder)?,
        None => vec![photos::made()],
    };
    let connection = Connection::open(&options).await?;
    let limit = if arguments.requests.is_some() { LONGEST } else { arguments.duration };
    let load = Arc::new(Load::new(load::Plan {
        connection,
        photos,
        mix: arguments.mix.clone(),
        model: arguments.model,
        concurrency: usize::from(arguments.concurrency),
        requests: arguments.requests.unwrap_or(MOST_REQUESTS),
        time: Duration::from_secs(limit),
        stop: Stop::listen(),
    }));
    let progress = tokio::spawn(show_progress(load.clone()));
    let outcome = measure(&load).await;
    progress.abort();
    let (removed, not_removed) = load.clean().await;
    let (prepared, report) = outcome?;
    for name in &prepared.refused {
        tell(&format!("redis-image: {name} is left out: the server refuses it"));
    }
    if arguments.output == BenchOutput::Json {
        let mut json = serde_json::json!(report);
        json["mix"] = arguments.mix.to_string().into();
        json["prepared"] = prepared.stored.into();
        json["removed"] = removed.into();
        print(&json.to_string())?;
    } else {
        print(report.table().trim_end())?;
    }
    if let Some(error) = not_removed {
        tell(&format!(
            "redis-image: some keys bench:* could not be removed, they will expire: {error}"
        ));
    }
    Ok(if load.is_interrupted() {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::from(u8::from(!report.figures.errors.is_empty()))
    })
}

async fn measure(load: &Arc<Load>) -> Result<(load::Prepared, stats::BenchReport), Error> {
    let prepared = load.prepare().await?;
    Ok((prepared, load.run().await))
}

/// On standard error, and only if that is a terminal.
async fn show_progress(load: Arc<Load>) {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {pos} requests, {per_sec}, {elapsed}")
    {
        bar.set_style(style);
    }
    loop {
        bar.set_position(load.done.load(Relaxed));
        bar.tick();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
