//! `redis-image gallery sync FROM TO…`: the galleries of all groups hold what one of them holds.

use crate::connect::{self, Connection};
use crate::error::{Error, printable};
use crate::gallery::{About, Difference, Gallery, Sample, difference};
use crate::output::print;
use crate::terminal::tell;
use clap::Args;
use std::process::ExitCode;

/// Enrol in other galleries what one gallery holds, on whatever nodes they are
#[derive(Args)]
#[command(after_long_help = "\
What is compared is whose embeddings they hold; ids of samples are each gallery's own. Without --prune what the others have
besides stays. `redis-image status --gallery FROM --gallery TO …` shows whether they are in step.

Exit status: 0 in step, 1 with --check: they differ, or one of them could not be brought in step (the others are), 2 could
not work at all.")]
pub struct Arguments {
    /// The gallery that counts
    #[arg(value_name = "FROM")]
    from: String,

    /// Those that are to hold the same
    #[arg(required = true, value_name = "TO")]
    to: Vec<String>,

    /// Forget in the others what the first has not
    #[arg(long)]
    prune: bool,

    /// Change nothing, tell only
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    connection: connect::Options,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let connection = Connection::open(&arguments.connection).await?;
    let from = Gallery::new(&connection, &arguments.from);
    let about = from.about().await?;
    let samples = from.samples().await?;
    let mut all_well = true;
    for key in &arguments.to {
        let to = Gallery::new(&connection, key);
        // One group that can't be had keeps no other from its people.
        all_well &= match bring_in_step(&arguments, &to, &about, &samples).await {
            Ok(is_well) => is_well,
            Err(error) => {
                tell(&format!("redis-image: {}: {error}", printable(key)));
                false
            }
        };
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Whether all that was to be done could be; with `--check` whether nothing is to be done.
async fn bring_in_step(
    arguments: &Arguments,
    to: &Gallery,
    about: &About,
    samples: &[Sample],
) -> Result<bool, Error> {
    let differs = compare(to, about, samples).await?;
    let name = printable(to.key());
    if arguments.check {
        print(&match differs.is_none() {
            true => format!("{name}: in step"),
            false => format!("{name}: {differs}"),
        })?;
        return Ok(differs.is_none());
    }
    // An empty gallery is told from none.
    to.bind(&About { next_sample: 1, ..about.clone() }).await?;
    // With ids of its own, so that what is sent twice, after a connection that broke, is enrolled once.
    let first = to.about().await?.next_sample;
    let missing: Vec<Sample> = (first..)
        .zip(&differs.missing)
        .map(|(id, sample)| Sample { id, ..sample.clone() })
        .collect();
    let (enrolled, refused) = to.restore(about, &missing).await;
    let (forgotten, kept) = match arguments.prune {
        true => to.forget_samples(&differs.extra).await,
        false => (0, None),
    };
    let left = differs.extra.len() - forgotten;
    let from = printable(&arguments.from);
    print(&format!(
        "{name}: {enrolled} enrolled, {forgotten} forgotten, {left} more than in {from}"
    ))?;
    let is_well = refused.is_none() && kept.is_none();
    for error in [refused, kept].into_iter().flatten() {
        tell(&format!("redis-image: {name}: {error}"));
    }
    Ok(is_well)
}

async fn compare(to: &Gallery, about: &About, samples: &[Sample]) -> Result<Difference, Error> {
    let Some(found) = to.about_if_any().await? else { return Ok(difference(samples, &[])) };
    if (&found.model, &found.space) != (&about.model, &about.space) {
        return Err(Error::usage(format!(
            "{} is bound to model {}, space {}, not to {}, {}: their embeddings don't compare; delete it or enrol anew",
            to.key(),
            found.model,
            found.space,
            about.model,
            about.space
        )));
    }
    Ok(difference(samples, &to.samples().await?))
}
