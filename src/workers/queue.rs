//! The bounded queue: jobs for the workers, payloads for the hasher, and which workers there are.
//!
//! [`Queue`] is a plain state machine; around it are one lock and three conditions to wait for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::ids::{JobId, RequestId};
use crate::metrics::METRICS;
use crate::models::ServedModel;
use crate::server::payload::Payload;
use crate::settings;

/// One recognition to do.
pub struct Work {
    pub job: JobId,
    pub model: Arc<ServedModel>,
    pub payload: Payload,
    pub queued: Instant,
}

/// What a thread does next.
#[derive(Debug, PartialEq, Eq)]
enum Next<T> {
    Begin(T),
    Wait,
    End,
}

/// The state machine, for jobs `J` and payloads to be hashed `H`.
struct Queue<J, H> {
    jobs: VecDeque<J>,
    hashes: VecDeque<H>,
    /// The threads are to end.
    closed: bool,
    /// The server is about to end: nothing more is begun.
    halted: bool,
    /// Workers that have a job, or that have ended and still give back what they held.
    running: usize,
    /// Workers up to this number go on; the others end.
    wanted: usize,
    /// Which workers have not ended, by their number.
    alive: Vec<bool>,
}

impl<J, H> Queue<J, H> {
    const fn new() -> Queue<J, H> {
        Queue {
            jobs: VecDeque::new(),
            hashes: VecDeque::new(),
            closed: true,
            halted: false,
            running: 0,
            wanted: 0,
            alive: Vec::new(),
        }
    }

    /// Queues a job, or gives it back if the queue is closed or holds `limit` jobs.
    fn push(&mut self, job: J, limit: usize) -> Result<(), J> {
        if self.closed || self.jobs.len() >= limit {
            return Err(job);
        }
        self.jobs.push_back(job);
        Ok(())
    }

    fn take_back(&mut self, is_it: impl Fn(&J) -> bool) -> Option<J> {
        let position = self.jobs.iter().position(is_it)?;
        self.jobs.remove(position)
    }

    fn next_job(&mut self, worker: usize) -> Next<J> {
        // Not at the server's end: what an ending worker frees is about to vanish.
        if self.closed || (worker >= self.wanted && !self.halted) {
            self.alive[worker] = false;
            self.running += 1;
            return Next::End;
        }
        let job = if self.halted { None } else { self.jobs.pop_front() };
        match job {
            Some(job) => {
                self.running += 1;
                Next::Begin(job)
            }
            None => Next::Wait,
        }
    }

    fn next_hash(&mut self) -> Next<H> {
        if self.closed {
            return Next::End;
        }
        let hash = if self.halted { None } else { self.hashes.pop_front() };
        hash.map_or(Next::Wait, Next::Begin)
    }

    /// Wants so many workers from now on. Gives the numbers of those that are to be started.
    fn want_workers(&mut self, wanted: usize) -> Vec<usize> {
        if self.closed {
            return Vec::new();
        }
        self.wanted = wanted;
        if self.alive.len() < wanted {
            self.alive.resize(wanted, false);
        }
        (0..wanted).filter(|number| !self.alive[*number]).collect()
    }

    /// A server that takes another request has not ended: it could not save its data, for example.
    /// True if it was halted.
    fn resume(&mut self) -> bool {
        std::mem::take(&mut self.halted)
    }

    fn worker_count(&self) -> usize {
        self.alive.iter().filter(|alive| **alive).count()
    }
}

static QUEUE: Mutex<Queue<Work, (RequestId, Payload)>> = Mutex::new(Queue::new());
static JOB_ADDED: Condvar = Condvar::new();
static HASH_ADDED: Condvar = Condvar::new();
static JOB_ENDED: Condvar = Condvar::new();

fn publish(queue: &Queue<Work, (RequestId, Payload)>) {
    METRICS.queue_length.store(queue.jobs.len() as u64, Relaxed);
    METRICS.busy_workers.store(queue.running as u64, Relaxed);
    METRICS.workers.store(queue.worker_count() as u64, Relaxed);
}

fn resume(queue: &mut Queue<Work, (RequestId, Payload)>) {
    if queue.resume() {
        JOB_ADDED.notify_all();
        HASH_ADDED.notify_all();
    }
}

/// Takes work from now on.
pub fn reopen() {
    let mut queue = QUEUE.lock();
    (queue.closed, queue.halted) = (false, false);
}

/// Takes no more work, and has every thread end.
pub fn close() {
    let mut queue = QUEUE.lock();
    queue.closed = true;
    queue.wanted = 0;
    drop(queue);
    JOB_ADDED.notify_all();
    HASH_ADDED.notify_all();
}

/// Changes the number of workers. `start` starts the worker of a number, or says false.
pub fn set_workers(wanted: usize, mut start: impl FnMut(usize) -> bool) {
    let mut queue = QUEUE.lock();
    for number in queue.want_workers(wanted) {
        queue.alive[number] = start(number);
    }
    publish(&queue);
    drop(queue);
    JOB_ADDED.notify_all();
}

/// Queues a job, or gives it back if the queue is full or closed.
pub fn push(work: Work) -> Result<(), Work> {
    let mut queue = QUEUE.lock();
    queue.push(work, settings::queue_length())?;
    resume(&mut queue);
    publish(&queue);
    drop(queue);
    JOB_ADDED.notify_one();
    Ok(())
}

/// Takes back a job that has not begun.
pub fn take_back(job: JobId) -> Option<Work> {
    let mut queue = QUEUE.lock();
    let work = queue.take_back(|work| work.job == job);
    publish(&queue);
    work
}

/// Has a payload hashed. Payloads of requests under way are bounded by `image.queue-memory`.
pub fn push_hash(request: RequestId, payload: Payload) {
    let mut queue = QUEUE.lock();
    resume(&mut queue);
    queue.hashes.push_back((request, payload));
    drop(queue);
    HASH_ADDED.notify_one();
}

/// Begins no more work and waits for what runs, but not longer than that: the server is about to end,
/// and its libraries' data with it. The threads stay.
pub fn halt(deadline: Instant) {
    let mut queue = QUEUE.lock();
    queue.halted = true;
    while queue.running > 0 {
        if JOB_ENDED.wait_until(&mut queue, deadline).timed_out() {
            return;
        }
    }
}

/// The next payload to be hashed; waits for one. None: the thread is to end.
pub(super) fn next_hash() -> Option<(RequestId, Payload)> {
    let mut queue = QUEUE.lock();
    loop {
        match queue.next_hash() {
            Next::Begin(hash) => return Some(hash),
            Next::End => return None,
            Next::Wait => HASH_ADDED.wait(&mut queue),
        }
    }
}

/// The next job of a worker; waits for one. None: the worker is to end. In either case the worker is
/// busy until [`job_ended`].
pub(super) fn next_job(worker: usize) -> Option<Work> {
    let mut queue = QUEUE.lock();
    loop {
        let next = queue.next_job(worker);
        publish(&queue);
        match next {
            Next::Begin(work) => return Some(work),
            Next::End => return None,
            Next::Wait => JOB_ADDED.wait(&mut queue),
        }
    }
}

/// A worker has finished its job, or has given back all that it held.
pub(super) fn job_ended() {
    let mut queue = QUEUE.lock();
    queue.running -= 1;
    publish(&queue);
    drop(queue);
    JOB_ENDED.notify_all();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 5;
    const MOST_WORKERS: usize = 4;

    #[derive(Debug, Clone)]
    enum Event {
        Push,
        TakeBack(usize),
        Hash,
        NextHash,
        /// A worker that is idle looks for work.
        NextJob(usize),
        JobEnded(usize),
        Workers(usize),
        Halt,
        Resume,
        Close,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            8 => Just(Event::Push),
            2 => (0..20usize).prop_map(Event::TakeBack),
            3 => Just(Event::Hash),
            3 => Just(Event::NextHash),
            8 => (0..MOST_WORKERS).prop_map(Event::NextJob),
            8 => (0..MOST_WORKERS).prop_map(Event::JobEnded),
            2 => (0..=MOST_WORKERS).prop_map(Event::Workers),
            1 => Just(Event::Halt),
            1 => Just(Event::Resume),
            1 => Just(Event::Close),
        ];
        prop::collection::vec(event, 0..150)
    }

    /// What a worker does, as the test knows it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Worker {
        Absent,
        Idle,
        Busy,
    }

    proptest! {
        #[test]
        fn jobs_come_out_once_in_order_within_the_bounds(events in events()) {
            let mut queue: Queue<usize, usize> = Queue::new();
            queue.closed = false;
            let mut workers = [Worker::Absent; MOST_WORKERS];
            let (mut jobs, mut hashes) = (VecDeque::new(), VecDeque::new());
            let mut wanted = 0;
            let (mut halted, mut closed) = (false, false);
            for (number, event) in events.into_iter().enumerate() {
                match event {
                    Event::Push => {
                        let pushed = queue.push(number, LIMIT);
                        prop_assert_eq!(pushed.is_ok(), !closed && jobs.len() < LIMIT);
                        if pushed.is_ok() {
                            jobs.push_back(number);
                        }
                    }
                    Event::TakeBack(which) => {
                        let taken = queue.take_back(|job| *job == which);
                        prop_assert_eq!(taken.is_some(), jobs.contains(&which));
                        jobs.retain(|job| *job != which);
                    }
                    Event::Hash => {
                        queue.hashes.push_back(number);
                        hashes.push_back(number);
                    }
                    Event::NextHash => {
                        let expected = match (closed, halted) {
                            (true, _) => Next::End,
                            (false, true) => Next::Wait,
                            (false, false) => hashes.pop_front().map_or(Next::Wait, Next::Begin),
                        };
                        prop_assert_eq!(queue.next_hash(), expected);
                    }
                    Event::NextJob(worker) if workers[worker] == Worker::Idle => {
                        let is_to_end = closed || (worker >= wanted && !halted);
                        let next = queue.next_job(worker);
                        if is_to_end {
                            prop_assert_eq!(next, Next::End);
                            // It still gives back what it held.
                            workers[worker] = Worker::Absent;
                            queue.running -= 1;
                        } else if halted || jobs.is_empty() {
                            prop_assert_eq!(next, Next::Wait);
                        } else {
                            prop_assert_eq!(Next::Begin(jobs.pop_front().unwrap_or(0)), next);
                            workers[worker] = Worker::Busy;
                        }
                    }
                    Event::JobEnded(worker) if workers[worker] == Worker::Busy => {
                        queue.running -= 1;
                        workers[worker] = Worker::Idle;
                    }
                    Event::Workers(count) => {
                        for worker in queue.want_workers(count) {
                            prop_assert_eq!(workers[worker], Worker::Absent);
                            queue.alive[worker] = true;
                            workers[worker] = Worker::Idle;
                        }
                        if !closed {
                            wanted = count;
                            prop_assert!(workers[..count].iter().all(|w| *w != Worker::Absent));
                        }
                    }
                    Event::Halt => {
                        queue.halted = true;
                        halted = true;
                    }
                    Event::Resume => {
                        prop_assert_eq!(queue.resume(), halted);
                        halted = false;
                    }
                    Event::Close => {
                        queue.closed = true;
                        closed = true;
                    }
                    Event::NextJob(_) | Event::JobEnded(_) => (),
                }
                let busy = workers.iter().filter(|worker| **worker == Worker::Busy).count();
                prop_assert_eq!(queue.running, busy);
                let present = workers.iter().filter(|worker| **worker != Worker::Absent).count();
                prop_assert_eq!(queue.worker_count(), present);
                prop_assert_eq!(&queue.jobs, &jobs);
            }
        }
    }
}
