//! Galleries that are to hold the same, and whether they do.

use super::findings::Findings;
use crate::commands::table::{Table, or_dash};
use crate::connect::Connection;
use crate::error::{Error, printable};
use crate::gallery::{About, Gallery, Sample, difference};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Shown {
    key: String,
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<About>,
    /// Against the first one: nothing if it is the first, or can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<String>,
}

/// The first one counts.
pub async fn look(connection: &Connection, keys: &[String], findings: &mut Findings) -> Vec<Shown> {
    let mut first: Option<(About, Vec<Sample>)> = None;
    let mut all = Vec::new();
    for key in keys {
        let node = connection.node_of(key.as_bytes());
        let node = node.map(|address| address.to_string()).unwrap_or_default();
        let mut shown = Shown { key: key.clone(), node, about: None, drift: None };
        match read(&Gallery::new(connection, key)).await {
            Ok((about, samples)) => {
                shown.about = Some(about.clone());
                match &first {
                    None => first = Some((about, samples)),
                    Some(counts) => {
                        let drift = drift(counts, &(about, samples));
                        if let Some(drift) = &drift {
                            let sentence = format!(
                                "gallery {key} is not in step with {}: {drift}; see `redis-image gallery sync`",
                                keys[0]
                            );
                            findings.problems.push(sentence);
                        }
                        shown.drift = Some(drift.unwrap_or_else(|| "none".to_owned()));
                    }
                }
            }
            Err(error) => findings.problems.push(format!("gallery {key}: {error}")),
        }
        all.push(shown);
    }
    all
}

async fn read(gallery: &Gallery) -> Result<(About, Vec<Sample>), Error> {
    Ok((gallery.about().await?, gallery.samples().await?))
}

fn drift(first: &(About, Vec<Sample>), other: &(About, Vec<Sample>)) -> Option<String> {
    let (one, two) = (&first.0, &other.0);
    if (&one.model, &one.space) != (&two.model, &two.space) {
        return Some(format!(
            "bound to {} {}, not {} {}",
            two.model, two.space, one.model, one.space
        ));
    }
    let difference = difference(&first.1, &other.1);
    (!difference.is_none()).then(|| difference.to_string())
}

pub fn render(galleries: &[Shown]) -> Table {
    let mut table =
        Table::new(["GALLERY", "NODE", "MODEL", "SPACE", "SUBJECTS", "SAMPLES", "DRIFT"]);
    for Shown { key, node, about, drift } in galleries {
        let told = |of: fn(&About) -> String| about.as_ref().map(of).unwrap_or_default();
        table.add([
            printable(key),
            or_dash(node),
            or_dash(&told(|about| about.model.clone())),
            or_dash(&told(|about| about.space.clone())),
            or_dash(&told(|about| about.subjects.to_string())),
            or_dash(&told(|about| about.samples.to_string())),
            or_dash(drift.as_deref().unwrap_or_default()),
        ]);
    }
    table
}
