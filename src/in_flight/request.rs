//! A request under way, and who waits for it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_module::RedisString;

use super::Observer;
use crate::digest::Digest;
use crate::galleries::Call;
use crate::models::ServedModel;
use crate::queue::JobId;
use crate::server::blocked::Client;

/// Of two requests the larger is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// A key in a database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub db: i32,
    pub key: Vec<u8>,
}

/// Where a request's result belongs.
#[derive(Clone)]
pub enum Target {
    Named(Rc<Place>),
    /// `IMAGE.RECOGNIZE_AUTO`, before the digest is known. The user's rights on the key that will
    /// be computed are still to be checked.
    Computed {
        db: i32,
        user: Rc<RedisString>,
    },
    /// No key: a gallery is asked about the picture, or gets a sample of it.
    Gallery(Rc<Call>),
}

/// A request under way: a picture to be recognised.
pub struct Request {
    pub target: Target,
    pub model: Arc<ServedModel>,
    pub digest: Option<Digest>,
    /// Whether the result is stored (`_RO` only reads).
    pub writes: bool,
    pub refresh: bool,
    /// Time to live that the call gave.
    pub ttl: Option<Duration>,
    /// Wanted even if nobody waits: `NOWAIT`, or its client's time is over.
    pub wanted: bool,
    /// Whether another request's job serves it.
    pub joined: bool,
    pub accepted: Instant,
    /// The client that sent it.
    pub asker: Option<Waiter>,
    /// Others that wait for it.
    pub observers: Vec<Observer>,
    pub(super) job: Option<JobId>,
    /// Bytes of payload that wait because of it.
    pub(super) payload_bytes: usize,
    /// Bytes that it costs itself, key included.
    pub(super) own_bytes: usize,
}

/// What a request costs beside its payload and its key, roughly: joined requests that nobody waits
/// for need no place in the queue, and this is what bounds them.
pub(super) const REQUEST_BYTES: usize = 512;

impl Request {
    pub fn new(target: Target, model: Arc<ServedModel>, writes: bool) -> Request {
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
            asker: None,
            observers: Vec::new(),
            job: None,
            payload_bytes: 0,
            own_bytes: 0,
        }
    }

    pub fn place(&self) -> Option<&Rc<Place>> {
        match &self.target {
            Target::Named(place) => Some(place),
            Target::Computed { .. } | Target::Gallery(_) => None,
        }
    }

    pub fn call(&self) -> Option<&Rc<Call>> {
        match &self.target {
            Target::Gallery(call) => Some(call),
            Target::Named(_) | Target::Computed { .. } => None,
        }
    }

    /// What it counts for `image.queue-memory`.
    pub fn bytes(&self) -> usize {
        self.payload_bytes + self.own_bytes
    }

    pub(super) fn is_abandoned(&self) -> bool {
        !self.wanted && self.asker.is_none() && self.observers.is_empty()
    }
}

/// A client that waits for the request that it sent.
pub struct Waiter {
    pub client: Client,
    pub shape: Shape,
    pub timeout_ms: i64,
    pub since: Instant,
}

/// How a client wants its reply.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape {
    pub top: Option<usize>,
    pub with_meta: bool,
}
