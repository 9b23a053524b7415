//! Pools of what runs a graph for one thread at a time: an engine's sessions. A graph has as many as
//! workers have run it at once, and keeps no more than there are workers.
//!
//! To drop one takes milliseconds. So it is never done by who changes the number of workers (the
//! server's main thread), but by workers: one that gives a session back drops what is too many there,
//! one that ends drops it in all pools.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// The pools of all graphs.
pub struct Pools<T> {
    /// How many of each graph are kept.
    most: AtomicUsize,
    pools: Mutex<Vec<Weak<Pool<T>>>>,
}

/// Those of one graph that nobody uses just now.
pub struct Pool<T> {
    all: Arc<Pools<T>>,
    spare: Mutex<Vec<T>>,
}

impl<T> Pools<T> {
    pub fn new() -> Arc<Pools<T>> {
        Arc::new(Pools { most: AtomicUsize::new(usize::MAX), pools: Mutex::default() })
    }

    /// A pool for one more graph, empty.
    pub fn add(self: &Arc<Pools<T>>) -> Arc<Pool<T>> {
        let pool = Arc::new(Pool { all: self.clone(), spare: Mutex::default() });
        let mut pools = self.pools.lock();
        pools.retain(|known| known.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Changes how many of each graph are kept; drops nothing.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    /// Drops what is more than that, which may take its time.
    pub fn shrink(&self) {
        let pools: Vec<Arc<Pool<T>>> = self.pools.lock().iter().filter_map(Weak::upgrade).collect();
        for pool in pools {
            let too_many = pool.cut(&mut pool.spare.lock());
            // Without the lock: other workers want to take one meanwhile.
            drop(too_many);
        }
    }
}

impl<T> Pool<T> {
    pub fn take(&self) -> Option<T> {
        self.spare.lock().pop()
    }

    /// Keeps it for the next `take`, or drops it if there are enough.
    pub fn put_back(&self, one: T) {
        let too_many = {
            let mut spare = self.spare.lock();
            spare.push(one);
            self.cut(&mut spare)
        };
        drop(too_many);
    }

    /// What is too many. Under the lock, so that who comes after a `shrink` knows its number.
    fn cut(&self, spare: &mut Vec<T>) -> Vec<T> {
        let most = self.all.most.load(Relaxed);
        spare.split_off(most.min(spare.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare<T>(pool: &Pool<T>) -> usize {
        pool.spare.lock().len()
    }

    /// A pool out of which as many were taken, to be given back.
    fn used_by(pools: &Arc<Pools<usize>>, threads: usize) -> Arc<Pool<usize>> {
        let pool = pools.add();
        assert!(pool.take().is_none());
        (0..threads).for_each(|number| pool.put_back(number));
        pool
    }

    #[test]
    fn what_was_given_back_is_taken_again() {
        let pools = Pools::new();
        let pool = used_by(&pools, 2);
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some(1), Some(0), None));
    }

    #[test]
    fn no_more_are_kept_than_there_are_workers() {
        let pools = Pools::new();
        pools.set_most(2);
        assert_eq!(spare(&used_by(&pools, 4)), 2);
    }

    #[test]
    fn fewer_workers_leave_fewer_in_every_pool() {
        let pools = Pools::new();
        pools.set_most(4);
        let all = [4, 1, 3].map(|threads| used_by(&pools, threads));
        let lent = all[0].take().unwrap();
        pools.set_most(1);
        assert_eq!(all.each_ref().map(|pool| spare(pool)), [3, 1, 3], "only shrinking drops");
        pools.shrink();
        assert_eq!(all.each_ref().map(|pool| spare(pool)), [1, 1, 1]);
        all[0].put_back(lent);
        assert_eq!(spare(&all[0]), 1);
    }

    #[test]
    fn a_graph_that_is_gone_leaves_nothing_behind() {
        let pools = Pools::new();
        let whole = Arc::new(());
        let pool = pools.add();
        pool.put_back(whole.clone());
        drop(pool);
        assert_eq!(Arc::strong_count(&whole), 1);
        let _other: Arc<Pool<Arc<()>>> = pools.add();
        assert_eq!(pools.pools.lock().len(), 1);
    }
}
