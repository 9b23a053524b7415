//! The last failures, for an `IMAGE.GET … WAIT` that comes after its request has failed. The main
//! thread's alone.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::error::Error;
use crate::in_flight::{Place, RequestId};
use crate::models::{ModelId, ServedModel};

const MAX_FAILURES: usize = 1024;
const MAX_AGE: Duration = Duration::from_secs(60);
/// The failure of a longer key is not remembered: what is kept here is counted nowhere.
const MAX_KEY: usize = 1024;

/// A request that failed.
pub struct Failure {
    pub request: RequestId,
    pub place: Rc<Place>,
    pub model: ModelId,
    pub digest: Option<Digest>,
    pub error: Error,
}

/// By key, as every hit looks whether its key has one.
#[derive(Default)]
struct Failures {
    by_place: HashMap<Rc<Place>, Vec<Failure>>,
    /// Oldest first. What was forgotten earlier is still listed here until its time has come.
    by_age: VecDeque<(Instant, Rc<Place>, RequestId)>,
}

thread_local! {
    static FAILURES: RefCell<Failures> = RefCell::default();
}

pub fn remember(failure: Failure) {
    if failure.place.key.len() > MAX_KEY {
        return;
    }
    FAILURES.with_borrow_mut(|failures| {
        failures.drop_old();
        if failures.by_age.len() == MAX_FAILURES {
            failures.drop_oldest();
        }
        let (place, request) = (failure.place.clone(), failure.request);
        failures.by_age.push_back((Instant::now(), place.clone(), request));
        failures.by_place.entry(place).or_default().push(failure);
    });
}

/// Forgets the failures of a key that are older than a request that succeeded.
pub fn forget(place: &Place, model: &ServedModel, succeeded: RequestId) {
    FAILURES.with_borrow_mut(|failures| {
        failures.retain(place, |failure| failure.request >= succeeded || failure.model != model.id);
    });
}

/// The last failure of a key, if it is not too old, and whose it is.
pub fn find(
    place: &Place,
    model: &ServedModel,
    digest: Option<Digest>,
) -> Option<(RequestId, Error)> {
    FAILURES.with_borrow_mut(|failures| {
        failures.drop_old();
        let same_picture = |failure: &Failure| match (digest, failure.digest) {
            (Some(wanted), Some(known)) => wanted == known,
            _ => true,
        };
        failures
            .by_place
            .get(place)?
            .iter()
            .filter(|failure| failure.model == model.id && same_picture(failure))
            .max_by_key(|failure| failure.request)
            .map(|failure| (failure.request, failure.error.clone()))
    })
}

impl Failures {
    fn drop_old(&mut self) {
        while self.by_age.front().is_some_and(|(at, ..)| at.elapsed() > MAX_AGE) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, place, request)) = self.by_age.pop_front() {
            self.retain(&place, |failure| failure.request != request);
        }
    }

    fn retain(&mut self, place: &Place, keep: impl FnMut(&Failure) -> bool) {
        if let Some(failures) = self.by_place.get_mut(place) {
            failures.retain(keep);
            if failures.is_empty() {
                self.by_place.remove(place);
            }
        }
    }
}
