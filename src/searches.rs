//! The thread that searches galleries, beside the hasher and the workers: a search takes
//! milliseconds and must not wait behind inference. It works on a snapshot, at the main thread's
//! priority, and has one batch at a time (`galleries::turns`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use gallery::{GalleryError, Match, SubjectId, UnitVector};
use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Word};
use crate::galleries::CallId;
use crate::galleries::held::ServerSnapshot;
use crate::metrics::METRICS;
use crate::queue::{self, Done};
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

pub enum Question {
    /// The subjects most like each query.
    Nearest { wanted: usize },
    /// How like each query one subject is.
    One(SubjectId),
}

/// For each query what was found, the best first.
pub type Matches = Vec<Vec<Match>>;

struct State {
    next: Option<Batch>,
    closed: bool,
}

static STATE: Mutex<State> = Mutex::new(State { next: None, closed: true });
static CHANGED: Condvar = Condvar::new();

/// To be run on a thread of its own, after [`open`].
pub fn search_until_closed() {
    while let Some(batch) = next_batch() {
        search(batch);
    }
}

pub fn open() {
    STATE.lock().closed = false;
}

pub fn close() {
    STATE.lock().closed = true;
    CHANGED.notify_all();
}

/// The thread has nothing to do: this is next.
pub fn begin(batch: Batch) {
    STATE.lock().next = Some(batch);
    CHANGED.notify_one();
}

fn next_batch() -> Option<Batch> {
    let mut state = STATE.lock();
    loop {
        if state.closed {
            return None;
        }
        if let Some(batch) = state.next.take() {
            return Some(batch);
        }
        CHANGED.wait(&mut state);
    }
}

fn search(batch: Batch) {
    let start = Instant::now();
    let calls: Vec<CallId> = batch.searches.iter().map(|search| search.call).collect();
    let found = catch_unwind(AssertUnwindSafe(|| answers(&batch))).unwrap_or_else(|_| {
        log::warning("a panic was caught in a search; please report it with its backtrace");
        let error = Error::new(Word::Failed, "the search panicked; the server's log has more");
        calls.iter().map(|_| Err(error.clone())).collect()
    });
    // Before anybody is answered: who forgets now finds no copy of the rows.
    drop(batch);
    for _ in &calls {
        METRICS.searches.increment();
        METRICS.search.record(start.elapsed());
    }
    queue::post(Done::Searched(calls.into_iter().zip(found).collect()));
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
