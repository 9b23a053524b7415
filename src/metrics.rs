//! What the module counts. All of it atomics: workers write, INFO reads, nobody waits.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub fn increment(&self) {
        self.add(1);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Durations in buckets that grow by a 32nd: a quantile is right within 3%.
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

/// Values below this have a bucket each; from here on there are this many buckets a power of two.
const STEPS: u64 = 32;
/// Enough for 2^40 microseconds, 12 days.
const BUCKETS: usize = 32 * 36 + 32;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl Histogram {
    pub const fn new() -> Histogram {
        Histogram { buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }

    pub fn record(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(microseconds)].fetch_add(1, Relaxed);
    }

    /// The duration, in milliseconds, that this share of all stays below; 0 if there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let rank = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return upper_bound(index) as f64 / 1e3;
            }
        }
        0.0
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let exponent = value.ilog2() - STEPS.ilog2();
    let step = (value >> exponent) - STEPS;
    let index = u64::from(exponent + 1) * STEPS + step;
    (index as usize).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let (exponent, step) = (index / STEPS - 1, index % STEPS);
    ((STEPS + step + 1) << exponent) - 1
}

/// Of one version of one model.
#[derive(Default)]
pub struct ModelMetrics {
    pub hits: Counter,
    pub misses: Counter,
    pub joined: Counter,
    pub computed: Counter,
    pub failed: Counter,
    pub queue_wait: Histogram,
    pub compute: Histogram,
    /// The parts of it that decoding and the graphs take.
    pub decoding: Histogram,
    pub inference: Histogram,
    compute_microseconds: Counter,
}

impl ModelMetrics {
    pub fn hit(&self) {
        self.hits.increment();
        let mean = self.compute_microseconds.get().checked_div(self.computed.get());
        METRICS.saved_microseconds.add(mean.unwrap_or(0));
    }

    pub fn computed(&self, duration: Duration, decoding: Duration, inference: Duration) {
        self.computed.increment();
        self.decoding.record(decoding);
        self.inference.record(inference);
        self.compute.record(duration);
        self.compute_microseconds.add(duration.as_micros() as u64);
    }
}

/// Why a result was not stored although it was computed for storing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStored {
    /// The server is at its `maxmemory`.
    Memory,
    /// The key holds something that is not ours.
    Foreign,
    /// A newer request on the same key has stored another picture's result.
    Superseded,
    /// A reload has replaced or removed the model meanwhile: nobody would be served the result.
    Replaced,
    /// The server is not (or no longer) a master.
    Role,
    /// The key's slot is on another node now, or the cluster is down.
    Slot,
    /// Too many stores waited for writes to be allowed again.
    PutOffFull,
    /// The server refused for a reason of its own, which is in its log.
    Refused,
}

impl NotStored {
    pub const ALL: [NotStored; 8] = [
        NotStored::Memory,
        NotStored::Foreign,
        NotStored::Superseded,
        NotStored::Replaced,
        NotStored::Role,
        NotStored::Slot,
        NotStored::PutOffFull,
        NotStored::Refused,
    ];

    pub fn name(self) -> &'static str {
        match self {
            NotStored::Memory => "memory",
            NotStored::Foreign => "foreign",
            NotStored::Superseded => "superseded",
            NotStored::Replaced => "replaced",
            NotStored::Role => "role",
            NotStored::Slot => "slot",
            NotStored::PutOffFull => "put_off_full",
            NotStored::Refused => "refused",
        }
    }
}

/// Of the whole module.
pub struct Metrics {
    pub refused: Counter,
    pub timed_out: Counter,
    pub dropped: Counter,
    pub stored: Counter,
    pub put_off: Counter,
    pub bad_images: Counter,
    pub saved_microseconds: Counter,
    pub searches: Counter,
    /// How long searches take, without their wait.
    pub search: Histogram,
    /// Reloads that have ended.
    pub reloads: Counter,
    not_stored: [Counter; NotStored::ALL.len()],
    /// Payload bytes of all requests under way.
    pub queue_bytes: AtomicU64,
    /// Clients that wait.
    pub waiting_clients: AtomicU64,
    /// Requests under way, hashing included.
    pub requests: AtomicU64,
    /// Jobs in the queue, the running ones not among them.
    pub queue_length: AtomicU64,
    pub workers: AtomicU64,
    pub busy_workers: AtomicU64,
    /// Stores that wait for writes to be allowed again.
    pub waiting_stores: AtomicU64,
    /// Identifications and enrolments that wait for a search, or for writes to be allowed.
    pub gallery_calls: AtomicU64,
    pub galleries: AtomicU64,
    pub gallery_subjects: AtomicU64,
    pub gallery_samples: AtomicU64,
    pub gallery_bytes: AtomicU64,
    /// Pictures whose embeddings are remembered.
    pub pictures_seen: AtomicU64,
    /// 1 while models are reloaded.
    pub reloading: AtomicU64,
    /// Models that a reload has replaced or removed and that are still in memory, for jobs under way.
    pub replaced_models: AtomicU64,
}

pub static METRICS: Metrics = Metrics {
    refused: Counter::new(),
    timed_out: Counter::new(),
    dropped: Counter::new(),
    stored: Counter::new(),
    put_off: Counter::new(),
    bad_images: Counter::new(),
    saved_microseconds: Counter::new(),
    searches: Counter::new(),
    search: Histogram::new(),
    reloads: Counter::new(),
    not_stored: [const { Counter::new() }; NotStored::ALL.len()],
    queue_bytes: AtomicU64::new(0),
    waiting_clients: AtomicU64::new(0),
    requests: AtomicU64::new(0),
    queue_length: AtomicU64::new(0),
    workers: AtomicU64::new(0),
    busy_workers: AtomicU64::new(0),
    waiting_stores: AtomicU64::new(0),
    gallery_calls: AtomicU64::new(0),
    galleries: AtomicU64::new(0),
    gallery_subjects: AtomicU64::new(0),
    gallery_samples: AtomicU64::new(0),
    gallery_bytes: AtomicU64::new(0),
    pictures_seen: AtomicU64::new(0),
    reloading: AtomicU64::new(0),
    replaced_models: AtomicU64::new(0),
};

impl Metrics {
    pub fn not_stored(&self, reason: NotStored) -> &Counter {
        &self.not_stored[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_without_gaps() {
        let mut last = 0;
        for value in 0..100_000u64 {
            let index = bucket(value);
            assert!(index == last || index == last + 1, "{value}");
            assert!(value <= upper_bound(index), "{value}");
            last = index;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_right_within_a_32nd() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0.0);
        for milliseconds in 1..=1000 {
            histogram.record(Duration::from_millis(milliseconds));
        }
        for share in [0.5, 0.95, 0.99] {
            let quantile = histogram.quantile(share);
            let exact = share * 1000.0;
            assert!((exact..exact * 1.032).contains(&quantile), "{share}: {quantile}");
        }
    }
}
