//! Calls to galleries that have their embeddings: their clients wait for a search, or for an enrolment
//! to be written. The main thread's alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use recognition::embedding::Embedded;

use crate::ids::CallId;
use crate::in_flight::{self, GalleryCall, Waiter};
use crate::metrics::METRICS;
use crate::server::blocked::ClientId;

/// A call with its embeddings, whose client waits.
pub struct PendingCall {
    pub call: Rc<GalleryCall>,
    pub waiter: Waiter,
    /// What a picture or a vector holds; of an enrolment the one face.
    pub found: Arc<[Embedded]>,
    /// Searches that were done for the call.
    pub searches: usize,
    /// What an enrolment's reply warns of.
    pub warning: Option<String>,
    _memory: MemoryReservation,
}

impl PendingCall {
    /// `bytes` is the size of the call's arguments, which the server keeps as long as the client waits.
    pub fn new(
        call: Rc<GalleryCall>,
        waiter: Waiter,
        bytes: usize,
        found: Arc<[Embedded]>,
    ) -> PendingCall {
        let memory = MemoryReservation::new(bytes);
        PendingCall { call, waiter, found, searches: 0, warning: None, _memory: memory }
    }
}

/// Bytes that count for `image.queue-memory`.
struct MemoryReservation(usize);

impl MemoryReservation {
    fn new(bytes: usize) -> MemoryReservation {
        in_flight::with(|in_flight| in_flight.add_bytes(bytes));
        MemoryReservation(bytes)
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        in_flight::with(|in_flight| in_flight.remove_bytes(self.0));
    }
}

#[derive(Default)]
struct PendingCalls {
    last: u64,
    calls: HashMap<CallId, PendingCall>,
    clients: HashMap<ClientId, CallId>,
}

thread_local! {
    /// No destructor is wanted: at the process's end clients are the server's matter.
    static PENDING: ManuallyDrop<RefCell<PendingCalls>> = ManuallyDrop::new(RefCell::default());
}

fn with<T>(body: impl FnOnce(&mut PendingCalls) -> T) -> T {
    PENDING.with(|pending| {
        let pending = &mut *pending.borrow_mut();
        let result = body(pending);
        METRICS.gallery_calls.store(pending.calls.len() as u64, Relaxed);
        result
    })
}

pub fn put(call: PendingCall) -> CallId {
    with(|pending| {
        pending.last += 1;
        let id = CallId(pending.last);
        pending.clients.insert(call.waiter.client.id(), id);
        pending.calls.insert(id, call);
        id
    })
}

/// None if its client has gone, or was told that its time is over.
pub fn take(id: CallId) -> Option<PendingCall> {
    with(|pending| {
        let call = pending.calls.remove(&id)?;
        pending.clients.remove(&call.waiter.client.id());
        Some(call)
    })
}

/// How many queries a call has; none if it is not pending any more.
pub fn query_count(id: CallId) -> Option<usize> {
    with(|pending| pending.calls.get(&id).map(|call| call.found.len()))
}

fn take_of(client: ClientId) -> Option<PendingCall> {
    let id = with(|pending| pending.clients.get(&client).copied())?;
    take(id)
}

/// A client's time is over, and its call ends with it.
pub fn timed_out(client: ClientId) -> Option<(Waiter, Rc<GalleryCall>)> {
    take_of(client).map(|pending| (pending.waiter, pending.call))
}

/// A client has gone, and its call with it.
pub fn disconnected(client: ClientId) -> Option<Waiter> {
    take_of(client).map(|pending| pending.waiter)
}
