//! A request under way, and the client that waits for it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::db_key::DbKey;
use super::gallery_call::GalleryCall;
use super::wait::Observer;
use crate::digest::Digest;
use crate::ids::JobId;
use crate::models::ServedModel;

/// Where a request's result belongs.
#[derive(Clone)]
pub enum Target {
    Key(Rc<DbKey>),
    /// `IMAGE.RECOGNIZE_AUTO`, before the digest is known. Whether this user may use the key that
    /// the digest gives is still to be checked.
    Computed {
        db: i32,
        user: Rc<[u8]>,
    },
    /// No key: a gallery is asked about the picture, or gets a sample of it.
    Gallery(Rc<GalleryCall>),
}

/// A request under way: a picture to be recognised. `C` is what waits, a client of the server.
pub struct Request<C> {
    pub target: Target,
    pub model: Arc<ServedModel>,
    pub digest: Option<Digest>,
    /// Whether the result is stored (`_RO` only reads).
    pub writes: bool,
    /// A stored result does not count: the picture is recognised anew.
    pub refresh: bool,
    /// Time to live that the call gave.
    pub ttl: Option<Duration>,
    /// Wanted even if nobody waits: `NOWAIT`, or its client's time is over.
    pub wanted: bool,
    /// Whether another request's job serves it.
    pub joined: bool,
    pub accepted: Instant,
    /// The client that sent it.
    pub requester: Option<Waiter<C>>,
    /// Waits of other clients that concern it.
    pub observers: Vec<Observer>,
    pub(super) job: Option<JobId>,
    /// Bytes of payload that wait because of it.
    pub(super) payload_bytes: usize,
    /// Bytes that it costs itself, its key included.
    pub(super) own_bytes: usize,
}

/// What a request costs beside its payload and its key, roughly. Joined requests that nobody waits for
/// need no room in the queue; this figure is what bounds them.
pub(super) const REQUEST_BYTES: usize = 512;

impl<C> Request<C> {
    pub fn new(target: Target, model: Arc<ServedModel>, writes: bool) -> Request<C> {
        Request {
            target,
            model,
            digest: None,
            writes,
            refresh: false,
            ttl: None,
            wanted: false,
            joined: false,
            accepted: Instant::now(),
            requester: None,
            observers: Vec::new(),
            job: None,
            payload_bytes: 0,
            own_bytes: 0,
        }
    }

    /// The key that its result belongs to, once it is known.
    pub fn key(&self) -> Option<&Rc<DbKey>> {
        match &self.target {
            Target::Key(key) => Some(key),
            Target::Computed { .. } | Target::Gallery(_) => None,
        }
    }

    pub fn gallery_call(&self) -> Option<&Rc<GalleryCall>> {
        match &self.target {
            Target::Gallery(call) => Some(call),
            Target::Key(_) | Target::Computed { .. } => None,
        }
    }

    /// What it counts for `image.queue-memory`.
    pub fn memory(&self) -> usize {
        self.payload_bytes + self.own_bytes
    }

    pub(super) fn is_abandoned(&self) -> bool {
        !self.wanted && self.requester.is_none() && self.observers.is_empty()
    }
}

/// A client that waits for the request that it sent.
pub struct Waiter<C> {
    pub client: C,
    pub options: ReplyOptions,
    pub timeout_ms: i64,
    pub since: Instant,
}

/// How a client wants its reply.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplyOptions {
    /// The longest list in the result.
    pub top: Option<usize>,
    pub with_meta: bool,
}
