//! Clients that wait for what becomes of keys: `IMAGE.GET … WAIT` for one key, `IMAGE.WAIT` for many.
//!
//! A wait observes a request for each of its keys. The first request that ends awakens the wait, which
//! is answered in the same turn of the event loop with whatever has ended until then.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::db_key::DbKey;
use crate::digest::Digest;
use crate::ids::RequestId;
use crate::models::ServedModel;
use crate::reply::Reply;

/// Tells one wait from another; never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaitId(pub(super) u64);

/// A client that waits for keys.
pub struct Wait<C> {
    pub client: C,
    pub model: Arc<ServedModel>,
    pub form: ReplyForm,
    pub keys: Vec<Awaited>,
    pub timeout_ms: i64,
    pub since: Instant,
}

/// How the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyForm {
    /// The one result.
    Single,
    /// A list with the state of each key.
    List,
}

/// One key of a wait.
pub struct Awaited {
    pub key: Rc<DbKey>,
    /// Only this picture's result will do.
    pub digest: Option<Digest>,
    pub state: KeyState,
}

/// What is known of an awaited key.
pub enum KeyState {
    /// This request is under way for it.
    Pending(RequestId),
    /// What became of it.
    Ended(Reply),
    /// To be looked up: the request turned out to be for another picture.
    Unsure,
}

/// A wait's interest in a request: which wait, and which of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observer {
    pub(super) wait: WaitId,
    pub(super) position: usize,
}

impl Awaited {
    /// What it costs while it is waited for.
    pub fn memory(&self) -> usize {
        size_of::<Awaited>() + self.key.name.len()
    }
}

impl<C> Wait<C> {
    pub(super) fn memory(&self) -> usize {
        self.keys.iter().map(Awaited::memory).sum()
    }
}
