//! What clients are told: of a result, of a time that is over.

use std::sync::Arc;
use std::time::Instant;

use recognition::trim_lists;
use redis_module::RedisString;

use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::in_flight::{self, Form, Left, Request, Shape, Wait, Waiter};
use crate::metrics::METRICS;
use crate::models::ServedModel;
use crate::reply::{Meta, Reply};
use crate::server::blocked::{CannotWait, Client, ClientId, Waiting};
use crate::{galleries, waits};

/// What a request ended with, and where a result comes from: `stored`, `computed` or `joined`.
pub type Outcome = Result<(Arc<str>, &'static str), Error>;

/// Replies to everybody who waits for a request, which is over with that.
pub fn answer(request: Request, outcome: &Outcome) {
    let Request { model, digest, accepted, asker, observers, .. } = request;
    if let Some(Waiter { client, shape, .. }) = asker {
        client.unblock(match outcome {
            Ok((text, source)) => {
                let origin = Origin { source, model: &model, digest, accepted };
                shaped(text.clone(), shape, &origin)
            }
            Err(error) => Reply::Error(error.clone()),
        });
    }
    waits::tell(&observers, || match outcome {
        Ok((text, _)) => Reply::Text(text.clone()),
        Err(error) => Reply::Error(error.clone()),
    });
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

/// The clients of requests under way, as the server sees them.
pub struct Waits;

impl Waiting for Waits {
    fn timed_out(id: ClientId) -> (Reply, Option<Client>) {
        let call = in_flight::with(|in_flight| in_flight.call_of(id));
        let left = in_flight::with(|in_flight| in_flight.timed_out(id));
        match left {
            Some(Left::Wait(wait)) if wait.form == Form::List || waits::has_ended(&wait.keys) => {
                let Wait { client, form, keys, .. } = wait;
                (waits::reply(form, keys), Some(client))
            }
            Some(Left::Wait(Wait { client, timeout_ms, since, .. })) => {
                late(client, timeout_ms, since, "the job goes on, ask again")
            }
            Some(Left::Asker(Waiter { client, timeout_ms, since, .. })) => {
                let advice = call.map_or("the job goes on, ask again", |call| call.late());
                late(client, timeout_ms, since, advice)
            }
            None => match galleries::timed_out(id) {
                Some((Waiter { client, timeout_ms, since, .. }, call)) => {
                    late(client, timeout_ms, since, call.late())
                }
                // Somebody unblocked it in the turn in which it was given its reply.
                None => {
                    METRICS.timed_out.increment();
                    let sentence = "no result in time; the job has ended just now, ask again";
                    (Reply::Error(Error::new(Word::Timeout, sentence)), None)
                }
            },
        }
    }

    fn disconnected(id: ClientId) -> Option<Client> {
        let left = in_flight::with(|in_flight| in_flight.disconnected(id));
        left.map(Left::client).or_else(|| galleries::disconnected(id).map(|waiter| waiter.client))
    }
}

fn late(client: Client, timeout_ms: i64, since: Instant, advice: &str) -> (Reply, Option<Client>) {
    METRICS.timed_out.increment();
    let sentence = format!(
        "no result after {} ms, of {timeout_ms} that it may take; {advice}",
        since.elapsed().as_millis()
    );
    (Reply::Error(Error::new(Word::Timeout, sentence)), Some(client))
}
