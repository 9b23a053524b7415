//! The thread that searches galleries, beside the hasher and the workers: a search takes
//! milliseconds and must not wait behind inference. It works on a snapshot, at the main thread's
//! priority, and has one batch at a time (`galleries::batching`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use gallery::{GalleryError, SubjectId, UnitVector};
use parking_lot::{Condvar, Mutex};

use super::completions::{self, Completion, Matches};
use crate::error::{Error, ErrorCode};
use crate::ids::CallId;
use crate::metrics::METRICS;
use crate::server::gallery_value::ServerSnapshot;
use crate::server::log;

/// Searches of the same rows.
pub struct Batch {
    pub snapshot: ServerSnapshot,
    pub searches: Vec<Search>,
}

/// Queries of one call.
pub struct Search {
    pub call: CallId,
    pub queries: Vec<UnitVector>,
    pub question: Question,
}

/// What a call wants to know.
pub enum Question {
    /// The subjects most like each query.
    Nearest { wanted: usize },
    /// How like each query one subject is.
    One(SubjectId),
}

struct Desk {
    next: Option<Batch>,
    closed: bool,
}

static DESK: Mutex<Desk> = Mutex::new(Desk { next: None, closed: true });
static CHANGED: Condvar = Condvar::new();

/// To be run on a thread of its own, after [`reopen`].
pub fn search_until_closed() {
    while let Some(batch) = next_batch() {
        search(batch);
    }
}

pub fn reopen() {
    DESK.lock().closed = false;
}

pub fn close() {
    DESK.lock().closed = true;
    CHANGED.notify_all();
}

/// The thread has nothing to do: this is next.
pub fn begin(batch: Batch) {
    DESK.lock().next = Some(batch);
    CHANGED.notify_one();
}

fn next_batch() -> Option<Batch> {
    let mut desk = DESK.lock();
    loop {
        if desk.closed {
            return None;
        }
        if let Some(batch) = desk.next.take() {
            return Some(batch);
        }
        CHANGED.wait(&mut desk);
    }
}

fn search(batch: Batch) {
    let start = Instant::now();
    let calls: Vec<CallId> = batch.searches.iter().map(|search| search.call).collect();
    let found = catch_unwind(AssertUnwindSafe(|| answers(&batch))).unwrap_or_else(|_| {
        log::warning("a panic was caught in a search; please report it with its backtrace");
        let error = Error::new(ErrorCode::Failed, "the search panicked; the server's log has more");
        calls.iter().map(|_| Err(error.clone())).collect()
    });
    // Before anybody is answered: who forgets now finds no copy of the rows.
    drop(batch);
    for _ in &calls {
        METRICS.searches.increment();
        METRICS.search.record(start.elapsed());
    }
    completions::post(Completion::Searched(calls.into_iter().zip(found).collect()));
}

fn answers(batch: &Batch) -> Vec<Result<Matches, Error>> {
    let wanted = |search: &Search| match search.question {
        Question::Nearest { wanted } => Some(wanted),
        Question::One(_) => None,
    };
    let most = batch.searches.iter().filter_map(wanted).max().unwrap_or(0);
    let queries: Vec<UnitVector> = batch
        .searches
        .iter()
        .filter(|search| wanted(search).is_some())
        .flat_map(|search| search.queries.iter().cloned())
        .collect();
    let nearest = match queries.is_empty() {
        true => Ok(Vec::new()),
        false => batch.snapshot.search(&queries, most),
    };
    let mut nearest = nearest.map(Vec::into_iter);
    let answer = |search: &Search| match search.question {
        Question::Nearest { wanted } => match &mut nearest {
            Ok(nearest) => {
                let own = nearest.by_ref().take(search.queries.len());
                Ok(own
                    .map(|mut matches| {
                        matches.truncate(wanted);
                        matches
                    })
                    .collect())
            }
            Err(error) => Err((*error).into()),
        },
        Question::One(subject) => one(&batch.snapshot, search, subject).map_err(Error::from),
    };
    batch.searches.iter().map(answer).collect()
}

fn one(
    snapshot: &ServerSnapshot,
    search: &Search,
    subject: SubjectId,
) -> Result<Matches, GalleryError> {
    let verify = |query| Ok(snapshot.verify(query, subject)?.into_iter().collect());
    search.queries.iter().map(verify).collect()
}
