//! `redis-image`: sends folders, cameras and streams of photos to Redis servers with the module redis-image. A table of
//! contents: each subcommand is a file in `commands/`, all of them reach the servers through `connect`.

#![warn(clippy::print_stderr)]

mod commands;
mod connect;
mod digest;
mod error;
mod files;
mod gallery;
mod output;
mod recognizer;
mod report;
mod stop;
mod summary;
mod terminal;

use clap::{CommandFactory, Parser, Subcommand};
use commands::{annotate, bench, completions, gallery as galleries, models, recognize, status};
use commands::{stocktake, watch};
use error::{COULD_NOT_WORK, Error};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "redis-image", version, about, long_about = None, after_long_help = HELP)]
#[command(propagate_version = true, arg_required_else_help = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Recognize(recognize::Arguments),
    Watch(watch::Arguments),
    Annotate(annotate::Arguments),
    Gallery(galleries::Arguments),
    Stocktake(stocktake::Arguments),
    Status(status::Arguments),
    Bench(bench::Arguments),
    Models(models::Arguments),
    Completions(completions::Arguments),
}

async fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Recognize(arguments) => recognize::run(arguments).await,
        Command::Watch(arguments) => watch::run(arguments).await,
        Command::Annotate(arguments) => Ok(annotate::run(&arguments)),
        Command::Gallery(arguments) => galleries::run(arguments).await,
        Command::Stocktake(arguments) => stocktake::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Bench(arguments) => bench::run(arguments).await,
        Command::Models(arguments) => models::run(arguments).await,
        Command::Completions(arguments) => completions::run(&arguments, Program::command()),
    }
}

const HELP: &str = "\
Examples:
  redis-image recognize photos/
  redis-image recognize 'photos/**/*.jpg' --model objects --output json > found.jsonl
  redis-image watch /srv/camera --cluster node1:6379,node2:6379
  redis-image models fetch
  redis-image status --url redis://cache:6379 --watch
  export REDIS_IMAGE_PASSWORD=secret
  redis-image recognize photos/ --url rediss://tool@cache:6379 --tls-ca ca.pem

What an ACL user of this tool must be allowed (the commands' own help says what they need besides):
  ACL SETUSER tool on '>secret' '~image:*' resetchannels -@all
  ACL SETUSER tool +image.recognize +image.get +image.models
  In a cluster also: '+cluster|shards' +asking

Exit status: 0 all done, 1 some of it failed, 2 could not work at all, 130 interrupted.";

fn main() -> ExitCode {
    let program = Program::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(program.command)),
        Err(why) => Err(Error::usage(format!("no threads to work with: {why}"))),
    };
    outcome.unwrap_or_else(|error| {
        terminal::tell(&format!("redis-image: {error}"));
        ExitCode::from(COULD_NOT_WORK)
    })
}
