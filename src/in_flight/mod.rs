//! What is under way: requests, the jobs that they share, the clients that wait for them. The main
//! thread's alone, so without a lock.
//!
//! A **request** is one accepted `IMAGE.RECOGNIZE`, or a call to a gallery with a picture. First its
//! payload may have to be hashed; then, if nothing is known of the picture, the request belongs to a
//! **job**, together with every other request for the same digest and model (single flight). A request
//! ends with its job, even when its own client has left. Numbers of requests grow: of two for one key
//! the larger is the newer.
//!
//! The state machine is [`single_flight`], with [`history`] and [`waits`]; it is tested without a server.
//! This file is the thin part around it: the main thread's only instance, the queue of the workers, and
//! what INFO shows.

pub mod admission;
mod db_key;
mod gallery_call;
mod history;
mod request;
mod single_flight;
#[cfg(test)]
mod tests;
mod wait;
mod waits;

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

pub use db_key::DbKey;
pub use gallery_call::{GalleryCall, Purpose};
pub use request::{ReplyOptions, Target};
pub use single_flight::{Departed, Flight};
pub use wait::{Awaited, KeyState, Observer, ReplyForm};

use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::ids::{JobId, RequestId};
use crate::metrics::METRICS;
use crate::server::blocked::{Client, ClientId};
use crate::server::payload::Payload;
use crate::settings;
use crate::workers::queue::{self, Work};
use single_flight::WaitingClient;

pub type InFlight = single_flight::SingleFlight<Client>;
pub type Request = request::Request<Client>;
pub type Waiter = request::Waiter<Client>;
pub type Wait = wait::Wait<Client>;

impl WaitingClient for Client {
    fn id(&self) -> ClientId {
        Client::id(self)
    }
}

thread_local! {
    /// No destructor is wanted: at the process's end clients and strings are the server's matter.
    static IN_FLIGHT: ManuallyDrop<RefCell<InFlight>> = ManuallyDrop::new(RefCell::default());
}

/// Lends what is under way. The body must not come back here, and cannot: no function of `server` that
/// unblocks a client does.
pub fn with<T>(body: impl FnOnce(&mut InFlight) -> T) -> T {
    IN_FLIGHT.with(|in_flight| {
        let in_flight = &mut *in_flight.borrow_mut();
        let result = body(in_flight);
        METRICS.queue_bytes.store(in_flight.waiting_bytes() as u64, Relaxed);
        METRICS.waiting_clients.store(in_flight.waiting_clients() as u64, Relaxed);
        METRICS.requests.store(in_flight.request_count() as u64, Relaxed);
        result
    })
}

/// Takes up a request, with the bytes of its payload.
///
/// # Errors
/// `QUEUEFULL` if too much waits already (`image.queue-memory`).
pub fn accept(request: Request, payload_bytes: usize) -> Result<RequestId, Error> {
    let limit = settings::queue_memory();
    let accepted = with(|in_flight| in_flight.accept(request, payload_bytes, limit));
    accepted.inspect_err(|_| METRICS.refused.increment())
}

/// `QUEUEFULL` if so many bytes more are too much.
pub fn check_room(bytes: usize) -> Result<(), Error> {
    let limit = settings::queue_memory();
    let checked = with(|in_flight| in_flight.check_room(bytes, limit));
    checked.inspect_err(|_| METRICS.refused.increment())
}

/// Gives an accepted request a job: one under way for the same digest and model, or a new one in the
/// queue. `client_comes` says that the request's client is attached afterwards.
///
/// # Errors
/// `QUEUEFULL` if the queue has no room. The request is still there, without a job.
pub fn join_or_enqueue(
    id: RequestId,
    digest: Digest,
    payload: Payload,
    client_comes: bool,
) -> Result<(), Error> {
    let found = with(|in_flight| {
        let flight = in_flight.join_or_begin(id, digest, client_comes)?;
        Some((flight, in_flight.get(id)?.model.clone()))
    });
    let Some((flight, model)) = found else {
        return Err(Error::new(ErrorCode::Failed, "the request is not known any more"));
    };
    let Flight::Begun(job) = flight else {
        model.metrics.joined.increment();
        return Ok(());
    };
    if queue::push(Work { job, model, payload, queued: Instant::now() }).is_err() {
        with(|in_flight| in_flight.undo_begin(job));
        METRICS.refused.increment();
        let length = settings::queue_length();
        return Err(Error::new(
            ErrorCode::QueueFull,
            format!("{length} jobs wait already (image.queue-length); try again later"),
        ));
    }
    Ok(())
}

/// A client's time is over: gives the client back.
pub fn timed_out(client: ClientId) -> Option<Departed<Client>> {
    let (departed, unwanted) = with(|in_flight| in_flight.timed_out(client));
    drop_unwanted(unwanted);
    departed
}

/// A client has gone: gives the client back.
pub fn disconnected(client: ClientId) -> Option<Departed<Client>> {
    let (departed, unwanted) = with(|in_flight| in_flight.disconnected(client));
    drop_unwanted(unwanted);
    departed
}

/// Drops those of the jobs that have not begun. What a worker has begun it finishes.
fn drop_unwanted(jobs: Vec<JobId>) {
    for job in jobs {
        if queue::take_back(job).is_some() {
            METRICS.dropped.increment();
            with(|in_flight| in_flight.drop_job(job));
        }
    }
}
