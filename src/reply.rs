//! What the module's commands answer.

use std::sync::Arc;

use redis_module::RedisString;

use crate::error::Error;
use crate::reload::Fate;

pub enum Reply {
    /// A result's JSON text.
    Text(Arc<str>),
    /// The same, as the server holds it.
    Stored(RedisString),
    Nil,
    Status(&'static str),
    /// A result with what is known about it.
    Meta(Box<Meta>),
    Models(Vec<Model>),
    /// What became of each model.
    Reloaded(Vec<(String, Fate)>),
    Error(Error),
}

/// `WITHMETA`.
pub struct Meta {
    /// `stored`, `computed` or `joined`.
    pub source: &'static str,
    pub sha256: String,
    pub model: String,
    pub version: String,
    /// From the request's acceptance to its reply.
    pub milliseconds: f64,
    pub result: Arc<str>,
}

/// One line of `IMAGE.MODELS`. What a model that is not loaded does not have is empty.
pub struct Model {
    pub name: String,
    /// `ready`, `waiting` (for its first use) or `failed`.
    pub state: &'static str,
    pub task: String,
    pub version: String,
    pub engine: String,
    pub files: Vec<String>,
    /// Bytes of weights.
    pub memory: usize,
    /// Why it cannot be loaded, or why its folder's new content is not served.
    pub error: String,
}
