//! What clients are told: of a result, of a time that is over.

use std::sync::Arc;
use std::time::Instant;

use redis_module::RedisString;

use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::galleries;
use crate::in_flight::{self, Request, Shape, Waiter};
use crate::metrics::METRICS;
use crate::models::ServedModel;
use crate::recognition::trim_lists;
use crate::reply::{Meta, Reply};
use crate::server::blocked::{CannotWait, Client, ClientId, Waiting};

/// What a request ended with, and where a result comes from: `stored`, `computed` or `joined`.
pub type Outcome = Result<(Arc<str>, &'static str), Error>;

/// Replies to everybody who waits for a request, which is over with that.
pub fn answer(request: Request, outcome: &Outcome) {
    let Request { model, digest, accepted, asker, watchers, .. } = request;
    if let Some(Waiter { client, shape, .. }) = asker {
        client.unblock(match outcome {
            Ok((text, source)) => {
                let origin = Origin { source, model: &model, digest, accepted };
                shaped(text.clone(), shape, &origin)
            }
            Err(error) => Reply::Error(error.clone()),
        });
    }
    for watcher in watchers {
        watcher.client.unblock(match outcome {
            Ok((text, _)) => Reply::Text(text.clone()),
            Err(error) => Reply::Error(error.clone()),
        });
    }
}

/// Where a result comes from, for `WITHMETA`.
struct Origin<'a> {
    source: &'static str,
    model: &'a ServedModel,
    digest: Option<Digest>,
    accepted: Instant,
}

fn shaped(text: Arc<str>, shape: Shape, origin: &Origin) -> Reply {
    let result = match shape.top {
        Some(count) => trim_lists(&text, count).into(),
        None => text,
    };
    if !shape.with_meta {
        return Reply::Text(result);
    }
    Reply::Meta(Box::new(Meta {
        source: origin.source,
        sha256: origin.digest.map(|digest| digest.hex()).unwrap_or_default(),
        model: origin.model.recognizer.name().to_owned(),
        version: origin.model.recognizer.version().to_owned(),
        milliseconds: origin.accepted.elapsed().as_secs_f64() * 1e3,
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
    let origin = Origin { source: "stored", model, digest: Some(digest), accepted };
    shaped(text, shape, &origin)
}

/// For a client that cannot wait for its result.
pub fn no_result(refused: CannotWait) -> Error {
    refused.error("there is no stored result (NOWAIT asks for one without waiting)")
}

/// Takes a client whose time is over from what it waits for, and says how that goes on.
fn late(id: ClientId) -> (Option<Waiter>, &'static str) {
    let call = in_flight::with(|in_flight| in_flight.call_of(id));
    if let Some(waiter) = in_flight::with(|in_flight| in_flight.timed_out(id)) {
        return (Some(waiter), call.map_or("the job goes on, ask again", |call| call.late()));
    }
    match galleries::timed_out(id) {
        Some((waiter, call)) => (Some(waiter), call.late()),
        None => (None, ""),
    }
}

/// The clients of requests under way, as the server sees them.
pub struct Waits;

impl Waiting for Waits {
    fn timed_out(id: ClientId) -> (Reply, Option<Client>) {
        METRICS.timed_out.increment();
        let (waiter, advice) = late(id);
        let sentence = match &waiter {
            Some(waiter) => format!(
                "no result after {} ms, of {} that it may take; {advice}",
                waiter.since.elapsed().as_millis(),
                waiter.timeout_ms
            ),
            // Somebody unblocked it in the turn in which it was given its reply.
            None => "no result in time; the job has ended just now, ask again".to_owned(),
        };
        let reply = Reply::Error(Error::new(Word::Timeout, sentence));
        (reply, waiter.map(|waiter| waiter.client))
    }

    fn disconnected(id: ClientId) -> Option<Client> {
        let waiter = in_flight::with(|in_flight| in_flight.disconnected(id));
        let waiter = waiter.or_else(|| galleries::disconnected(id));
        waiter.map(|waiter| waiter.client)
    }
}
