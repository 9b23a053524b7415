//! What clients are told: of a result, of an error, of a time that is over.

use std::sync::Arc;
use std::time::Instant;

use recognition::trim_lists;
use redis_module::RedisString;

use super::waits;
use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::galleries;
use crate::in_flight::{self, Departed, ReplyForm, ReplyOptions, Request, Wait, Waiter};
use crate::metrics::METRICS;
use crate::models::ServedModel;
use crate::reply::Reply;
use crate::server::blocked::{CannotWait, Client, ClientId, Waiting};

/// What a request ended with, and where a result comes from: `stored`, `computed` or `joined`.
pub type Outcome = Result<(Arc<str>, &'static str), Error>;

/// Replies to every client that waits for a request. The request is over with that.
pub fn respond(request: Request, outcome: &Outcome) {
    let Request { model, digest, accepted, requester, observers, .. } = request;
    if let Some(Waiter { client, options, .. }) = requester {
        client.unblock(match outcome {
            Ok((text, source)) => {
                let origin = Origin { source, model: &model, digest, accepted };
                result_reply(text.clone(), options, &origin)
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

fn result_reply(text: Arc<str>, options: ReplyOptions, origin: &Origin) -> Reply {
    let result = match options.top {
        Some(count) => trim_lists(&text, count).into(),
        None => text,
    };
    if !options.with_meta {
        return Reply::Text(result);
    }
    let recognizer = &origin.model.recognizer;
    let digest = origin.digest.map(|digest| digest.hex()).unwrap_or_default();
    // From the request's acceptance to its reply.
    let milliseconds = origin.accepted.elapsed().as_secs_f64() * 1e3;
    Reply::map([
        ("source", Reply::bytes(origin.source)),
        ("sha256", Reply::bytes(digest)),
        ("model", Reply::bytes(recognizer.name())),
        ("version", Reply::bytes(recognizer.version())),
        ("milliseconds", Reply::bytes(format!("{milliseconds:.3}"))),
        ("result", Reply::Text(result)),
    ])
}

/// The reply of a hit that was found at once: the stored string itself, if nothing is added to it
/// or left out.
pub fn hit_reply(
    stored: RedisString,
    options: ReplyOptions,
    model: &ServedModel,
    digest: Digest,
    accepted: Instant,
) -> Reply {
    if options.top.is_none() && !options.with_meta {
        return Reply::Stored(stored);
    }
    let text = String::from_utf8_lossy(stored.as_slice()).into();
    let origin = Origin { source: "stored", model, digest: Some(digest), accepted };
    result_reply(text, options, &origin)
}

/// For a client that cannot wait for its result.
pub fn no_result(refused: CannotWait) -> Error {
    refused.error("there is no stored result (NOWAIT asks for one without waiting)")
}

/// The clients of requests under way, as the server sees them.
pub struct RequestClients;

impl Waiting for RequestClients {
    fn timed_out(id: ClientId) -> (Reply, Option<Client>) {
        let call = in_flight::with(|in_flight| in_flight.gallery_call_of(id));
        match in_flight::timed_out(id) {
            Some(Departed::Observer(wait))
                if wait.form == ReplyForm::List || waits::has_ended(&wait.keys) =>
            {
                let Wait { client, form, keys, .. } = wait;
                (waits::states_reply(form, keys), Some(client))
            }
            Some(Departed::Observer(Wait { client, timeout_ms, since, .. })) => {
                time_over(client, timeout_ms, since, "the job goes on, ask again")
            }
            Some(Departed::Requester(Waiter { client, timeout_ms, since, .. })) => {
                let advice =
                    call.map_or("the job goes on, ask again", |call| call.advice_when_late());
                time_over(client, timeout_ms, since, advice)
            }
            None => match galleries::timed_out(id) {
                Some((Waiter { client, timeout_ms, since, .. }, call)) => {
                    time_over(client, timeout_ms, since, call.advice_when_late())
                }
                // Somebody unblocked the client in the turn in which it was given its reply.
                None => {
                    METRICS.timed_out.increment();
                    let sentence = "no result in time; the job has ended just now, ask again";
                    (Reply::Error(Error::new(ErrorCode::Timeout, sentence)), None)
                }
            },
        }
    }

    fn disconnected(id: ClientId) -> Option<Client> {
        let departed = in_flight::disconnected(id).map(Departed::client);
        departed.or_else(|| galleries::disconnected(id).map(|waiter| waiter.client))
    }
}

fn time_over(
    client: Client,
    timeout_ms: i64,
    since: Instant,
    advice: &str,
) -> (Reply, Option<Client>) {
    METRICS.timed_out.increment();
    let waited = since.elapsed().as_millis();
    let sentence =
        format!("no result after {waited} ms, of {timeout_ms} that it may take; {advice}");
    (Reply::Error(Error::new(ErrorCode::Timeout, sentence)), Some(client))
}
