//! `redis-image status`: every node, what it has and does, and what is wrong.

mod diagnosis;
mod discover;
mod durability;
mod findings;
mod galleries;
mod node;
mod storage;
mod tables;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::connect::{self, Address, Connection};
use crate::error::Error;
use crate::output::print;
use diagnosis::diagnose;
use findings::Findings;
use galleries::Shown;
use node::Node;

/// Show every node: role, models and versions, queue, hit rate, times, and what is wrong
#[derive(Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// Refresh every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,

    /// With --watch, json is one line each time
    #[arg(long, value_enum, default_value = "table")]
    output: StatusOutput,

    /// A gallery that is to hold what the first one named holds; several times
    #[arg(long, value_name = "KEY")]
    gallery: Vec<String>,

    #[command(flatten)]
    connection: connect::Options,
}

const HELP: &str = "\
Examples:
  redis-image status --url redis://cache:6379
  redis-image status --cluster node1:6379,node2:6379 --watch 5
  redis-image status --gallery '{north}:people' --gallery '{south}:people'
  redis-image status --output json | jq -r '.problems[]'

Of one server also its master and all replicas are shown; of a cluster every node. Wrong is: a node that does not \
answer, is loading, or has not loaded the module; a replica without its master; a cluster that does not serve all \
slots; a model that is missing on a node or has another version there; a default model that differs or has failed; a \
gallery that holds other embeddings than the first one; a master with a gallery that it may evict (allkeys-* and a \
maxmemory), or of which nothing is on disk. What only a failover would bring about is a note.

What an ACL user must be allowed: +info +role +image.models +config|get, in a cluster +cluster|shards +cluster|info, for galleries +image.gallery +image.subjects.

Exit status: 0 nothing is wrong, 1 something is wrong, 2 could not work at all.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusOutput {
    Table,
    Json,
}

#[derive(Serialize)]
struct Status {
    nodes: Vec<Node>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    galleries: Vec<Shown>,
    #[serde(flatten)]
    findings: Findings,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    // An outage is what is to be seen, not to be waited for.
    let options = connect::Options { retry_for: 0, ..arguments.connection };
    let connection = Connection::open(&options).await?;
    let mut known = connection.masters();
    loop {
        let status = look(&connection, &mut known, &arguments.gallery).await;
        show(&status, &arguments.output, arguments.watch.is_some())?;
        match arguments.watch {
            None => return Ok(ExitCode::from(u8::from(!status.findings.problems.is_empty()))),
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        }
    }
}

/// `known` are the nodes of the last look: one that has gone is still asked, as it may be why the others can't be had.
async fn look(connection: &Connection, known: &mut Vec<Address>, keys: &[String]) -> Status {
    let listed = connection.nodes().await;
    if let Ok(nodes) = &listed {
        *known = nodes.iter().map(|node| node.address.clone()).collect();
    }
    let mut all = known.clone();
    all.extend(connection.replicas_of_sentinels().await);
    let nodes = discover::all_nodes(connection, all).await;
    let mut findings = diagnose(&nodes);
    if let Err(error) = listed {
        findings.problems.push(format!("the nodes cannot be listed: {error}"));
    }
    let galleries = galleries::look(connection, keys, &mut findings).await;
    Status { nodes, galleries, findings }
}

fn show(status: &Status, output: &StatusOutput, again: bool) -> Result<(), Error> {
    let is_terminal = std::io::stdout().is_terminal();
    match output {
        StatusOutput::Json => {
            print(&serde_json::to_string(status).map_err(|why| Error::usage(why.to_string()))?)
        }
        StatusOutput::Table => {
            // From one look to the next: a clear screen, or an empty line.
            let head = if again && is_terminal { "\x1b[H\x1b[2J" } else { "" };
            let tail = if again && !is_terminal { "\n" } else { "" };
            let galleries = galleries::render(&status.galleries);
            let table = tables::render(&status.nodes, &galleries, &status.findings, is_terminal);
            print(&format!("{head}{}{tail}", table.trim_end()))
        }
    }
}
