//! `redis-image watch`: a camera's folder, or a stream of its frames. It goes on until it is told to stop, and outlives
//! every failure of a node: what can't be answered now is tried again for as long as it takes.

mod entry;
mod folder;
mod recent;
mod retry_forever;
mod settled_files;
mod stream;

use crate::connect::{self, Connection};
use crate::error::Error;
use crate::gallery::Gallery;
use crate::recognizer::{self, Recognizer};
use crate::stop::Stop;
use clap::Args;
use retry_forever::RetryForever;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Recognise what a camera puts into a folder or a stream, as it arrives
#[derive(Args)]
#[command(after_long_help = "\
A folder: each photo is recognised once it is completely written (closed, or moved into place),
those that lie there at the start as well. Standard output gets a line of JSON for each:
{\"path\",\"sha256\",\"source\",\"result\"} or {\"path\",\"sha256\",\"error\"}.

A stream: each entry is a frame with the field `image` (the file's bytes) and, if need be,
`camera`, `key` (where the result is stored), `model`. For each the stream of results gets an
entry with `id` (the frame's), `camera`, `sha256`, `key`, and `source` and `result` (with
--gallery also `people`: who is in it), or `error`. Only then the frame is acknowledged: whatever
is killed, no frame is lost. One may be told twice; its id tells. Several consumers of one group
share the work, and take over what one of them left.

Examples:
  redis-image watch /srv/camera
  redis-image watch /mnt/nfs/camera --poll 5 --model objects --cluster node1:6379,node2:6379
  redis-image watch --stream '{door}:frames' --group recognition --consumer host1 --results '{door}:found'
  redis-image watch --stream '{north}:frames' --group g --consumer c --results '{north}:found' \
      --gallery '{north}:people' --ex 86400
  redis-cli -x XADD '{door}:frames' '*' camera door image < still.jpg

In a cluster both streams must lie in one slot, which the hash tag in braces brings about: so that a result fails over
together with the acknowledgement of its frame.

What an ACL user must be allowed, for a stream besides what `recognize` needs:
  ACL SETUSER tool '~frames' '~found' '+xgroup|create' +xreadgroup +xautoclaim +xack +xadd
and with --gallery:
  ACL SETUSER tool '~{north}:people' +image.identify +image.gallery

Exit status: 0 told to stop, 2 could not work at all; with --existing-only as `recognize`.")]
pub struct Arguments {
    /// The folder, with all folders in it
    #[arg(value_name = "DIR", conflicts_with = "stream")]
    folder: Option<PathBuf>,

    #[command(flatten)]
    arrival: folder::FolderOptions,

    #[command(flatten)]
    frames: stream::StreamOptions,

    #[command(flatten)]
    recognition: recognizer::RecognizeOptions,

    #[command(flatten)]
    connection: connect::Options,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let stop = Stop::listen();
    let workers = usize::from(arguments.recognition.concurrency);
    let Some(connection) = stop.unless(Connection::open(&arguments.connection)).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let connection = connection?;
    let mut recognition = arguments.recognition;
    if let Some(gallery) = arguments.frames.gallery() {
        let model = Gallery::new(&connection, gallery).about().await?.model;
        match &recognition.model {
            Some(other) if *other != model => {
                let sentence = format!("{gallery} is a gallery of the model {model}, not {other}");
                return Err(Error::usage(sentence));
            }
            _ => recognition.model = Some(model),
        }
    }
    let recognizer = Recognizer::new(connection, recognition, false);
    recognizer.check().await?;
    let recognizer = Arc::new(RetryForever::new(recognizer, stop.clone()));
    match (arguments.folder, arguments.frames.names()) {
        (_, Some(names)) => {
            stream::consume(recognizer, names, &arguments.frames, workers, stop).await
        }
        (Some(folder), None) => {
            folder::watch(recognizer, folder, arguments.arrival, workers, stop).await
        }
        (None, None) => {
            Err(Error::usage("give a folder, or --stream with --group, --consumer and --results"))
        }
    }
}
