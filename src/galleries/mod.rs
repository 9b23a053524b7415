//! Calls to galleries on the main thread: identifications, verifications, enrolments.
//!
//! A call with a picture first is a request like any other ([`crate::in_flight`]): hashed, joined,
//! queued, recognised. With its embeddings the call becomes a pending call of this room: a thread of its
//! own searches for it ([`crate::workers::searcher`]), then it is answered or written on the main
//! thread. Between any two steps the gallery may change, vanish or be another one under the same key;
//! every step looks.

mod batching;
pub mod embedding_cache;
mod enrolment;
mod lookup;
mod pending;
mod responses;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use gallery::{GalleryError, UnitVector};
use recognition::embedding::Embedded;
use redis_module::Context;

use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::ids::{CallId, RequestId};
use crate::in_flight::admission::{Admission, admit};
use crate::in_flight::{self, DbKey, GalleryCall, Purpose, Request, Target, Waiter};
use crate::models::ServedModel;
use crate::reply::Reply;
use crate::server::gallery_value::ServerSnapshot;
use crate::server::guard;
use crate::server::payload::Payload;
use crate::workers::completions::Matches;
use crate::workers::searcher::{self, Batch, Question, Search};
use batching::Batching;
pub use enrolment::enrolled;
pub use lookup::{
    cached_embeddings, check_binding, no_gallery, show_gallery, stored_embeddings, subject_unknown,
    wrong_type,
};
use pending::PendingCall;
pub use pending::{disconnected, timed_out};

/// What a call comes to next.
enum Step {
    Reply(Reply),
    Search,
    Write,
}

/// What a call comes to when its turn to be searched for has come.
enum Turn {
    Search { queries: Vec<UnitVector>, question: Question },
    Step(Step),
}

/// How often a search is done again because what it found was forgotten meanwhile.
const MOST_SEARCHES: usize = 4;
/// The most queries that are searched for together: their results wait for the last of them.
const MOST_QUERIES: usize = 64;

thread_local! {
    /// No destructor is wanted, as for the pending calls.
    static BATCHING: ManuallyDrop<RefCell<Batching<Rc<DbKey>, CallId>>> =
        ManuallyDrop::new(RefCell::default());
}

fn batching<T>(body: impl FnOnce(&mut Batching<Rc<DbKey>, CallId>) -> T) -> T {
    BATCHING.with(|batching| body(&mut batching.borrow_mut()))
}

/// Goes on with the embeddings of a call's picture or vector. `bytes` is the size of the call's
/// arguments.
pub fn begin(
    ctx: &Context,
    call: Rc<GalleryCall>,
    waiter: Waiter,
    bytes: usize,
    found: Arc<[Embedded]>,
) {
    let mut pending = PendingCall::new(call, waiter, bytes, found);
    let step = first_step(ctx, &mut pending);
    answer_or_go_on(ctx, pending, step);
}

/// Forgets the embeddings of all pictures seen: somebody was forgotten, or may have been in a data set
/// that was loaded.
pub fn forget_pictures() {
    embedding_cache::clear(in_flight::with(|in_flight| in_flight.last_job()));
}

/// The large picture of a call has its digest.
pub fn hashed(ctx: &Context, id: RequestId, model: &ServedModel, digest: Digest, payload: Payload) {
    let admission = admit(
        model,
        || Ok(cached_embeddings(model, digest)),
        || in_flight::join_or_enqueue(id, digest, payload, false),
    );
    let outcome = match admission {
        Ok(Admission::Entered(())) => return,
        Ok(Admission::Known(found)) => Ok(found),
        Err(error) => Err(error),
    };
    if let Some(request) = in_flight::with(|in_flight| in_flight.take(id)) {
        with_embeddings(ctx, request, outcome);
    }
}

/// The request of a call has ended: with embeddings the call goes on.
pub fn with_embeddings(ctx: &Context, request: Request, outcome: Result<Arc<[Embedded]>, Error>) {
    let bytes = request.memory();
    let (Target::Gallery(call), Some(waiter)) = (request.target, request.requester) else {
        // Nobody waits for it any more: nothing is answered, and nobody is enrolled unawares.
        return;
    };
    match outcome {
        Ok(found) => begin(ctx, call, waiter, bytes, found),
        Err(error) => waiter.client.unblock(Reply::Error(error)),
    }
}

fn first_step(ctx: &Context, pending: &mut PendingCall) -> Result<Step, Error> {
    let call = pending.call.clone();
    match &call.purpose {
        Purpose::Identify { .. } | Purpose::Verify { .. } if pending.found.is_empty() => {
            after_search(ctx, pending, Vec::new())
        }
        Purpose::Identify { .. } | Purpose::Verify { .. } => Ok(Step::Search),
        Purpose::Enrol { largest, force, gate, .. } => {
            let chosen = enrolment::choose(&pending.found, *largest, *gate)?;
            pending.found = Arc::from([chosen]);
            if *force { Ok(Step::Write) } else { Ok(Step::Search) }
        }
    }
}

fn answer_or_go_on(ctx: &Context, pending: PendingCall, step: Result<Step, Error>) {
    match step {
        Ok(Step::Reply(reply)) => pending.waiter.client.unblock(reply),
        Err(error) => pending.waiter.client.unblock(Reply::Error(error)),
        Ok(Step::Write) => enrolment::write_soon(pending),
        Ok(Step::Search) => {
            let gallery = Rc::new(pending.call.key.clone());
            let call = pending::put(pending);
            batching(|batching| batching.wait(gallery, [call]));
            search_next(ctx);
        }
    }
}

/// Gives the searcher its next batch if it has none.
fn search_next(ctx: &Context) {
    while let Some((gallery, mut calls)) = batching(Batching::next) {
        let batch = guard("a batch of searches", None, || next_batch(ctx, &mut calls));
        batching(|batching| batching.begun(batch.is_some(), gallery, calls));
        if let Some(batch) = batch {
            searcher::begin(batch);
        }
    }
}

/// Takes as many calls as go together. A call that turns out to need no search is answered.
fn next_batch(ctx: &Context, calls: &mut VecDeque<CallId>) -> Option<Batch> {
    let mut snapshot: Option<ServerSnapshot> = None;
    let mut searches: Vec<Search> = Vec::new();
    let mut together = 0;
    while let Some(&call) = calls.front() {
        // None: its client has gone, or was told that its time is over.
        let Some(count) = pending::query_count(call) else {
            calls.pop_front();
            continue;
        };
        if !searches.is_empty() && together + count > MOST_QUERIES {
            break;
        }
        calls.pop_front();
        let Some(mut pending) = pending::take(call) else { continue };
        let panicked =
            Error::new(ErrorCode::Failed, "the search panicked; the server's log has more");
        let turn = guard("a search", Err(panicked), || take_turn(ctx, &mut pending, &mut snapshot));
        match turn {
            Ok(Turn::Search { queries, question }) => {
                together += queries.len();
                pending.searches += 1;
                searches.push(Search { call: pending::put(pending), queries, question });
            }
            Ok(Turn::Step(step)) => answer_or_go_on(ctx, pending, Ok(step)),
            Err(error) => answer_or_go_on(ctx, pending, Err(error)),
        }
    }
    let snapshot = snapshot.filter(|_| !searches.is_empty())?;
    Some(Batch { snapshot, searches })
}

/// Has the gallery searched as it is now. All calls of a batch are of one moment: they share a snapshot.
fn take_turn(
    ctx: &Context,
    pending: &mut PendingCall,
    snapshot: &mut Option<ServerSnapshot>,
) -> Result<Turn, Error> {
    let call = pending.call.clone();
    let asked = lookup::with_same_gallery(ctx, &call, |value| {
        let gallery = value.gallery();
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
        Ok((question, 1..)) => Ok(Turn::Search { queries: queries(&pending.found)?, question }),
        Ok((_, 0)) => {
            let nothing = vec![Vec::new(); pending.found.len()];
            after_search(ctx, pending, nothing).map(Turn::Step)
        }
        Err(error) if makes_gallery(&call, &error) => Ok(Turn::Step(Step::Write)),
        Err(error) => Err(error),
    }
}

fn queries(found: &[Embedded]) -> Result<Vec<UnitVector>, GalleryError> {
    found.iter().map(|embedded| UnitVector::new(&embedded.values)).collect()
}

/// The first one who is enrolled makes the gallery.
fn makes_gallery(call: &GalleryCall, error: &Error) -> bool {
    let enrols = matches!(call.purpose, Purpose::Enrol { .. });
    enrols && call.value.is_none() && error.code == ErrorCode::NoGallery
}

/// The searcher has searched for a batch.
pub fn searched(ctx: &Context, outcomes: Vec<(CallId, Result<Matches, Error>)>) {
    batching(Batching::ended);
    for (call, outcome) in outcomes {
        // None: the client has gone or was told that its time is over.
        let Some(mut pending) = pending::take(call) else { continue };
        guard("the end of a search", (), || {
            let step = outcome.and_then(|matches| after_search(ctx, &mut pending, matches));
            answer_or_go_on(ctx, pending, step);
        });
    }
    search_next(ctx);
}

fn after_search(ctx: &Context, pending: &mut PendingCall, matches: Matches) -> Result<Step, Error> {
    let call = pending.call.clone();
    match &call.purpose {
        Purpose::Identify { top, .. } => {
            let last = pending.searches >= MOST_SEARCHES;
            match responses::identification(ctx, &call, &pending.found, &matches, *top, last)? {
                Some(text) => Ok(Step::Reply(Reply::Text(text))),
                None => Ok(Step::Search),
            }
        }
        Purpose::Verify { subject } => {
            let text = responses::verification(ctx, &call, &pending.found, &matches, subject)?;
            Ok(Step::Reply(Reply::Text(text)))
        }
        Purpose::Enrol { subject, .. } => {
            let best = matches.first().and_then(|matches| matches.first());
            let warning = best.map(|best| enrolment::warning(ctx, &call, subject, best));
            match warning.transpose() {
                Ok(warning) => pending.warning = warning.flatten(),
                Err(error) if makes_gallery(&call, &error) => (),
                Err(error) => return Err(error),
            }
            Ok(Step::Write)
        }
    }
}
