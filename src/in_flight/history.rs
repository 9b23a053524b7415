//! What is remembered of a key while anything is under way for it: which requests, and whose result it
//! holds. So an older picture's result never takes the place of a newer one's.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::db_key::DbKey;
use crate::digest::Digest;
use crate::ids::RequestId;
use crate::models::ModelId;

/// The histories of all keys for which anything is under way.
#[derive(Default)]
pub struct Histories {
    keys: HashMap<Rc<DbKey>, History>,
}

#[derive(Default)]
struct History {
    /// Requests, and writes that were put off. With the last of them the history ends.
    open: usize,
    requests: BTreeSet<RequestId>,
    /// The newest request whose result the key holds.
    stored: Option<(RequestId, Digest)>,
    /// The newest request that ended with a result, for each model.
    succeeded: HashMap<ModelId, RequestId>,
}

impl Histories {
    /// A request for the key is under way.
    pub(super) fn begin(&mut self, key: Rc<DbKey>, request: RequestId) {
        let history = self.keys.entry(key).or_default();
        history.open += 1;
        history.requests.insert(request);
    }

    /// A request has ended. What was noted of the key stays until [`Histories::close`].
    pub(super) fn end(&mut self, key: &DbKey, request: RequestId) {
        if let Some(history) = self.keys.get_mut(key) {
            history.requests.remove(&request);
        }
    }

    /// Keeps a key's history for a write that was put off.
    pub fn hold_open(&mut self, key: &Rc<DbKey>) {
        self.keys.entry(key.clone()).or_default().open += 1;
    }

    /// Nothing more will happen to the key on behalf of one request, or of one put-off write.
    pub fn close(&mut self, key: &DbKey) {
        let Some(history) = self.keys.get_mut(key) else { return };
        history.open = history.open.saturating_sub(1);
        if history.open == 0 {
            self.keys.remove(key);
        }
    }

    /// The requests that are under way for the key, the newest first.
    pub(super) fn newest_first(&self, key: &DbKey) -> impl Iterator<Item = RequestId> {
        self.keys.get(key).into_iter().flat_map(|history| history.requests.iter().rev().copied())
    }

    /// Whether the key holds the result of a newer request for another picture.
    pub fn is_superseded(&self, key: &DbKey, request: RequestId, digest: Digest) -> bool {
        let stored = self.keys.get(key).and_then(|history| history.stored);
        stored.is_some_and(|(newer, other)| newer > request && other != digest)
    }

    /// Notes whose result the key holds now.
    pub fn note_stored(&mut self, key: &DbKey, request: RequestId, digest: Digest) {
        if let Some(history) = self.keys.get_mut(key) {
            let newer = history.stored.is_some_and(|(other, _)| other > request);
            if !newer {
                history.stored = Some((request, digest));
            }
        }
    }

    /// Notes that a request ended with a result, stored or not.
    pub fn note_success(&mut self, key: &DbKey, model: ModelId, request: RequestId) {
        if let Some(history) = self.keys.get_mut(key) {
            let newest = history.succeeded.entry(model).or_insert(request);
            *newest = request.max(*newest);
        }
    }

    /// Whether a newer request for the key has ended with a result.
    pub fn has_newer_success(&self, key: &DbKey, model: ModelId, request: RequestId) -> bool {
        let newest = self.keys.get(key).and_then(|history| history.succeeded.get(&model));
        newest.is_some_and(|newest| *newest > request)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
