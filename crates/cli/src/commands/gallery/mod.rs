//! `redis-image gallery …`: enrol people or covers, ask who somebody is, keep galleries in step.

mod enrol;
mod evaluate;
mod identify;
mod list;
mod place;
mod plot;
mod sync;
mod transfer;

use crate::error::Error;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Galleries of known faces or covers: enrol, identify, export, keep in step
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  redis-image gallery enrol '{north}:people' staff/              a folder per person
  redis-image gallery identify '{north}:people' visitors/*.jpg
  redis-image gallery list '{north}:people'
  redis-image gallery forget '{north}:people' alice
  redis-image gallery export '{north}:people' > people.jsonl
  redis-image gallery import '{south}:people' people.jsonl
  redis-image gallery sync '{north}:people' '{south}:people' '{west}:people' --prune
  redis-image gallery evaluate pairs.csv --plot curve.svg

What an ACL user must be allowed on the gallery's key, say '~{north}:people':
  to enrol: +image.enroll +image.gallery   to ask: +image.identify +image.gallery
  to forget: +image.forget
  to export, import, list, sync: +image.subjects +image.gallery +image.bind +image.enroll +image.forget
and to ask with photos, for their results are stored: '~image:*' +image.recognize +image.get +image.models
In a cluster also: '+cluster|shards' +asking
Who may call IMAGE.SUBJECTS may read the embeddings.

Exit status: 0 all done, 1 some of it failed or differs, 2 could not work at all.")]
pub struct Arguments {
    #[command(subcommand)]
    action: GalleryAction,
}

#[derive(Subcommand)]
enum GalleryAction {
    Enrol(enrol::Arguments),
    Identify(identify::Arguments),
    List(list::Arguments),
    Forget(list::Forget),
    Export(transfer::Export),
    Import(transfer::Import),
    Sync(sync::Arguments),
    Evaluate(evaluate::Arguments),
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    match arguments.action {
        GalleryAction::Enrol(arguments) => enrol::run(arguments).await,
        GalleryAction::Identify(arguments) => identify::run(arguments).await,
        GalleryAction::List(arguments) => list::run(arguments).await,
        GalleryAction::Forget(arguments) => list::forget(arguments).await,
        GalleryAction::Export(arguments) => transfer::export(arguments).await,
        GalleryAction::Import(arguments) => transfer::import(arguments).await,
        GalleryAction::Sync(arguments) => sync::run(arguments).await,
        GalleryAction::Evaluate(arguments) => evaluate::run(arguments).await,
    }
}
