//! Calls that wait for a search, or for their embedding to be written. The main thread's alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use recognition::embedding::Embedded;

use super::{Call, Purpose};
use crate::in_flight::{self, Waiter};
use crate::metrics::METRICS;
use crate::server::blocked::ClientId;

/// Tells one open call from another; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(u64);

/// A call with its embeddings, whose client waits.
pub struct Open {
    pub call: Rc<Call>,
    pub waiter: Waiter,
    /// What a picture or a vector holds; of an enrolment the one face.
    pub found: Arc<[Embedded]>,
    pub searches: usize,
    /// What an enrolment's reply warns of.
    pub warning: Option<String>,
    _room: Room,
}

impl Open {
    pub fn new(call: Rc<Call>, waiter: Waiter, bytes: usize, found: Arc<[Embedded]>) -> Open {
        Open { call, waiter, found, searches: 0, warning: None, _room: Room::take(bytes) }
    }
}

/// Bytes of the call's arguments, which the server keeps as long as the client waits.
struct Room(usize);

impl Room {
    fn take(bytes: usize) -> Room {
        in_flight::with(|in_flight| in_flight.add_bytes(bytes));
        Room(bytes)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        in_flight::with(|in_flight| in_flight.remove_bytes(self.0));
    }
}

#[derive(Default)]
struct Calls {
    last: u64,
    open: HashMap<CallId, Open>,
    clients: HashMap<ClientId, CallId>,
}

thread_local! {
    /// No destructor is wanted: at the process's end clients are the server's matter.
    static CALLS: ManuallyDrop<RefCell<Calls>> = ManuallyDrop::new(RefCell::default());
}

fn with<T>(body: impl FnOnce(&mut Calls) -> T) -> T {
    CALLS.with(|calls| {
        let calls = &mut *calls.borrow_mut();
        let result = body(calls);
        METRICS.gallery_calls.store(calls.open.len() as u64, Relaxed);
        result
    })
}

pub fn put(open: Open) -> CallId {
    with(|calls| {
        calls.last += 1;
        let id = CallId(calls.last);
        calls.clients.insert(open.waiter.client.id(), id);
        calls.open.insert(id, open);
        id
    })
}

/// None if its client has gone meanwhile.
pub fn take(id: CallId) -> Option<Open> {
    with(|calls| {
        let open = calls.open.remove(&id)?;
        calls.clients.remove(&open.waiter.client.id());
        Some(open)
    })
}

/// How many queries a call has; none if its client has gone meanwhile.
pub fn queries(id: CallId) -> Option<usize> {
    with(|calls| calls.open.get(&id).map(|open| open.found.len()))
}

fn take_of(client: ClientId) -> Option<Open> {
    let id = with(|calls| calls.clients.get(&client).copied())?;
    take(id)
}

/// A client's time is over: its call ends with it.
pub fn timed_out(client: ClientId) -> Option<(Waiter, Rc<Call>)> {
    take_of(client).map(|open| (open.waiter, open.call))
}

/// A client has gone, and its call with it.
pub fn disconnected(client: ClientId) -> Option<Waiter> {
    take_of(client).map(|open| open.waiter)
}

impl Call {
    /// What its client is told when its time is over.
    pub fn late(&self) -> &'static str {
        match self.purpose {
            Purpose::Enrol { .. } => "nothing was enrolled; try again",
            Purpose::Identify { .. } | Purpose::Verify { .. } => "ask again",
        }
    }
}
