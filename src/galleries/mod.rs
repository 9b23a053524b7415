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
mod turns;

use std::rc::Rc;
use std::sync::Arc;

use gallery::{Binding, GalleryError, UnitVector};
use recognition::embedding::{Embedded, Gate};
use redis_module::Context;

use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::in_flight::{self, Request, RequestId, Target, Waiter};
use crate::models::ServedModel;
use crate::queue::Recognized;
use crate::reply::Reply;
use crate::searches::{Matches, Question};
use crate::server::guard;
use crate::server::payload::Payload;
use calls::Open;
pub use calls::{CallId, disconnected, timed_out};
pub use enrolment::enrolled;
use held::Identity;
pub use lookup::{check_binding, known, no_gallery, open, stored, subject_unknown, wrong_type};

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
    Search,
    Write,
}

/// What it comes to when its turn to be searched for has come.
enum Turn {
    Search { queries: Vec<UnitVector>, question: Question },
    Step(Step),
}

/// How often a search is done again because what it found was forgotten meanwhile.
const MOST_SEARCHES: usize = 4;

/// Goes on with the embeddings of a call's picture or vector.
pub fn begin(ctx: &Context, call: Rc<Call>, waiter: Waiter, bytes: usize, found: Arc<[Embedded]>) {
    let mut open = Open::new(call, waiter, bytes, found);
    let step = first_step(ctx, &mut open);
    answer_or_go_on(ctx, open, step);
}

/// Forgets the embeddings of all pictures seen: somebody was forgotten, or may have been in a data set
/// that was loaded.
pub fn forget_pictures() {
    seen::empty(in_flight::with(|in_flight| in_flight.last_number()));
}

/// A large picture has its digest.
pub fn hashed(
    ctx: &Context,
    id: RequestId,
    model: &Arc<ServedModel>,
    digest: Digest,
    payload: Payload,
) {
    let outcome = match known(model, digest) {
        Some(found) => Ok(found),
        None => {
            let queued = model
                .check_loaded()
                .and_then(|()| in_flight::with(|in_flight| in_flight.enqueue(id, digest, payload)));
            match queued {
                Ok(()) => return,
                Err(error) => Err(error),
            }
        }
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

/// The thread has searched for a batch.
pub fn searched(ctx: &Context, outcomes: Vec<(CallId, Result<Matches, Error>)>) {
    turns::search_ended();
    for (call, outcome) in outcomes {
        // None: the client has gone or was told that its time is over.
        let Some(mut open) = calls::take(call) else { continue };
        guard("the end of a search", (), || {
            let step = outcome.and_then(|matches| after_search(ctx, &mut open, matches));
            answer_or_go_on(ctx, open, step);
        });
    }
    turns::go_on(ctx);
}

fn first_step(ctx: &Context, open: &mut Open) -> Result<Step, Error> {
    let call = open.call.clone();
    match &call.purpose {
        Purpose::Identify { .. } | Purpose::Verify { .. } if open.found.is_empty() => {
            after_search(ctx, open, Vec::new())
        }
        Purpose::Identify { .. } | Purpose::Verify { .. } => Ok(Step::Search),
        Purpose::Enrol { largest, force, gate, .. } => {
            let chosen = enrolment::choose(&open.found, *largest, *gate)?;
            open.found = Arc::from([chosen]);
            if *force { Ok(Step::Write) } else { Ok(Step::Search) }
        }
    }
}

/// Has the gallery searched as it is now. All calls of a batch are of one moment: they share a snapshot.
fn take_turn(
    ctx: &Context,
    open: &mut Open,
    snapshot: &mut Option<held::ServerSnapshot>,
) -> Result<Turn, Error> {
    let call = open.call.clone();
    let asked = lookup::still(ctx, &call, |held| {
        let gallery = held.gallery();
        let question = match &call.purpose {
            // One more than is shown tells the margin.
            Purpose::Identify { top, .. } => Question::Nearest { wanted: (*top).max(2) },
            Purpose::Enrol { .. } => Question::Nearest { wanted: 1 },
            Purpose::Verify { subject } => {
                let entry = gallery.subject(subject).ok_or_else(|| subject_unknown(subject))?;
                Question::One(entry.id)
            }
        };
        snapshot.get_or_insert_with(|| gallery.snapshot());
        Ok((question, gallery.sample_count()))
    });
    match asked {
        Ok((question, 1..)) => Ok(Turn::Search { queries: queries(&open.found)?, question }),
        Ok((_, 0)) => {
            let nothing = vec![Vec::new(); open.found.len()];
            after_search(ctx, open, nothing).map(Turn::Step)
        }
        Err(error) if makes_gallery(&call, &error) => Ok(Turn::Step(Step::Write)),
        Err(error) => Err(error),
    }
}

/// The first one who is enrolled makes the gallery.
fn makes_gallery(call: &Call, error: &Error) -> bool {
    let enrols = matches!(call.purpose, Purpose::Enrol { .. });
    enrols && call.identity.is_none() && error.word == Word::NoGallery
}

fn after_search(ctx: &Context, open: &mut Open, matches: Matches) -> Result<Step, Error> {
    let call = open.call.clone();
    match &call.purpose {
        Purpose::Identify { top, .. } => {
            let last = open.searches >= MOST_SEARCHES;
            match answer::identified(ctx, &call, &open.found, &matches, *top, last)? {
                Some(text) => Ok(Step::Reply(Reply::Text(text))),
                None => Ok(Step::Search),
            }
        }
        Purpose::Verify { subject } => answer::verified(ctx, &call, &open.found, &matches, subject)
            .map(|text| Step::Reply(Reply::Text(text))),
        Purpose::Enrol { subject, .. } => {
            let best = matches.first().and_then(|matches| matches.first());
            let warning = best.map(|best| enrolment::warning(ctx, &call, subject, best));
            match warning.transpose() {
                Ok(warning) => open.warning = warning.flatten(),
                Err(error) if makes_gallery(&call, &error) => (),
                Err(error) => return Err(error),
            }
            Ok(Step::Write)
        }
    }
}

fn answer_or_go_on(ctx: &Context, open: Open, step: Result<Step, Error>) {
    match step {
        Ok(Step::Reply(reply)) => open.waiter.client.unblock(reply),
        Err(error) => open.waiter.client.unblock(Reply::Error(error)),
        Ok(Step::Write) => enrolment::write_soon(calls::put(open)),
        Ok(Step::Search) => turns::wait(ctx, open),
    }
}

fn queries(found: &[Embedded]) -> Result<Vec<UnitVector>, GalleryError> {
    found.iter().map(|embedded| UnitVector::new(&embedded.values)).collect()
}
