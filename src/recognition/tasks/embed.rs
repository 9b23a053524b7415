//! `embed`: the whole picture as a vector, for covers and near-duplicates: pictures of the same thing
//! have vectors whose scalar product is near 1.

use serde::{Deserialize, Serialize};

use super::{Body, Task, TaskKind};
use crate::recognition::decode::{Detail, Photo};
use crate::recognition::error::{LoadError, RecognitionError};
use crate::recognition::json;
use crate::recognition::manifest::Graph;
use crate::recognition::network::{Loading, Network};
use crate::recognition::prepare::{Scratch, detail};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedManifest {
    graph: Graphs,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Graphs {
    embed: Graph,
}

pub struct Embed {
    network: Network,
}

impl Body for EmbedManifest {
    fn graphs(&self) -> Vec<&Graph> {
        vec![&self.graph.embed]
    }
}

impl TaskKind for Embed {
    const NAME: &'static str = "embed";
    const REVISION: u32 = 1;
    type Manifest = EmbedManifest;

    fn load(
        manifest: &EmbedManifest,
        _labels: &[String],
        loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError> {
        Ok(Box::new(Embed { network: loading.network(&manifest.graph.embed)? }))
    }
}

#[derive(Serialize)]
struct Embedding {
    task: &'static str,
    #[serde(serialize_with = "json::embedding")]
    embedding: Vec<f32>,
    dimensions: usize,
    width: u32,
    height: u32,
}

impl Task for Embed {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<String, RecognitionError> {
        let embedding = self.network.embedding(photo, scratch)?;
        json::text(&Embedding {
            task: Embed::NAME,
            dimensions: embedding.len(),
            embedding,
            width: photo.full_width,
            height: photo.full_height,
        })
    }

    fn detail(&self) -> Detail {
        detail(&self.network.input)
    }
}
