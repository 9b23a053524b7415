//! Calls to galleries on the main thread: identifications, verifications, enrolments.
//!
//! A call with a picture first is a request like any other ([`crate::in_flight`]): hashed, joined,
//! queued, recognised. With its embeddings it becomes an open call of this room: searched for on a
//! thread of its own ([`crate::searches`]), then answered or written on the main thread. Between any
//! two steps the gallery may change, vanish or be another one under the same key; every step looks.

mod answer;
mod calls;
mod enrolment;
pub mod held;
mod lookup;
pub mod seen;

use std::rc::Rc;
use std::sync::Arc;

use redis_module::Context;

use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::gallery::{Binding, GalleryError, UnitVector};
use crate::in_flight::{self, Request, RequestId, Target, Waiter};
use crate::models::ServedModel;
use crate::queue::Recognized;
use crate::recognition::embedding::{Embedded, Gate};
use crate::reply::Reply;
use crate::searches::{self, Matches, Question, Search};
use crate::server::payload::Payload;
use calls::Open;
pub use calls::{CallId, disconnected, timed_out};
pub use enrolment::enrolled;
use held::Identity;
pub use lookup::{check_binding, known, no_gallery, open, subject_unknown, wrong_type};

/// What a client asked of a gallery, its arguments understood.
pub struct Call {
    pub db: i32,
    /// The gallery's key.
    pub key: Vec<u8>,
    /// The value that the key held when the call came; none if there was no key.
    pub identity: Option<Identity>,
    pub binding: Binding,
    /// Similarity from which on a subject is recognised.
    pub threshold: f64,
    pub purpose: Purpose,
}

pub enum Purpose {
    Identify {
        top: usize,
        /// The key whose stored result may spare the recognition.
        image: Option<Vec<u8>>,
    },
    Verify {
        subject: Vec<u8>,
    },
    Enrol {
        subject: Vec<u8>,
        /// Of several faces the largest.
        largest: bool,
        /// No warning, whoever it is like.
        force: bool,
        gate: Option<Gate>,
    },
}

/// What a call comes to next.
enum Step {
    Reply(Reply),
    Search { snapshot: held::ServerSnapshot, version: (Identity, u64), question: Question },
    Write,
}

/// How often a search is done again because what it found was forgotten meanwhile.
const MOST_SEARCHES: usize = 4;

/// Goes on with the embeddings of a call's picture or vector.
pub fn begin(ctx: &Context, call: Rc<Call>, waiter: Waiter, bytes: usize, found: Arc<[Embedded]>) {
    let mut open = Open::new(call, waiter, bytes, found);
    let step = first_step(ctx, &mut open);
    go_on(open, step);
}

/// A large picture has its digest.
pub fn hashed(
    ctx: &Context,
    id: RequestId,
    call: &Rc<Call>,
    model: &Arc<ServedModel>,
    digest: Digest,
    payload: Payload,
) {
    let outcome = match known(ctx, call, model, digest) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => {
            let queued = model
                .check_loaded()
                .and_then(|()| in_flight::with(|in_flight| in_flight.enqueue(id, digest, payload)));
            match queued {
                Ok(()) => return,
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    if let Some(request) = in_flight::with(|in_flight| in_flight.take(id)) {
        with_embeddings(ctx, request, outcome);
    }
}

/// The job of a call's picture has ended.
pub fn recognized(ctx: &Context, request: Request, outcome: &Result<Recognized, Error>) {
    with_embeddings(ctx, request, outcome.clone().map(|recognized| recognized.embeddings));
}

fn with_embeddings(ctx: &Context, request: Request, outcome: Result<Arc<[Embedded]>, Error>) {
    let bytes = request.bytes();
    let (Target::Gallery(call), Some(waiter)) = (request.target, request.asker) else {
        // Nobody waits for it any more: nothing is answered, and nobody is enrolled unawares.
        return;
    };
    match outcome {
        Ok(found) => begin(ctx, call, waiter, bytes, found),
        Err(error) => waiter.client.unblock(Reply::Error(error)),
    }
}

/// A search has ended.
pub fn searched(ctx: &Context, id: CallId, outcome: Result<Matches, Error>) {
    // None: the client has gone or was told that its time is over.
    let Some(mut open) = calls::take(id) else { return };
    let step = outcome.and_then(|matches| after_search(ctx, &mut open, matches));
    go_on(open, step);
}

fn first_step(ctx: &Context, open: &mut Open) -> Result<Step, Error> {
    let call = open.call.clone();
    match &call.purpose {
        Purpose::Identify { .. } | Purpose::Verify { .. } => search_step(ctx, open),
        Purpose::Enrol { largest, force, gate, .. } => {
            let chosen = enrolment::choose(&open.found, *largest, *gate)?;
            open.found = Arc::from([chosen]);
            if *force { Ok(Step::Write) } else { search_step(ctx, open) }
        }
    }
}

/// Has the gallery searched as it is now.
fn search_step(ctx: &Context, open: &mut Open) -> Result<Step, Error> {
    let call = open.call.clone();
    let nothing = || vec![Vec::new(); open.found.len()];
    let question = match &call.purpose {
        // One more than is shown tells the margin.
        Purpose::Identify { top, .. } => {
            lookup::prepare(ctx, &call, |_| Ok(Question::Nearest { wanted: (*top).max(2) }))
        }
        Purpose::Verify { subject } => lookup::prepare(ctx, &call, |gallery| {
            let entry = gallery.subject(subject).ok_or_else(|| subject_unknown(subject))?;
            Ok(Question::One(entry.id))
        }),
        Purpose::Enrol { .. } => {
            match lookup::prepare(ctx, &call, |_| Ok(Question::Nearest { wanted: 1 })) {
                // The first one makes the gallery.
                Err(error) if error.word == Word::NoGallery && call.identity.is_none() => {
                    return Ok(Step::Write);
                }
                prepared => prepared,
            }
        }
    };
    let (snapshot, version, question) = question?;
    if open.found.is_empty() || snapshot.sample_count() == 0 {
        let matches = nothing();
        return after_search(ctx, open, matches);
    }
    open.searches += 1;
    Ok(Step::Search { snapshot, version, question })
}

fn after_search(ctx: &Context, open: &mut Open, matches: Matches) -> Result<Step, Error> {
    let call = open.call.clone();
    match &call.purpose {
        Purpose::Identify { top, .. } => {
            let last = open.searches >= MOST_SEARCHES;
            match answer::identified(ctx, &call, &open.found, &matches, *top, last)? {
                Some(text) => Ok(Step::Reply(Reply::Text(text))),
                None => search_step(ctx, open),
            }
        }
        Purpose::Verify { subject } => answer::verified(ctx, &call, &open.found, &matches, subject)
            .map(|text| Step::Reply(Reply::Text(text))),
        Purpose::Enrol { subject, .. } => {
            let best = matches.first().and_then(|matches| matches.first());
            open.warning = match best {
                Some(best) => enrolment::warning(ctx, &call, subject, best)?,
                None => None,
            };
            Ok(Step::Write)
        }
    }
}

fn go_on(open: Open, step: Result<Step, Error>) {
    match step {
        Ok(Step::Reply(reply)) => open.waiter.client.unblock(reply),
        Err(error) => open.waiter.client.unblock(Reply::Error(error)),
        Ok(Step::Write) => enrolment::write_soon(calls::put(open)),
        Ok(Step::Search { snapshot, version, question }) => {
            let queries = queries(&open.found);
            let call = calls::put(open);
            match queries {
                Ok(queries) => {
                    searches::push(Search { call, version, snapshot, queries, question })
                }
                Err(error) => {
                    if let Some(open) = calls::take(call) {
                        open.waiter.client.unblock(Reply::Error(error.into()));
                    }
                }
            }
        }
    }
}

fn queries(found: &[Embedded]) -> Result<Vec<UnitVector>, GalleryError> {
    found.iter().map(|embedded| UnitVector::new(&embedded.values)).collect()
}
