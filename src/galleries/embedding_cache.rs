//! The embeddings of the pictures that were seen last: to identify a picture again costs no inference.
//! Bounded by `image.identify-cache`, emptied when anybody is forgotten. The main thread's alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use recognition::embedding::Embedded;
use zeroize::Zeroize;

use crate::digest::Digest;
use crate::ids::JobId;
use crate::metrics::METRICS;
use crate::settings;

/// A picture, and the model with its version.
type CacheKey = (Digest, CString);

#[derive(Default)]
struct EmbeddingCache {
    /// With the time of the last use, a number that grows.
    pictures: HashMap<CacheKey, (u64, Arc<[Embedded]>)>,
    by_use: BTreeMap<u64, CacheKey>,
    last: u64,
    /// Jobs up to this one began before somebody was forgotten.
    emptied_at: Option<JobId>,
}

thread_local! {
    static CACHE: RefCell<EmbeddingCache> = RefCell::default();
}

pub fn find(digest: Digest, field: &CStr) -> Option<Arc<[Embedded]>> {
    if settings::identify_cache() == 0 {
        return None;
    }
    CACHE.with_borrow_mut(|cache| {
        let key = (digest, field.to_owned());
        let (used, found) = cache.pictures.get_mut(&key)?;
        cache.last += 1;
        cache.by_use.remove(used);
        *used = cache.last;
        let found = found.clone();
        cache.by_use.insert(cache.last, key);
        Some(found)
    })
}

/// Remembers what a job has found.
pub fn remember(job: JobId, digest: Digest, field: &CStr, embeddings: Arc<[Embedded]>) {
    CACHE.with_borrow_mut(|cache| {
        if cache.emptied_at.is_some_and(|last| job <= last) {
            return;
        }
        cache.last += 1;
        let (stamp, key) = (cache.last, (digest, field.to_owned()));
        if let Some((used, _)) = cache.pictures.insert(key.clone(), (stamp, embeddings)) {
            cache.by_use.remove(&used);
        }
        cache.by_use.insert(stamp, key);
        while cache.pictures.len() > settings::identify_cache() {
            let Some((_, oldest)) = cache.by_use.pop_first() else { break };
            cache.pictures.remove(&oldest);
        }
        METRICS.pictures_seen.store(cache.pictures.len() as u64, Relaxed);
    });
}

/// Forgets all pictures, and those that jobs up to this one will yet find.
pub fn clear(last_job: JobId) {
    CACHE.with_borrow_mut(|cache| {
        cache.emptied_at = Some(last_job);
        cache.by_use.clear();
        for (_, (_, mut embeddings)) in cache.pictures.drain() {
            // Shared only with a call that is being answered.
            if let Some(embeddings) = Arc::get_mut(&mut embeddings) {
                embeddings.iter_mut().for_each(|embedded| embedded.values.zeroize());
            }
        }
        METRICS.pictures_seen.store(0, Relaxed);
    });
}
