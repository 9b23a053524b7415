//! What a task is: the two traits that its file implements, and what it gives.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::decode::{Background, Detail, Photo};
use crate::embedding::{Embedded, GalleryRules};
use crate::error::{LoadError, RecognitionError};
use crate::json;
use crate::manifest::Graph;
use crate::network::Loading;
use crate::prepare::Scratch;

/// What a task's file declares: its name, its part of the manifest, and how its graphs are loaded.
pub trait TaskKind: 'static {
    /// `task` in the manifest.
    const NAME: &'static str;
    /// Raised whenever the same picture gives another result.
    const REVISION: u32;
    type Manifest: Body;

    fn load(
        manifest: &Self::Manifest,
        labels: &[String],
        loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError>;
}

/// A task's part of the manifest.
pub trait Body: DeserializeOwned + Serialize + Send + Sync {
    fn graphs(&self) -> Vec<&Graph>;

    /// The file of the labels, one a line.
    fn labels(&self) -> Option<&str> {
        None
    }

    /// What galleries need to know; an error says why the model cannot serve them.
    fn gallery(&self) -> Result<GalleryRules, LoadError> {
        Err(LoadError("its task gives no embeddings".to_owned()))
    }

    /// What no loading is needed to refuse.
    fn check(&self, _labels: &[String]) -> Result<(), LoadError> {
        Ok(())
    }
}

/// A task with its graphs loaded.
pub trait Task: Send + Sync {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError>;

    /// How much of a photo's detail it uses. A photo may come decoded at a reduced size that keeps
    /// this; what a result says is about the photo in full.
    fn detail(&self) -> Detail {
        Detail::Full
    }

    /// What transparent photos are laid over.
    fn background(&self) -> Background {
        Background::White
    }

    /// Runs every graph once, so that one that cannot run, or whose output does not fit, is refused
    /// when it is loaded and not at the first photo.
    fn try_out(&self, scratch: &mut Scratch) -> Result<(), RecognitionError> {
        let grey = Photo::new(8, 8, vec![127; 8 * 8 * 3]);
        self.recognize(&grey, scratch).map(drop)
    }
}

/// What a task finds in a photo.
pub struct Outcome {
    /// The result's JSON text (DESIGN: fixed key order, no spaces, never NaN).
    pub json: String,
    /// The same embeddings as in the text, in its order.
    pub embeddings: Vec<Embedded>,
}

impl Outcome {
    /// Of a task that gives no embeddings.
    pub fn of(result: &impl Serialize) -> Result<Outcome, RecognitionError> {
        Ok(Outcome { json: json::text(result)?, embeddings: Vec::new() })
    }
}
