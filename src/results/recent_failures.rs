//! The negative cache: requests that failed within the last minute, for an `IMAGE.GET … WAIT` that comes
//! after its request has failed. The main thread's alone.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::error::Error;
use crate::ids::RequestId;
use crate::in_flight::DbKey;
use crate::models::ModelId;

const MAX_FAILURES: usize = 1024;
const MAX_AGE: Duration = Duration::from_secs(60);
/// The failure of a longer key is not remembered: what is kept here is counted nowhere.
const MAX_KEY: usize = 1024;

/// A request that failed.
pub struct Failure {
    pub request: RequestId,
    pub key: Rc<DbKey>,
    pub model: ModelId,
    pub digest: Option<Digest>,
    pub error: Error,
}

/// Indexed by key, as every hit asks whether its key has a failure.
#[derive(Default)]
struct RecentFailures {
    by_key: HashMap<Rc<DbKey>, Vec<Failure>>,
    /// Oldest first. What was forgotten earlier is still listed here until its time has come.
    by_age: VecDeque<(Instant, Rc<DbKey>, RequestId)>,
}

thread_local! {
    static FAILURES: RefCell<RecentFailures> = RefCell::default();
}

pub fn remember(failure: Failure) {
    if failure.key.name.len() > MAX_KEY {
        return;
    }
    FAILURES.with_borrow_mut(|failures| {
        failures.drop_old();
        if failures.by_age.len() == MAX_FAILURES {
            failures.drop_oldest();
        }
        let (key, request) = (failure.key.clone(), failure.request);
        failures.by_age.push_back((Instant::now(), key.clone(), request));
        failures.by_key.entry(key).or_default().push(failure);
    });
}

/// Forgets the failures of a key that are older than a request that succeeded.
pub fn forget(key: &DbKey, model: ModelId, succeeded: RequestId) {
    FAILURES.with_borrow_mut(|failures| {
        failures.retain(key, |failure| failure.request >= succeeded || failure.model != model);
    });
}

/// The last failure of a key, if it is not too old, and whose it is.
pub fn find(key: &DbKey, model: ModelId, digest: Option<Digest>) -> Option<(RequestId, Error)> {
    FAILURES.with_borrow_mut(|failures| {
        failures.drop_old();
        let same_picture = |failure: &Failure| match (digest, failure.digest) {
            (Some(wanted), Some(known)) => wanted == known,
            _ => true,
        };
        failures
            .by_key
            .get(key)?
            .iter()
            .filter(|failure| failure.model == model && same_picture(failure))
            .max_by_key(|failure| failure.request)
            .map(|failure| (failure.request, failure.error.clone()))
    })
}

impl RecentFailures {
    fn drop_old(&mut self) {
        while self.by_age.front().is_some_and(|(at, ..)| at.elapsed() > MAX_AGE) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key, request)) = self.by_age.pop_front() {
            self.retain(&key, |failure| failure.request != request);
        }
    }

    fn retain(&mut self, key: &DbKey, keep: impl FnMut(&Failure) -> bool) {
        if let Some(failures) = self.by_key.get_mut(key) {
            failures.retain(keep);
            if failures.is_empty() {
                self.by_key.remove(key);
            }
        }
    }
}
