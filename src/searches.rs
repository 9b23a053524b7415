//! The thread that searches galleries, beside the hasher and the workers: a search takes
//! milliseconds and must not wait behind inference. It works on snapshots, at the main thread's
//! priority, and takes together what was asked of the same rows.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Word};
use crate::galleries::CallId;
use crate::galleries::held::{Identity, ServerSnapshot};
use crate::gallery::{GalleryError, Match, SubjectId, UnitVector};
use crate::metrics::METRICS;
use crate::queue::{self, Done};
use crate::server::log;

/// Queries of one call.
pub struct Search {
    pub call: CallId,
    /// Which rows: searches of the same are done together.
    pub version: (Identity, u64),
    pub snapshot: ServerSnapshot,
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

/// The most queries that are searched together: their results wait for the last of them.
const MOST_TOGETHER: usize = 64;

struct State {
    waiting: VecDeque<Search>,
    closed: bool,
}

static STATE: Mutex<State> = Mutex::new(State { waiting: VecDeque::new(), closed: true });
static ADDED: Condvar = Condvar::new();

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
    ADDED.notify_all();
}

/// Searches of calls under way are bounded by `image.queue-memory`.
pub fn push(search: Search) {
    STATE.lock().waiting.push_back(search);
    ADDED.notify_one();
}

/// The oldest search, and others of the same rows.
fn next_batch() -> Option<Vec<Search>> {
    let mut state = STATE.lock();
    loop {
        if state.closed {
            return None;
        }
        if let Some(first) = state.waiting.pop_front() {
            let version = first.version;
            let mut queries = first.queries.len();
            let mut batch = vec![first];
            let mut index = 0;
            while index < state.waiting.len() {
                let other = &state.waiting[index];
                let fits =
                    other.version == version && queries + other.queries.len() <= MOST_TOGETHER;
                match if fits { state.waiting.remove(index) } else { None } {
                    Some(other) => {
                        queries += other.queries.len();
                        batch.push(other);
                    }
                    None => index += 1,
                }
            }
            return Some(batch);
        }
        ADDED.wait(&mut state);
    }
}

fn search(batch: Vec<Search>) {
    let start = Instant::now();
    let calls: Vec<CallId> = batch.iter().map(|search| search.call).collect();
    let found = catch_unwind(AssertUnwindSafe(|| answers(&batch))).unwrap_or_else(|_| {
        log::warning("a panic was caught in a search; please report it with its backtrace");
        let error = Error::new(Word::Failed, "the search panicked; the server's log has more");
        calls.iter().map(|_| Err(error.clone())).collect()
    });
    // Before anybody is answered: who forgets now finds no copy of the rows.
    drop(batch);
    for (call, outcome) in calls.into_iter().zip(found) {
        METRICS.searches.increment();
        METRICS.search.record(start.elapsed());
        queue::post(Done::Searched { call, outcome });
    }
}

fn answers(batch: &[Search]) -> Vec<Result<Matches, Error>> {
    let wanted = |search: &Search| match search.question {
        Question::Nearest { wanted } => Some(wanted),
        Question::One(_) => None,
    };
    let most = batch.iter().filter_map(wanted).max().unwrap_or(0);
    let queries: Vec<UnitVector> = batch
        .iter()
        .filter(|search| wanted(search).is_some())
        .flat_map(|search| search.queries.iter().cloned())
        .collect();
    let nearest = match queries.is_empty() {
        true => Ok(Vec::new()),
        false => batch[0].snapshot.search(&queries, most),
    };
    let mut nearest = nearest.map(Vec::into_iter);
    batch
        .iter()
        .map(|search| match (wanted(search), &search.question) {
            (Some(wanted), _) => match &mut nearest {
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
            (None, Question::One(subject)) => one(search, *subject).map_err(Error::from),
            (None, Question::Nearest { .. }) => Ok(Vec::new()),
        })
        .collect()
}

fn one(search: &Search, subject: SubjectId) -> Result<Matches, GalleryError> {
    let verify = |query| Ok(search.snapshot.verify(query, subject)?.into_iter().collect());
    search.queries.iter().map(verify).collect()
}
