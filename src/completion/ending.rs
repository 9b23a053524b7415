//! The end of requests: what their outcome demands happens to their keys, then every client that waits
//! gets its reply.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use redis_module::Context;

use super::responses::{Outcome, respond};
use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::ids::RequestId;
use crate::in_flight::{self, DbKey, Request};
use crate::results::recent_failures::{self, Failure};
use crate::results::write_back::{self, ResultWrite};
use crate::server::guard;

/// Ends requests that have the same outcome, oldest first.
pub fn end_all(
    ctx: &Context,
    requests: Vec<(RequestId, Request)>,
    result: &Result<Arc<str>, Error>,
    source: &'static str,
) {
    for write in writes(&requests, result) {
        guard("a write of a result", (), || write_back::write(ctx, write));
    }
    for (_, request) in requests {
        let source = if request.joined { "joined" } else { source };
        end(request, &result.clone().map(|text| (text, source)));
    }
}

/// Ends a request whose result was found stored, after its payload was hashed.
pub fn end_hit(ctx: &Context, id: RequestId, request: Request, digest: Digest, result: Arc<str>) {
    let model = &request.model;
    model.metrics.hit();
    if let Some(key) = request.key()
        && request.writes
    {
        in_flight::with(|in_flight| {
            in_flight.histories.note_stored(key, id, digest);
            in_flight.histories.note_success(key, model.id, id);
        });
        recent_failures::forget(key, model.id, id);
        if request.wanted {
            // NOWAIT was answered ACCEPTED before anybody could know.
            write_back::announce_stored(ctx, key);
        }
    }
    end(request, &Ok((result, "stored")));
}

fn end(request: Request, outcome: &Outcome) {
    if let Some(key) = request.key() {
        in_flight::with(|in_flight| in_flight.histories.close(key));
    }
    respond(request, outcome);
}

/// One write for each key: of requests for the same key the newest counts, and the last expiry given.
fn writes(requests: &[(RequestId, Request)], result: &Result<Arc<str>, Error>) -> Vec<ResultWrite> {
    let mut writes: Vec<ResultWrite> = Vec::new();
    let mut positions: HashMap<Rc<DbKey>, usize> = HashMap::new();
    for (id, request) in requests {
        let Some(key) = request.key() else { continue };
        note_end(*id, request, key, result);
        if !request.writes {
            continue;
        }
        if let Some(position) = positions.get(key) {
            let earlier = &mut writes[*position];
            earlier.request = *id;
            earlier.ttl = request.ttl.or(earlier.ttl);
            continue;
        }
        positions.insert(key.clone(), writes.len());
        writes.push(ResultWrite {
            key: key.clone(),
            request: *id,
            model: request.model.clone(),
            digest: request.digest,
            ttl: request.ttl,
            result: result.as_ref().ok().cloned(),
        });
    }
    writes
}

/// Remembers or forgets failures, for clients that ask late.
fn note_end(id: RequestId, request: &Request, key: &Rc<DbKey>, result: &Result<Arc<str>, Error>) {
    let model = request.model.id;
    let Err(error) = result else {
        if request.writes {
            in_flight::with(|in_flight| in_flight.histories.note_success(key, model, id));
            recent_failures::forget(key, model, id);
        }
        return;
    };
    // A refused call says nothing about the picture; but who was told ACCEPTED has not heard of it.
    let concerns_picture = matches!(error.code, ErrorCode::BadImage | ErrorCode::Failed);
    let overtaken =
        in_flight::with(|in_flight| in_flight.histories.has_newer_success(key, model, id));
    if (concerns_picture || request.wanted) && !overtaken {
        recent_failures::remember(Failure {
            request: id,
            key: key.clone(),
            model,
            digest: request.digest,
            error: error.clone(),
        });
    }
}
