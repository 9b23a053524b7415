//! What threads have finished comes back here, on the main thread: a digest, a recognition, a search.
//! A request goes on from there, or ends: its result is stored, then every client that waits gets its
//! reply.

mod ending;
pub mod responses;
pub mod waits;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_module::{Context, RedisString};

use crate::digest::Digest;
use crate::error::Error;
use crate::galleries::{self, embedding_cache};
use crate::ids::{JobId, RequestId};
use crate::in_flight::admission::{Admission, admit};
use crate::in_flight::{self, Target, join_or_enqueue};
use crate::metrics::METRICS;
use crate::models::{ServedModel, reload};
use crate::results::lookup::{look_up, resolve_key};
use crate::results::write_back::WRITES_A_TURN;
use crate::server::keyspace::Look;
use crate::server::payload::Payload;
use crate::server::{guard, main_thread};
use crate::workers;
use crate::workers::completions::{self, Completion, Recognized};

/// How long the server's end waits for running inference and for a model that is being loaded.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);

/// A job that has ended, some of whose requests still wait for their turn.
struct EndedJob {
    job: JobId,
    outcome: Result<Recognized, Error>,
}

thread_local! {
    static ENDED: RefCell<VecDeque<EndedJob>> = const { RefCell::new(VecDeque::new()) };
}

/// Threads have finished something. Called by a one-shot, in which keys must not be touched.
pub fn wake(_: &Context) {
    main_thread::run_after(0, deliver);
}

/// Takes what the threads have finished.
fn deliver(ctx: &Context) {
    for completion in completions::take_all() {
        // One by one: a panic must not take the others with it.
        guard("delivering", (), || match completion {
            Completion::Hashed { request, payload, digest } => {
                hashed(ctx, request, payload, digest);
            }
            Completion::Searched(outcomes) => galleries::searched(ctx, outcomes),
            Completion::Recognized { job, model, payload, outcome } => {
                drop(payload);
                recognized(job, &model, outcome);
            }
        });
    }
    end_jobs(ctx);
}

fn recognized(job: JobId, model: &ServedModel, outcome: Result<Recognized, Error>) {
    let digest = in_flight::with(|in_flight| in_flight.end_job(job));
    if let (Some(digest), Ok(recognized)) = (digest, &outcome)
        && model.recognizer.gallery().is_ok()
    {
        let embeddings = recognized.embeddings.clone();
        embedding_cache::remember(job, digest, &model.field, embeddings);
    }
    ENDED.with_borrow_mut(|ended| ended.push_back(EndedJob { job, outcome }));
}

/// Ends the requests of ended jobs, as many as one turn of the event loop may take.
fn end_jobs(ctx: &Context) {
    let mut left = WRITES_A_TURN;
    while let Some(ended) = ENDED.with_borrow_mut(VecDeque::pop_front) {
        let requests = in_flight::with(|in_flight| in_flight.take_some(ended.job, left));
        left -= requests.len();
        let (calls, others): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|(_, request)| request.gallery_call().is_some());
        let text = ended.outcome.as_ref().map(|recognized| recognized.json.clone());
        let text = text.map_err(Error::clone);
        guard("ending a job", (), || ending::end_all(ctx, others, &text, "computed"));
        for (_, call) in calls {
            let embeddings = ended.outcome.clone().map(|recognized| recognized.embeddings);
            guard("ending a job", (), || galleries::with_embeddings(ctx, call, embeddings));
        }
        if left == 0 {
            // The job may have more requests.
            ENDED.with_borrow_mut(|rest| rest.push_front(ended));
            main_thread::run_after(0, end_jobs);
            return;
        }
    }
}

/// A large payload has its digest: its request comes to the door, as one with a small payload does in
/// its command.
fn hashed(ctx: &Context, id: RequestId, payload: Payload, digest: Digest) {
    if in_flight::with(|in_flight| in_flight.is_abandoned(id)) {
        METRICS.dropped.increment();
        in_flight::with(|in_flight| in_flight.forget(id));
        return;
    }
    let found = in_flight::with(|in_flight| {
        let request = in_flight.get(id)?;
        Some((request.target.clone(), request.model.clone(), request.refresh))
    });
    let Some((target, model, refresh)) = found else { return };
    if let Target::Gallery(_) = target {
        galleries::hashed(ctx, id, &model, digest, payload);
        return;
    }
    in_flight::with(|in_flight| in_flight.learn_digest(id, digest));
    waits::answer_soon();
    let admission = admit(
        &model,
        || look_up_hashed(ctx, id, &target, &model, digest, refresh),
        || join_or_enqueue(id, digest, payload, false),
    );
    let result = match admission {
        Ok(Admission::Entered(())) => return,
        Ok(Admission::Known(stored)) => Ok(stored),
        Err(error) => Err(error),
    };
    let Some(request) = in_flight::with(|in_flight| in_flight.take(id)) else { return };
    match result {
        Ok(stored) => {
            let text: Arc<str> = String::from_utf8_lossy(stored.as_slice()).into();
            ending::end_hit(ctx, id, request, digest, text);
        }
        Err(error) => ending::end_all(ctx, vec![(id, request)], &Err(error), "stored"),
    }
}

fn look_up_hashed(
    ctx: &Context,
    id: RequestId,
    target: &Target,
    model: &ServedModel,
    digest: Digest,
    refresh: bool,
) -> Result<Option<RedisString>, Error> {
    let Some(key) = resolve_key(ctx, target, digest)? else { return Ok(None) };
    let look = match target {
        Target::Computed { .. } => {
            in_flight::with(|in_flight| in_flight.set_key(id, key.clone()));
            Look::First
        }
        // The command has looked already.
        Target::Key(_) | Target::Gallery(_) => Look::Again,
    };
    look_up(ctx, &key, look, model, digest, refresh)
}

/// The server's end: nothing more is begun, and no inference runs into it.
pub fn shutdown() {
    let deadline = Instant::now() + SHUTDOWN_WAIT;
    reload::halt();
    workers::queue::halt(deadline);
    reload::wait_until(deadline);
}
