//! `embed`: the whole picture as a vector, for covers and near-duplicates: pictures of the same thing
//! have vectors whose scalar product is near 1.

use serde::{Deserialize, Serialize};

use super::task::{Body, Outcome, Task, TaskKind};
use crate::decode::{Detail, Photo};
use crate::embedding::{Embedded, GalleryManifest, GalleryRules, check_dimensions};
use crate::error::{LoadError, RecognitionError};
use crate::json;
use crate::manifest::Graph;
use crate::network::{Loading, Network};
use crate::prepare::{Scratch, detail};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedManifest {
    graph: EmbedGraphs,
    /// No result depends on it.
    #[serde(skip_serializing)]
    gallery: Option<GalleryManifest>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct EmbedGraphs {
    embed: Graph,
}

pub struct Embed {
    network: Network,
    /// What the manifest says that an embedding has.
    dimensions: Option<usize>,
}

impl Body for EmbedManifest {
    fn graphs(&self) -> Vec<&Graph> {
        vec![&self.graph.embed]
    }

    fn gallery(&self) -> Result<GalleryRules, LoadError> {
        match &self.gallery {
            Some(gallery) => gallery.rules(&(Embed::NAME, PREPARATION, &self.graph.embed)),
            None => Err(LoadError("its model.toml has no [gallery]".to_owned())),
        }
    }

    fn check(&self, _labels: &[String]) -> Result<(), LoadError> {
        self.gallery.as_ref().map_or(Ok(()), GalleryManifest::check)
    }
}

/// Raised whenever the same picture is prepared in another way and so has another embedding.
const PREPARATION: u32 = 1;

impl TaskKind for Embed {
    const NAME: &'static str = "embed";
    const REVISION: u32 = 1;
    type Manifest = EmbedManifest;

    fn load(
        manifest: &EmbedManifest,
        _labels: &[String],
        loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError> {
        let dimensions = manifest.gallery.as_ref().map(|gallery| gallery.dimensions);
        Ok(Box::new(Embed { network: loading.network(&manifest.graph.embed)?, dimensions }))
    }
}

#[derive(Serialize)]
struct Embedding<'a> {
    task: &'static str,
    #[serde(serialize_with = "json::embedding")]
    embedding: &'a [f32],
    dimensions: usize,
    width: u32,
    height: u32,
}

impl Task for Embed {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError> {
        let values = self.network.embedding(photo, scratch)?;
        check_dimensions(values.len(), self.dimensions)?;
        let json = json::text(&Embedding {
            task: Embed::NAME,
            embedding: &values,
            dimensions: values.len(),
            width: photo.full_width,
            height: photo.full_height,
        })?;
        Ok(Outcome { json, embeddings: vec![Embedded { face: None, values }] })
    }

    fn detail(&self) -> Detail {
        detail(&self.network.input)
    }
}
