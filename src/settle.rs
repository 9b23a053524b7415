//! How a request goes on when a thread has done its part, and how it ends: its result is stored,
//! then every client that waits gets its reply.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_module::{Context, RedisString};

use crate::answers::{Outcome, answer};
use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::failures::{self, Failure};
use crate::galleries::{self, seen};
use crate::in_flight::{self, Place, Request, RequestId, Target};
use crate::lookup::{check_named_digest, computed_key, look_up};
use crate::metrics::METRICS;
use crate::queue::{self, Done, JobId, Recognized};
use crate::reload;
use crate::server::keyspace::Look;
use crate::server::payload::Payload;
use crate::server::{guard, main_thread, request};
use crate::stores::{self, STORES_A_TURN, Settlement, string};
use crate::waits;

/// How long the server's end waits for running inference and for a model that is being loaded.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);

/// A job that has ended, some of whose requests still wait for their turn.
struct Ended {
    job: JobId,
    result: Result<Recognized, Error>,
}

thread_local! {
    static ENDED: RefCell<VecDeque<Ended>> = const { RefCell::new(VecDeque::new()) };
}

/// Gives a request its job. A refused one is forgotten: its client is told by the caller.
pub fn enqueue(id: RequestId, digest: Digest, payload: Payload) -> Result<(), Error> {
    let queued = in_flight::with(|in_flight| in_flight.enqueue(id, digest, payload));
    if queued.is_err() {
        forget(id);
    }
    queued
}

/// Threads have done something. Said by a one-shot, in which keys must not be touched.
pub fn wake(_: &Context) {
    main_thread::run_after(0, deliver);
}

/// Takes what the threads have done.
fn deliver(ctx: &Context) {
    for done in queue::take_done() {
        // One by one: a panic must not take the others with it.
        guard("delivering", (), || match done {
            Done::Hashed { request, payload, digest } => hashed(ctx, request, payload, digest),
            Done::Searched(outcomes) => galleries::searched(ctx, outcomes),
            Done::Recognized { job, model, payload, outcome } => {
                drop(payload);
                let digest = in_flight::with(|in_flight| in_flight.end_job(job));
                if let (Some(digest), Ok(recognized)) = (digest, &outcome)
                    && model.recognizer.gallery().is_ok()
                {
                    seen::remember(job.0, digest, &model.field, recognized.embeddings.clone());
                }
                ENDED.with_borrow_mut(|ended| ended.push_back(Ended { job, result: outcome }));
            }
        });
    }
    work_off(ctx);
}

/// Ends the requests of ended jobs, as many as one turn of the event loop may take.
fn work_off(ctx: &Context) {
    let mut left = STORES_A_TURN;
    while let Some(ended) = ENDED.with_borrow_mut(VecDeque::pop_front) {
        let requests = in_flight::with(|in_flight| in_flight.take_some(ended.job, left));
        left -= requests.len();
        let (calls, results): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|(_, request)| request.call().is_some());
        let text = ended.result.as_ref().map(|recognized| recognized.json.clone());
        let text = text.map_err(Error::clone);
        guard("ending a job", (), || finish(ctx, results, &text, "computed"));
        for (_, call) in calls {
            guard("ending a job", (), || galleries::recognized(ctx, call, &ended.result));
        }
        if left == 0 {
            // Maybe it has more.
            ENDED.with_borrow_mut(|rest| rest.push_front(ended));
            main_thread::run_after(0, work_off);
            return;
        }
    }
}

/// A large payload has its digest: now look up, as for a small one.
fn hashed(ctx: &Context, id: RequestId, payload: Payload, digest: Digest) {
    if in_flight::with(|in_flight| in_flight.is_abandoned(id)) {
        METRICS.dropped.increment();
        forget(id);
        return;
    }
    let model_of_call = in_flight::with(|in_flight| {
        let request = in_flight.get(id)?;
        request.call()?;
        Some(request.model.clone())
    });
    if let Some(model) = model_of_call {
        galleries::hashed(ctx, id, &model, digest, payload);
        return;
    }
    in_flight::with(|in_flight| in_flight.learn_digest(id, digest));
    waits::answer_soon();
    let found = look_up_hashed(ctx, id, digest);
    let ended = match found {
        Ok(Some(stored)) => Ok(String::from_utf8_lossy(stored.as_slice()).into()),
        Ok(None) => match in_flight::with(|in_flight| in_flight.enqueue(id, digest, payload)) {
            Ok(()) => return,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let Some(request) = in_flight::with(|in_flight| in_flight.take(id)) else { return };
    if ended.is_ok() {
        finish_hit(ctx, id, request, digest, ended);
    } else {
        finish(ctx, vec![(id, request)], &ended, "stored");
    }
}

fn look_up_hashed(
    ctx: &Context,
    id: RequestId,
    digest: Digest,
) -> Result<Option<RedisString>, Error> {
    let found = in_flight::with(|in_flight| {
        let request = in_flight.get(id)?;
        Some((request.target.clone(), request.model.clone(), request.refresh))
    });
    let Some((target, model, refresh)) = found else { return Ok(None) };
    let (key, look) = match target {
        Target::Named(place) => {
            request::select_db(ctx, place.db);
            check_named_digest(&place.key, digest)?;
            // The command has looked already.
            (string(&place.key), Look::Again)
        }
        Target::Computed { db, user } => {
            request::select_db(ctx, db);
            let key = computed_key(ctx, &user, digest)?;
            let place = Rc::new(Place { db, key: key.as_slice().to_vec() });
            in_flight::with(|in_flight| in_flight.name(id, place));
            (key, Look::First)
        }
        // Has no stored result of its own.
        Target::Gallery(_) => return Ok(None),
    };
    let stored = look_up(ctx, &key, look, &model, digest, refresh)?;
    if stored.is_none() {
        model.check_loaded()?;
    }
    Ok(stored)
}

fn finish_hit(
    ctx: &Context,
    id: RequestId,
    request: Request,
    digest: Digest,
    result: Result<Arc<str>, Error>,
) {
    request.model.metrics.hit();
    if let Some(place) = request.place()
        && request.writes
    {
        in_flight::with(|in_flight| {
            in_flight.note_stored(place, id, digest);
            in_flight.note_success(place, &request.model, id);
        });
        failures::forget(place, &request.model, id);
        if request.wanted {
            // NOWAIT was answered ACCEPTED before anybody could know.
            stores::announce_stored(ctx, place);
        }
    }
    end(request, &result.map(|text| (text, "stored")));
}

/// Ends requests that have the same outcome, oldest first: to their keys happens what it demands,
/// then their clients get their replies.
fn finish(
    ctx: &Context,
    requests: Vec<(RequestId, Request)>,
    result: &Result<Arc<str>, Error>,
    source: &'static str,
) {
    for settlement in settlements(&requests, result) {
        guard("a store", (), || stores::settle(ctx, settlement));
    }
    for (_, request) in requests {
        let source = if request.joined { "joined" } else { source };
        end(request, &result.clone().map(|text| (text, source)));
    }
}

fn end(request: Request, outcome: &Outcome) {
    if let Some(place) = request.place() {
        in_flight::with(|in_flight| in_flight.close(place));
    }
    answer(request, outcome);
}

/// One for each key: of requests on the same key the newest counts, and the last expiry given.
fn settlements(
    requests: &[(RequestId, Request)],
    result: &Result<Arc<str>, Error>,
) -> Vec<Settlement> {
    let mut settlements: Vec<Settlement> = Vec::new();
    let mut positions: HashMap<Rc<Place>, usize> = HashMap::new();
    for (id, request) in requests {
        let Some(place) = request.place() else { continue };
        note_end(*id, request, place, result);
        if !request.writes {
            continue;
        }
        if let Some(position) = positions.get(place) {
            let earlier = &mut settlements[*position];
            earlier.request = *id;
            earlier.ttl = request.ttl.or(earlier.ttl);
            continue;
        }
        positions.insert(place.clone(), settlements.len());
        settlements.push(Settlement {
            place: place.clone(),
            request: *id,
            model: request.model.clone(),
            digest: request.digest,
            ttl: request.ttl,
            result: result.as_ref().ok().cloned(),
        });
    }
    settlements
}

/// Remembers or forgets failures for those who ask late.
fn note_end(id: RequestId, request: &Request, place: &Rc<Place>, result: &Result<Arc<str>, Error>) {
    let model = &request.model;
    let Err(error) = result else {
        if request.writes {
            in_flight::with(|in_flight| in_flight.note_success(place, model, id));
            failures::forget(place, model, id);
        }
        return;
    };
    // A refused call says nothing about the picture; but who was told ACCEPTED has not heard of it.
    let concerns_picture = matches!(error.word, Word::BadImage | Word::Failed);
    let overtaken = in_flight::with(|in_flight| in_flight.has_newer_success(place, model, id));
    if (concerns_picture || request.wanted) && !overtaken {
        failures::remember(Failure {
            request: id,
            place: place.clone(),
            model: model.id,
            digest: request.digest,
            error: error.clone(),
        });
    }
}

/// Forgets a request that never got a job and that no client waits for.
fn forget(id: RequestId) {
    in_flight::with(|in_flight| {
        if let Some(request) = in_flight.take(id)
            && let Some(place) = request.place()
        {
            in_flight.close(place);
        }
    });
}

/// The server's end: nothing more is begun, and no inference runs into it.
pub fn shutdown() {
    let deadline = Instant::now() + SHUTDOWN_WAIT;
    reload::halt();
    queue::halt(deadline);
    reload::wait_until(deadline);
}
