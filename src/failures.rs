//! The last failures, for an `IMAGE.GET … WAIT` that comes after its request has failed. The main
//! thread's alone.

use std::cell::RefCell;
use std::collections::VecDeque;
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

thread_local! {
    /// Oldest first.
    static FAILURES: RefCell<VecDeque<(Instant, Failure)>> = const { RefCell::new(VecDeque::new()) };
}

pub fn remember(failure: Failure) {
    if failure.place.key.len() > MAX_KEY {
        return;
    }
    FAILURES.with_borrow_mut(|failures| {
        drop_old(failures);
        if failures.len() == MAX_FAILURES {
            failures.pop_front();
        }
        failures.push_back((Instant::now(), failure));
    });
}

/// Forgets the failures of a key that are older than a request that succeeded.
pub fn forget(place: &Place, model: &ServedModel, succeeded: RequestId) {
    FAILURES.with_borrow_mut(|failures| {
        if !failures.is_empty() {
            failures.retain(|(_, failure)| {
                !(failure.request < succeeded && failure.is_of(place, model))
            });
        }
    });
}

/// The last failure of a key, if it is not too old, and whose it is.
pub fn find(
    place: &Place,
    model: &ServedModel,
    digest: Option<Digest>,
) -> Option<(RequestId, Error)> {
    FAILURES.with_borrow_mut(|failures| {
        drop_old(failures);
        let same_picture = |failure: &Failure| match (digest, failure.digest) {
            (Some(wanted), Some(known)) => wanted == known,
            _ => true,
        };
        failures
            .iter()
            .map(|(_, failure)| failure)
            .filter(|failure| failure.is_of(place, model) && same_picture(failure))
            .max_by_key(|failure| failure.request)
            .map(|failure| (failure.request, failure.error.clone()))
    })
}

fn drop_old(failures: &mut VecDeque<(Instant, Failure)>) {
    while failures.front().is_some_and(|(at, _)| at.elapsed() > MAX_AGE) {
        failures.pop_front();
    }
}

impl Failure {
    fn is_of(&self, place: &Place, model: &ServedModel) -> bool {
        *self.place == *place && self.model == model.id
    }
}
