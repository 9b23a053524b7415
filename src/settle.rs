//! How a request ends, on the main thread: its result is stored, then every client that waits gets
//! its reply. Where a write would harm at that moment the clients are answered at once and the
//! store is put off.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use redis_module::{Context, RedisString};

use crate::commands::recognize::{check_named_digest, computed_key, look_up};
use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::in_flight::{self, Place, Request, RequestId, Shape, Target, Waiter};
use crate::metrics::{METRICS, NotStored};
use crate::models::ServedModel;
use crate::queue::{self, Done, JobId};
use crate::recognition::trim_lists;
use crate::reply::{Meta, Reply};
use crate::server::blocked::{Client, ClientId, Waiting};
use crate::server::payload::Payload;
use crate::server::{guard, keyspace, main_thread, request};
use crate::{cache, failures, settings};

/// Stores that wait for writes to be allowed again.
const MAX_PUT_OFF: usize = 16_384;
/// How often they are tried.
const RETRY_MILLISECONDS: i64 = 10;
/// How long the server's end waits for running inference.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);

const RECOGNIZED_EVENT: &std::ffi::CStr = c"image.recognized";
const FAILED_EVENT: &std::ffi::CStr = c"image.failed";

/// What a request ended with, and where a result comes from.
type Outcome = Result<(Arc<str>, &'static str), Error>;

/// Something to be done to a key where writes are allowed.
struct Settlement {
    place: Rc<Place>,
    /// The newest request that asked for it.
    request: RequestId,
    model: Arc<ServedModel>,
    digest: Option<Digest>,
    ttl: Option<Duration>,
    /// The result to be stored; none: the failure is to be announced.
    result: Option<Arc<str>>,
}

thread_local! {
    /// Payloads hashed at a moment when keys could not be looked up.
    static HASHED: RefCell<Vec<Done>> = const { RefCell::new(Vec::new()) };
    static PUT_OFF: RefCell<VecDeque<Settlement>> = const { RefCell::new(VecDeque::new()) };
}

/// Gives a request its job. A refused one is forgotten: its client is told by the caller.
pub fn enqueue(id: RequestId, digest: Digest, payload: Payload) -> Result<(), Error> {
    let queued = in_flight::with(|in_flight| in_flight.enqueue(id, digest, payload));
    if queued.is_err() {
        forget(id);
    }
    queued
}

/// A one-shot says that threads have done something. Keys are not touched here: that is for the
/// timer. But while a script or a load goes on, or writes are paused, clients need not wait for it.
pub fn wake(ctx: &Context) {
    if main_thread::forbids_writes(ctx) {
        let mut later = Vec::new();
        for done in queue::take_done() {
            match done {
                Done::Recognized { .. } => deliver_one(ctx, done),
                Done::Hashed { .. } => later.push(done),
            }
        }
        HASHED.with_borrow_mut(|hashed| hashed.append(&mut later));
    }
    main_thread::run_after(0, deliver);
}

/// Takes what the threads have done.
fn deliver(ctx: &Context) {
    for done in HASHED.take().into_iter().chain(queue::take_done()) {
        deliver_one(ctx, done);
    }
}

fn deliver_one(ctx: &Context, done: Done) {
    // One by one: a panic must not take the others' replies with it.
    guard("settling a request", (), || match done {
        Done::Hashed { request, payload, digest } => hashed(ctx, request, payload, digest),
        Done::Recognized { job, payload, outcome } => {
            drop(payload);
            recognized(ctx, job, outcome);
        }
    });
}

/// A large payload has its digest: now look up, as for a small one.
fn hashed(ctx: &Context, id: RequestId, payload: Payload, digest: Digest) {
    if in_flight::with(|in_flight| in_flight.is_abandoned(id)) {
        METRICS.dropped.increment();
        forget(id);
        return;
    }
    match look_up_hashed(ctx, id, digest) {
        Ok(Some(stored)) => finish_hit(ctx, id, digest, &stored),
        Ok(None) => {
            let queued = in_flight::with(|in_flight| in_flight.enqueue(id, digest, payload));
            if let Err(error) = queued {
                finish_failed(ctx, id, error);
            }
        }
        Err(error) => finish_failed(ctx, id, error),
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
    let key = match target {
        Target::Named(place) => {
            request::select_db(ctx, place.db);
            check_named_digest(&place.key, digest)?;
            string(&place.key)
        }
        Target::Computed { db, user } => {
            request::select_db(ctx, db);
            let key = computed_key(ctx, user.as_deref(), digest)?;
            let place = Rc::new(Place { db, key: key.as_slice().to_vec() });
            in_flight::with(|in_flight| in_flight.name(id, place));
            key
        }
    };
    look_up(ctx, &key, &model, digest, refresh)
}

fn finish_hit(ctx: &Context, id: RequestId, digest: Digest, stored: &RedisString) {
    let Some(mut request) = in_flight::with(|in_flight| in_flight.take(id)) else { return };
    request.digest = Some(digest);
    request.model.metrics.hit();
    if let Some(place) = request.place() {
        in_flight::with(|in_flight| in_flight.note_stored(place, id, digest));
        failures::forget(place, &request.model);
        if request.wanted && request.writes {
            // NOWAIT was answered ACCEPTED before anybody could know: the result is at its key.
            keyspace::notify(ctx, RECOGNIZED_EVENT, &string(&place.key));
        }
    }
    let text = String::from_utf8_lossy(stored.as_slice()).into();
    answer(request, &Ok((text, "stored")));
}

fn finish_failed(ctx: &Context, id: RequestId, error: Error) {
    if let Some(request) = in_flight::with(|in_flight| in_flight.take(id)) {
        settle_all(ctx, &[(id, &request)], &Err(error.clone()));
        answer(request, &Err(error));
    }
}

/// A job has ended: store, then reply.
fn recognized(ctx: &Context, job: JobId, outcome: Result<Arc<str>, Error>) {
    let requests = in_flight::with(|in_flight| in_flight.take_job(job));
    let ended: Vec<(RequestId, &Request)> =
        requests.iter().map(|(id, request)| (*id, request)).collect();
    settle_all(ctx, &ended, &outcome);
    for (_, request) in requests {
        let source = if request.joined { "joined" } else { "computed" };
        let outcome = outcome.clone().map(|text| (text, source));
        answer(request, &outcome);
    }
}

/// Does to the keys of these requests, oldest first, what their common outcome demands.
fn settle_all(
    ctx: &Context,
    requests: &[(RequestId, &Request)],
    outcome: &Result<Arc<str>, Error>,
) {
    let mut settlements: Vec<Settlement> = Vec::new();
    for (id, request) in requests {
        let Some(place) = request.place() else { continue };
        match outcome {
            Ok(_) => failures::forget(place, &request.model),
            Err(error) => {
                let (place, model) = (place.clone(), request.model.clone());
                failures::remember(place, model, request.digest, error.clone());
            }
        }
        if !request.writes {
            continue;
        }
        match settlements.iter_mut().find(|earlier| earlier.place == *place) {
            Some(earlier) => {
                earlier.request = *id;
                earlier.ttl = request.ttl.or(earlier.ttl);
            }
            None => settlements.push(Settlement {
                place: place.clone(),
                request: *id,
                model: request.model.clone(),
                digest: request.digest,
                ttl: request.ttl,
                result: outcome.as_ref().ok().cloned(),
            }),
        }
    }
    if settlements.is_empty() {
        return;
    }
    if main_thread::forbids_writes(ctx) {
        settlements.into_iter().for_each(put_off);
    } else {
        settlements.iter().for_each(|settlement| settle(ctx, settlement));
    }
}

fn settle(ctx: &Context, settlement: &Settlement) {
    let place = &settlement.place;
    request::select_db(ctx, place.db);
    let key = string(&place.key);
    let (Some(result), Some(digest)) = (&settlement.result, settlement.digest) else {
        keyspace::notify(ctx, FAILED_EVENT, &key);
        return;
    };
    match store(ctx, settlement, &key, digest, result) {
        Ok(()) => {
            METRICS.stored.increment();
            keyspace::notify(ctx, RECOGNIZED_EVENT, &key);
        }
        Err(reason) => {
            METRICS.not_stored(reason).increment();
            if matches!(reason, NotStored::Memory | NotStored::Foreign | NotStored::Refused) {
                // Who waits for the key to change would wait in vain.
                keyspace::notify(ctx, FAILED_EVENT, &key);
            }
        }
    }
}

fn store(
    ctx: &Context,
    settlement: &Settlement,
    key: &RedisString,
    digest: Digest,
    result: &str,
) -> Result<(), NotStored> {
    let (place, id) = (&settlement.place, settlement.request);
    if in_flight::with(|in_flight| in_flight.is_superseded(place, id, digest)) {
        return Err(NotStored::Superseded);
    }
    let ttl = settlement.ttl.or_else(settings::ttl);
    cache::store(ctx, key, digest, &settlement.model, result, ttl)?;
    in_flight::with(|in_flight| in_flight.note_stored(place, id, digest));
    Ok(())
}

fn put_off(settlement: Settlement) {
    let waiting = PUT_OFF.with_borrow(VecDeque::len);
    if waiting >= MAX_PUT_OFF {
        if settlement.result.is_some() {
            METRICS.not_stored(NotStored::PutOffFull).increment();
        }
        return;
    }
    METRICS.put_off.increment();
    in_flight::with(|in_flight| in_flight.hold_open(&settlement.place));
    PUT_OFF.with_borrow_mut(|put_off| put_off.push_back(settlement));
    METRICS.waiting_stores.store(waiting as u64 + 1, Relaxed);
    if waiting == 0 {
        main_thread::run_after(RETRY_MILLISECONDS, retry);
    }
}

fn retry(ctx: &Context) {
    if main_thread::forbids_writes(ctx) {
        if PUT_OFF.with_borrow(|put_off| !put_off.is_empty()) {
            main_thread::run_after(RETRY_MILLISECONDS, retry);
        }
        return;
    }
    for settlement in take_put_off() {
        settle(ctx, &settlement);
        in_flight::with(|in_flight| in_flight.close(&settlement.place));
    }
}

fn take_put_off() -> VecDeque<Settlement> {
    METRICS.waiting_stores.store(0, Relaxed);
    PUT_OFF.take()
}

/// The server is master of these keys no longer, or was not when they were to be stored.
pub fn role_changed() {
    for settlement in take_put_off() {
        if settlement.result.is_some() {
            METRICS.not_stored(NotStored::Role).increment();
        }
        in_flight::with(|in_flight| in_flight.close(&settlement.place));
    }
}

/// The server's end: nothing more is begun, and no inference runs into it.
pub fn shutdown() {
    queue::halt(SHUTDOWN_WAIT);
}

/// Whether nothing is under way.
pub fn is_idle() -> bool {
    PUT_OFF.with_borrow(VecDeque::is_empty) && in_flight::with(|in_flight| in_flight.is_idle())
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

/// Replies to everybody who waits for a request, which is over with that.
fn answer(request: Request, outcome: &Outcome) {
    let Request { target, model, digest, accepted, asker, watchers, .. } = request;
    if let Target::Named(place) = target {
        in_flight::with(|in_flight| in_flight.close(&place));
    }
    if let Some(Waiter { client, shape, .. }) = asker {
        client.unblock(match outcome {
            Ok((text, source)) => {
                let source = Source { source, model: &model, digest, accepted };
                shaped(text.clone(), shape, &source)
            }
            Err(error) => Reply::Error(error.clone()),
        });
    }
    for watcher in watchers {
        let other_picture = watcher.digest.is_some_and(|wanted| Some(wanted) != digest);
        watcher.client.unblock(match outcome {
            Ok(_) if other_picture => Reply::Nil,
            Ok((text, _)) => Reply::Text(text.clone()),
            Err(error) => Reply::Error(error.clone()),
        });
    }
}

/// What `WITHMETA` tells of a result.
struct Source<'a> {
    source: &'static str,
    model: &'a ServedModel,
    digest: Option<Digest>,
    accepted: Instant,
}

fn shaped(text: Arc<str>, shape: Shape, source: &Source) -> Reply {
    let result = match shape.top {
        Some(count) => trim_lists(&text, count).into(),
        None => text,
    };
    if !shape.with_meta {
        return Reply::Text(result);
    }
    Reply::Meta(Box::new(Meta {
        source: source.source,
        sha256: source.digest.map(|digest| digest.hex()).unwrap_or_default(),
        model: source.model.recognizer.name().to_owned(),
        version: source.model.recognizer.version().to_owned(),
        milliseconds: source.accepted.elapsed().as_secs_f64() * 1e3,
        result,
    }))
}

/// The reply of a hit that was found at once: the stored string itself, if nothing is added to it
/// or left out.
pub fn stored_reply(
    stored: RedisString,
    shape: Shape,
    model: &ServedModel,
    digest: Digest,
    accepted: Instant,
) -> Reply {
    if shape.top.is_none() && !shape.with_meta {
        return Reply::Stored(stored);
    }
    let text = String::from_utf8_lossy(stored.as_slice()).into();
    let source = Source { source: "stored", model, digest: Some(digest), accepted };
    shaped(text, shape, &source)
}

/// A request made just now found its result stored.
pub fn note_hit(place: &Place, model: &Arc<ServedModel>, digest: Digest) {
    in_flight::with(|in_flight| in_flight.note_hit(place, digest));
    failures::forget(place, model);
}

/// The error of a request on that key that has failed lately.
pub fn late_failure(
    place: &Place,
    model: &Arc<ServedModel>,
    digest: Option<Digest>,
) -> Option<Error> {
    failures::find(place, model, digest)
}

/// Where blocking is not allowed.
pub fn no_waiting() -> Error {
    Error::new(
        Word::NoWaiting,
        "there is no stored result, and inside MULTI or a script no client can wait for one; use NOWAIT",
    )
}

fn string(bytes: &[u8]) -> RedisString {
    RedisString::create_from_slice(std::ptr::null_mut(), bytes)
}

/// The clients of requests under way, as the server sees them.
pub struct Waits;

impl Waiting for Waits {
    fn timed_out(id: ClientId) -> (Reply, Option<Client>) {
        METRICS.timed_out.increment();
        let waiter = in_flight::with(|in_flight| in_flight.timed_out(id));
        let sentence = match &waiter {
            Some(waiter) => format!(
                "no result after {} ms, of {} that it may take; the job goes on, ask again",
                waiter.since.elapsed().as_millis(),
                waiter.timeout_ms
            ),
            None => "no result in time; the job has ended just now, ask again".to_owned(),
        };
        let reply = Reply::Error(Error::new(Word::Timeout, sentence));
        (reply, waiter.map(|waiter| waiter.client))
    }

    fn disconnected(id: ClientId) -> Option<Client> {
        let waiter = in_flight::with(|in_flight| in_flight.disconnected(id));
        waiter.map(|waiter| waiter.client)
    }
}
