//! The embeddings of the pictures seen last: to identify one again costs no inference. Bounded by
//! `image.identify-cache`, emptied when anybody is forgotten. The main thread's alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use recognition::embedding::Embedded;
use zeroize::Zeroize;

use crate::digest::Digest;
use crate::metrics::METRICS;
use crate::settings;

/// A picture, and the model with its version.
type Key = (Digest, CString);

#[derive(Default)]
struct Seen {
    /// With the time of the last use, a number that grows.
    pictures: HashMap<Key, (u64, Arc<[Embedded]>)>,
    by_use: BTreeMap<u64, Key>,
    last: u64,
    /// Jobs up to this number began before somebody was forgotten.
    emptied_at: u64,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

pub fn find(digest: Digest, field: &CStr) -> Option<Arc<[Embedded]>> {
    if settings::identify_cache() == 0 {
        return None;
    }
    SEEN.with_borrow_mut(|seen| {
        let key = (digest, field.to_owned());
        let (used, found) = seen.pictures.get_mut(&key)?;
        seen.last += 1;
        seen.by_use.remove(used);
        *used = seen.last;
        let found = found.clone();
        seen.by_use.insert(seen.last, key);
        Some(found)
    })
}

/// Remembers what the job of that number has found.
pub fn remember(job: u64, digest: Digest, field: &CStr, embeddings: Arc<[Embedded]>) {
    SEEN.with_borrow_mut(|seen| {
        if job <= seen.emptied_at {
            return;
        }
        seen.last += 1;
        let (stamp, key) = (seen.last, (digest, field.to_owned()));
        if let Some((used, _)) = seen.pictures.insert(key.clone(), (stamp, embeddings)) {
            seen.by_use.remove(&used);
        }
        seen.by_use.insert(stamp, key);
        while seen.pictures.len() > settings::identify_cache() {
            let Some((_, oldest)) = seen.by_use.pop_first() else { break };
            seen.pictures.remove(&oldest);
        }
        METRICS.pictures_seen.store(seen.pictures.len() as u64, Relaxed);
    });
}

/// Forgets all pictures, and those that jobs up to this number will yet find.
pub fn empty(last_job: u64) {
    SEEN.with_borrow_mut(|seen| {
        seen.emptied_at = last_job;
        seen.by_use.clear();
        for (_, (_, mut embeddings)) in seen.pictures.drain() {
            // Shared only with a call that is being answered.
            if let Some(embeddings) = Arc::get_mut(&mut embeddings) {
                embeddings.iter_mut().for_each(|embedded| embedded.values.zeroize());
            }
        }
        METRICS.pictures_seen.store(0, Relaxed);
    });
}
