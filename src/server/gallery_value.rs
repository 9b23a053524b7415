//! A gallery as the value of a key.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gallery::{Forgotten, Gallery, GalleryError, SampleId, Snapshot, UnitVector};

use crate::metrics::METRICS;
use crate::server::memory::ServerMemory;

/// A gallery in the server's memory.
pub type ServerGallery = Gallery<ServerMemory>;
/// What a search thread gets of it.
pub type ServerSnapshot = Snapshot<ServerMemory>;

/// A key's value. It may be freed on another thread; until then it is the main thread's alone.
pub struct GalleryValue {
    gallery: ServerGallery,
    id: ValueId,
    counted: Totals,
}

/// Tells a value from any other that this process ever held: a key that was deleted and filled anew,
/// loaded or restored holds another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValueId(u64);

/// What INFO adds up over all galleries.
#[derive(Default, Clone, Copy)]
struct Totals {
    subjects: u64,
    samples: u64,
    bytes: u64,
}

impl GalleryValue {
    pub fn new(gallery: ServerGallery) -> GalleryValue {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = ValueId(NEXT.fetch_add(1, Relaxed));
        METRICS.galleries.fetch_add(1, Relaxed);
        let mut value = GalleryValue { gallery, id, counted: Totals::default() };
        value.count();
        value
    }

    pub fn gallery(&self) -> &ServerGallery {
        &self.gallery
    }

    pub fn id(&self) -> ValueId {
        self.id
    }

    pub fn enrol(
        &mut self,
        subject: &[u8],
        vector: &UnitVector,
        sample: Option<SampleId>,
    ) -> Result<SampleId, GalleryError> {
        let enrolled = self.gallery.enrol(subject, vector, sample);
        self.count();
        enrolled
    }

    pub fn forget(&mut self, subject: &[u8], sample: Option<SampleId>) -> Forgotten {
        let forgotten = self.gallery.forget(subject, sample);
        self.count();
        forgotten
    }

    pub fn raise_next_sample(&mut self, next: u64) {
        self.gallery.raise_next_sample(next);
    }

    /// As `COPY` wants it: rows are shared until one of both changes.
    pub fn copy(&self) -> GalleryValue {
        GalleryValue::new(self.gallery.clone())
    }

    /// What the key's value takes of the server's memory.
    pub fn memory_usage(&self) -> usize {
        size_of::<GalleryValue>() - size_of::<ServerGallery>() + self.gallery.memory_usage()
    }

    fn count(&mut self) {
        let now = Totals {
            subjects: self.gallery.subject_count() as u64,
            samples: self.gallery.sample_count() as u64,
            bytes: self.memory_usage() as u64,
        };
        let before = std::mem::replace(&mut self.counted, now);
        publish(before, now);
    }
}

impl Drop for GalleryValue {
    fn drop(&mut self) {
        METRICS.galleries.fetch_sub(1, Relaxed);
        publish(self.counted, Totals::default());
    }
}

/// By differences, as several threads may free galleries: a sum wraps around and comes out right.
fn publish(before: Totals, now: Totals) {
    let add = |total: &AtomicU64, before: u64, now: u64| {
        total.fetch_add(now.wrapping_sub(before), Relaxed);
    };
    add(&METRICS.gallery_subjects, before.subjects, now.subjects);
    add(&METRICS.gallery_samples, before.samples, now.samples);
    add(&METRICS.gallery_bytes, before.bytes, now.bytes);
}
