//! `redis-image gallery list` and `forget`.

use super::place::GalleryPlace;
use crate::commands::table::{Table, bytes};
use crate::connect::{Connection, map, text};
use crate::error::Error;
use crate::gallery::Gallery;
use crate::output::print;
use clap::Args;
use redis::{Value, cmd};
use serde_json::json;
use std::process::ExitCode;

/// List the subjects of a gallery
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    place: GalleryPlace,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let connection = Connection::open(&arguments.place.connection).await?;
    let gallery = Gallery::new(&connection, &arguments.place.gallery);
    let about = gallery.about().await?;
    let subjects = gallery.subjects().await?;
    if arguments.json {
        let subjects: serde_json::Map<_, _> =
            subjects.into_iter().map(|(name, samples)| (name, samples.into())).collect();
        let shown = json!({ "gallery": gallery.key(), "about": about, "subjects": subjects });
        print(&shown.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["SUBJECT", "SAMPLES"]);
    for (name, samples) in subjects {
        table.add([crate::error::printable(&name), samples.to_string()]);
    }
    print(table.to_string().trim_end())?;
    let vectors = about.samples * about.dimensions * 4;
    print(&format!(
        "{} subjects, {} samples of model {}, space {}, {} dimensions ({} of embeddings)",
        about.subjects,
        about.samples,
        about.model,
        about.space,
        about.dimensions,
        bytes(vectors)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Forget a subject, or one of its samples, and say what that can't reach
#[derive(Args)]
pub struct Forget {
    #[command(flatten)]
    place: GalleryPlace,

    /// The subject's name
    #[arg(value_name = "SUBJECT")]
    subject: String,

    /// Only this sample
    #[arg(long, value_name = "ID")]
    sample: Option<u64>,
}

pub async fn forget(arguments: Forget) -> Result<ExitCode, Error> {
    let connection = Connection::open(&arguments.place.connection).await?;
    let gallery = Gallery::new(&connection, &arguments.place.gallery);
    let mut command = cmd("IMAGE.FORGET");
    command.arg(gallery.key()).arg(&arguments.subject);
    if let Some(sample) = arguments.sample {
        command.arg(sample);
    }
    let reply = gallery.run(&command).await?;
    let fields = map(&reply).unwrap_or_default();
    let field = |name: &str| fields.get(name).and_then(|value| text(value)).unwrap_or_default();
    let (forgotten, left) = (field("forgotten"), field("samples_left"));
    let samples = if forgotten == "1" { "sample" } else { "samples" };
    print(&format!("{forgotten} {samples} forgotten, {left} left"))?;
    if let Some(Value::Array(places)) = fields.get("not_reached") {
        print("not reached:")?;
        for place in places.iter().filter_map(text) {
            print(&format!("  {place}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
