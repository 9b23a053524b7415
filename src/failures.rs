//! The last failures, for an `IMAGE.GET … WAIT` that comes after its request has failed. The main
//! thread's alone.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::error::Error;
use crate::in_flight::Place;
use crate::models::ServedModel;

const MAX_FAILURES: usize = 1024;
const MAX_AGE: Duration = Duration::from_secs(60);

struct Failure {
    place: Rc<Place>,
    model: Arc<ServedModel>,
    digest: Option<Digest>,
    error: Error,
    at: Instant,
}

thread_local! {
    /// Oldest first.
    static FAILURES: RefCell<VecDeque<Failure>> = const { RefCell::new(VecDeque::new()) };
}

pub fn remember(place: Rc<Place>, model: Arc<ServedModel>, digest: Option<Digest>, error: Error) {
    FAILURES.with_borrow_mut(|failures| {
        if failures.len() == MAX_FAILURES {
            failures.pop_front();
        }
        failures.push_back(Failure { place, model, digest, error, at: Instant::now() });
    });
}

/// Forgets the failures of a key that has succeeded since.
pub fn forget(place: &Place, model: &Arc<ServedModel>) {
    FAILURES.with_borrow_mut(|failures| {
        if !failures.is_empty() {
            failures.retain(|failure| !failure.is_of(place, model));
        }
    });
}

/// The last failure of a key, if it is not too old.
pub fn find(place: &Place, model: &Arc<ServedModel>, digest: Option<Digest>) -> Option<Error> {
    FAILURES.with_borrow_mut(|failures| {
        while failures.front().is_some_and(|failure| failure.at.elapsed() > MAX_AGE) {
            failures.pop_front();
        }
        let same_picture = |failure: &Failure| match (digest, failure.digest) {
            (Some(wanted), Some(known)) => wanted == known,
            _ => true,
        };
        let found = failures
            .iter()
            .rev()
            .find(|failure| failure.is_of(place, model) && same_picture(failure));
        found.map(|failure| failure.error.clone())
    })
}

/// At unload: nothing may keep a model.
pub fn clear() {
    FAILURES.with_borrow_mut(VecDeque::clear);
}

impl Failure {
    fn is_of(&self, place: &Place, model: &Arc<ServedModel>) -> bool {
        *self.place == *place && Arc::ptr_eq(&self.model, model)
    }
}
