//! Clients that wait for what becomes of keys: `IMAGE.GET … WAIT` for one key, `IMAGE.WAIT` for many.
//!
//! A wait observes a request for each of its keys. The first that ends awakens the wait; it is answered
//! in the same turn of the event loop, by [`crate::waits`], with whatever has ended until then.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::{InFlight, Party, Place, RequestId};
use crate::digest::Digest;
use crate::models::ServedModel;
use crate::reply::Reply;
use crate::server::blocked::Client;

/// Tells one wait from another; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaitId(u64);

/// A client that waits for keys.
pub struct Wait {
    pub client: Client,
    pub model: Arc<ServedModel>,
    pub form: Form,
    pub keys: Vec<Awaited>,
    pub timeout_ms: i64,
    pub since: Instant,
}

/// How the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The one result.
    Single,
    /// A list with the state of each key.
    List,
}

/// One key of a wait.
pub struct Awaited {
    pub place: Rc<Place>,
    /// Only this picture's result will do.
    pub digest: Option<Digest>,
    pub state: State,
}

/// What is known of an awaited key.
pub enum State {
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
    wait: WaitId,
    key: usize,
}

/// A client that waits no longer.
pub enum Left {
    Asker(super::Waiter),
    Wait(Wait),
}

impl Left {
    pub fn client(self) -> Client {
        match self {
            Left::Asker(waiter) => waiter.client,
            Left::Wait(wait) => wait.client,
        }
    }
}

impl Awaited {
    /// What it costs while it is waited for.
    pub fn bytes(&self) -> usize {
        size_of::<Awaited>() + self.place.key.len()
    }
}

impl Wait {
    fn bytes(&self) -> usize {
        self.keys.iter().map(Awaited::bytes).sum()
    }
}

impl InFlight {
    /// Lets a client wait for keys, some of which are pending.
    pub fn wait_for(&mut self, wait: Wait) {
        self.last += 1;
        let id = WaitId(self.last);
        for (position, key) in wait.keys.iter().enumerate() {
            if let State::Pending(request) = key.state
                && let Some(request) = self.requests.get_mut(&request)
            {
                request.observers.push(Observer { wait: id, key: position });
            }
        }
        self.clients.insert(wait.client.id(), Party::Wait(id));
        self.bytes += wait.bytes();
        self.waits.insert(id, wait);
        self.publish();
    }

    pub(super) fn is_misled(&self, observer: &Observer, digest: Digest) -> bool {
        let key = self.waits.get(&observer.wait).and_then(|wait| wait.keys.get(observer.key));
        key.and_then(|key| key.digest).is_some_and(|wanted| wanted != digest)
    }

    /// Tells those who observed a request what became of it; none: each has to look again.
    pub fn awaken(&mut self, observers: &[Observer], ended: Option<&dyn Fn() -> Reply>) {
        for observer in observers {
            let wait = self.waits.get_mut(&observer.wait);
            let Some(key) = wait.and_then(|wait| wait.keys.get_mut(observer.key)) else { continue };
            key.state = ended.map_or(State::Unsure, |ended| State::Ended(ended()));
            if !self.awakened.contains(&observer.wait) {
                self.awakened.push(observer.wait);
            }
        }
    }

    pub fn has_awakened(&self) -> bool {
        !self.awakened.is_empty()
    }

    /// Takes a wait that has something to tell.
    pub fn take_awakened(&mut self) -> Option<Wait> {
        while let Some(id) = self.awakened.pop() {
            // None: its client has gone, or its time is over.
            if let Some(wait) = self.end_wait(id) {
                self.clients.remove(&wait.client.id());
                self.publish();
                return Some(wait);
            }
        }
        None
    }

    /// Ends a wait whose client is about to be answered: it will ask again for what is pending.
    pub(super) fn end_wait(&mut self, id: WaitId) -> Option<Wait> {
        let wait = self.waits.remove(&id)?;
        for request in self.stop_observing(id, &wait) {
            if let Some(request) = self.requests.get_mut(&request) {
                request.wanted |= request.writes;
            }
        }
        Some(wait)
    }

    /// Ends a wait whose client has gone.
    pub(super) fn abandon_wait(&mut self, id: WaitId) -> Option<Wait> {
        let wait = self.waits.remove(&id)?;
        for request in self.stop_observing(id, &wait) {
            self.drop_if_abandoned(request);
        }
        self.publish();
        Some(wait)
    }

    fn stop_observing(&mut self, id: WaitId, wait: &Wait) -> Vec<RequestId> {
        self.bytes -= wait.bytes();
        let pending = wait.keys.iter().filter_map(|key| match key.state {
            State::Pending(request) => Some(request),
            State::Ended(_) | State::Unsure => None,
        });
        let pending: Vec<RequestId> = pending.collect();
        for request in &pending {
            if let Some(request) = self.requests.get_mut(request) {
                request.observers.retain(|observer| observer.wait != id);
            }
        }
        pending
    }
}
