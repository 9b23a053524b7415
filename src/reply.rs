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
    Tree(Tree),
    /// `IMAGE.WAIT`, in the order of its keys.
    Keys(Vec<KeyState>),
    /// What became of each model.
    Reloaded(Vec<(String, Fate)>),
    Error(Error),
}

/// What is told of one key.
pub enum KeyState {
    Pending,
    /// A result, an error, or nil: nothing is stored, and nothing under way.
    Ended(Reply),
}

/// A reply of several parts: maps for RESP3, flat lists for RESP2.
pub enum Tree {
    Text(Vec<u8>),
    Number(i64),
    Decimal(f64),
    Nil,
    List(Vec<Tree>),
    Map(Vec<(&'static str, Tree)>),
}

impl Tree {
    pub fn text(text: impl AsRef<[u8]>) -> Tree {
        Tree::Text(text.as_ref().to_vec())
    }
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
