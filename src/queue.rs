//! The bounded queue, the workers, and how their work comes back.
//!
//! # Threads
//!
//! Four kinds of threads, and what each may touch:
//!
//! - The **main thread** is the server's. It alone touches the keyspace, clients, strings' reference
//!   counts, and [`crate::in_flight`], which needs no lock for that reason. It hashes payloads up to
//!   `image.hash-inline`, looks up, queues, stores, replies; nothing there takes longer than that.
//! - One **hasher** hashes larger payloads, so that they wait for no inference, and hits among them
//!   neither.
//! - One **searcher** compares embeddings with galleries ([`crate::searches`]), a batch at a time.
//! - The **workers** (`image.threads`) decode and infer, each on one core at lower priority. More
//!   threads within one inference and batches were measured: both are slower.
//!
//! Work travels by ownership. A [`Work`] carries its payload (a held argument, not a copy) to the
//! thread and back in a [`Done`]; nobody else can reach it meanwhile, so there is nothing to lock
//! and nothing that dangles, whatever becomes of the client. Finished work is put into one mailbox,
//! and only the first into an empty mailbox wakes the main thread: many jobs, one wake-up. It wakes
//! by a one-shot, which may come inside a script or a load, and which only sets a timer of 0 ms, which
//! does not; there keys are read and written (`server::main_thread::run_after`).
//!
//! Two locks are shared with threads, each held for a push or a pop, never over work: the queue's and
//! the mailbox's. A thread that waits holds none. (Settings are atomics, or have a lock each; the
//! models are behind one that only the main thread writes, when they are loaded and reloaded; the
//! thread that reloads them is [`crate::reload`]'s.)
//!
//! What was rejected:
//!
//! - `ThreadSafeContext` and calling the keyspace from a worker: both abort real servers
//!   (`server::main_thread`).
//! - A reply from the worker through the blocked client's private data, stored in the reply
//!   callback: it is not called when the client has left, and the result would be lost.
//! - A thread pool of a crate (rayon): it does not know how to drop work that nobody waits for any
//!   more, or to bound its queue.
//! - Sharing jobs between threads behind `Arc<Mutex<_>>`: two owners of a client that must be
//!   unblocked exactly once.
//!
//! # Who waits for whom
//!
//! Nobody on the main thread waits for a worker, but at the server's end (two seconds at most, for
//! running inference). The module is never unloaded: it has a data type.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use recognition::embedding::Embedded;
use recognition::{Recognition, Scratch};

use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::galleries::CallId;
use crate::in_flight::RequestId;
use crate::metrics::METRICS;
use crate::models::{self, ServedModel};
use crate::searches::{self, Matches};
use crate::server::payload::Payload;
use crate::server::{log, main_thread, thread as our_thread};
use crate::settings;

/// Decoders and engines recurse; the default of 2 MiB is for programs that trust their input.
const STACK_SIZE: usize = 16 << 20;

/// One recognition to do.
pub struct Work {
    pub job: JobId,
    pub model: Arc<ServedModel>,
    pub payload: Payload,
    pub queued: Instant,
}

/// Tells one job from another; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobId(pub u64);

/// What comes back to the main thread.
pub enum Done {
    Hashed {
        request: RequestId,
        payload: Payload,
        digest: Digest,
    },
    Recognized {
        job: JobId,
        model: Arc<ServedModel>,
        payload: Payload,
        outcome: Result<Recognized, Error>,
    },
    Searched(Vec<(CallId, Result<Matches, Error>)>),
}

/// What recognising a picture has given.
#[derive(Clone)]
pub struct Recognized {
    pub json: Arc<str>,
    pub embeddings: Arc<[Embedded]>,
}

struct State {
    jobs: VecDeque<Work>,
    hashes: VecDeque<(RequestId, Payload)>,
    /// The threads are to end.
    closed: bool,
    /// The server is about to end: no more work is begun.
    halted: bool,
    running: usize,
    /// Workers up to this number go on; the others end.
    wanted: usize,
    /// Which workers have not ended, by their number.
    alive: Vec<bool>,
    threads: Vec<JoinHandle<()>>,
}

static STATE: Mutex<State> = Mutex::new(State {
    jobs: VecDeque::new(),
    hashes: VecDeque::new(),
    closed: true,
    halted: false,
    running: 0,
    wanted: 0,
    alive: Vec::new(),
    threads: Vec::new(),
});
static JOB_ADDED: Condvar = Condvar::new();
static HASH_ADDED: Condvar = Condvar::new();
static JOB_ENDED: Condvar = Condvar::new();

struct Mailbox {
    done: Vec<Done>,
    wake: main_thread::Task,
}

static MAILBOX: Mutex<Mailbox> = Mutex::new(Mailbox { done: Vec::new(), wake: |_| () });

/// Starts the threads. The main thread runs `wake` when something lies in the mailbox.
pub fn start(wake: main_thread::Task) -> Result<(), String> {
    MAILBOX.lock().wake = wake;
    {
        let mut state = STATE.lock();
        (state.closed, state.halted) = (false, false);
    }
    let hasher = spawn("image-hash", hash_until_closed)
        .map_err(|error| format!("cannot start the hashing thread: {error}"))?;
    searches::open();
    let searcher = spawn("image-search", searches::search_until_closed)
        .map_err(|error| format!("cannot start the searching thread: {error}"))?;
    STATE.lock().threads.extend([hasher, searcher]);
    set_workers(settings::threads());
    if !STATE.lock().alive.contains(&true) {
        return Err("cannot start a worker thread".to_owned());
    }
    Ok(())
}

/// Changes the number of workers. One that is too many ends after its job.
pub fn set_workers(wanted: usize) {
    models::set_workers(wanted);
    let mut state = STATE.lock();
    if state.closed {
        return;
    }
    state.wanted = wanted;
    if state.alive.len() < wanted {
        state.alive.resize(wanted, false);
    }
    for number in 0..wanted {
        if state.alive[number] {
            continue;
        }
        match spawn("image-worker", move || work_until_closed(number)) {
            Ok(thread) => {
                state.alive[number] = true;
                state.threads.push(thread);
            }
            Err(error) => log::warning(&format!("cannot start worker {number}: {error}")),
        }
    }
    state.threads.retain(|thread| !thread.is_finished());
    publish_workers(&state);
    drop(state);
    JOB_ADDED.notify_all();
}

fn publish_workers(state: &State) {
    let count = state.alive.iter().filter(|alive| **alive).count();
    METRICS.workers.store(count as u64, Relaxed);
}

/// Queues a job, or gives it back if the queue is full or closed.
pub fn push(work: Work) -> Result<(), Work> {
    let mut state = STATE.lock();
    if state.closed || state.jobs.len() >= settings::queue_length() {
        return Err(work);
    }
    go_on(&mut state);
    state.jobs.push_back(work);
    METRICS.queue_length.store(state.jobs.len() as u64, Relaxed);
    drop(state);
    JOB_ADDED.notify_one();
    Ok(())
}

/// Takes back a job that has not begun.
pub fn take_back(job: JobId) -> Option<Work> {
    let mut state = STATE.lock();
    let position = state.jobs.iter().position(|work| work.job == job)?;
    let work = state.jobs.remove(position);
    METRICS.queue_length.store(state.jobs.len() as u64, Relaxed);
    work
}

/// Has a payload hashed. Payloads of requests under way are bounded by `image.queue-memory`.
pub fn push_hash(request: RequestId, payload: Payload) {
    let mut state = STATE.lock();
    go_on(&mut state);
    state.hashes.push_back((request, payload));
    drop(state);
    HASH_ADDED.notify_one();
}

/// Begins no more work and waits for what runs, but not longer than that: the server is about to
/// end, and its libraries' data with it. The threads stay.
pub fn halt(deadline: Instant) {
    let mut state = STATE.lock();
    state.halted = true;
    while state.running > 0 {
        if JOB_ENDED.wait_until(&mut state, deadline).timed_out() {
            return;
        }
    }
}

/// A server that takes another request has not ended: it could not save its data, for example.
fn go_on(state: &mut State) {
    if state.halted {
        state.halted = false;
        JOB_ADDED.notify_all();
        HASH_ADDED.notify_all();
    }
}

/// Ends the threads of a module that could not be loaded.
pub fn stop() {
    STATE.lock().closed = true;
    JOB_ADDED.notify_all();
    HASH_ADDED.notify_all();
    searches::close();
    let threads = std::mem::take(&mut STATE.lock().threads);
    for thread in threads {
        if thread.join().is_err() {
            log::warning("a thread had panicked");
        }
    }
    let mut state = STATE.lock();
    state.alive.clear();
    state.wanted = 0;
}

/// Empties the mailbox.
pub fn take_done() -> Vec<Done> {
    std::mem::take(&mut MAILBOX.lock().done)
}

/// Brings something back to the main thread.
pub fn post(done: Done) {
    let mut mailbox = MAILBOX.lock();
    mailbox.done.push(done);
    if mailbox.done.len() == 1 {
        main_thread::run_soon(mailbox.wake);
    }
}

/// Starts a thread of ours.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE).spawn(move || {
        our_thread::block_signals();
        our_thread::use_all_cores();
        body();
    })
}

fn hash_until_closed() {
    loop {
        let (request, payload) = {
            let mut state = STATE.lock();
            loop {
                if state.closed {
                    return;
                }
                let task = if state.halted { None } else { state.hashes.pop_front() };
                match task {
                    Some(task) => break task,
                    None => HASH_ADDED.wait(&mut state),
                }
            }
        };
        let digest = Digest::of(payload.bytes());
        post(Done::Hashed { request, payload, digest });
    }
}

fn work_until_closed(number: usize) {
    let mut scratch = Scratch::default();
    let mut nice = 0;
    while let Some(work) = next_job(number) {
        let wanted_nice = settings::nice();
        if nice != wanted_nice {
            // Going back to a higher priority needs a privilege that the server may not have.
            let _ = our_thread::set_nice(wanted_nice);
            nice = wanted_nice;
        }
        let Work { job, model, payload, queued } = work;
        model.metrics.queue_wait.record(queued.elapsed());
        model.load();
        let started = Instant::now();
        let recognized = recognize(&model, &payload, &mut scratch);
        let outcome = match recognized {
            Ok(Recognition { json, embeddings, decoding, inference }) => {
                model.metrics.computed(started.elapsed(), decoding, inference);
                Ok(Recognized { json: json.into(), embeddings: embeddings.into() })
            }
            Err(error) => {
                model.metrics.failed.increment();
                if error.word == Word::BadImage {
                    METRICS.bad_images.increment();
                }
                Err(error)
            }
        };
        post(Done::Recognized { job, model, payload, outcome });
        job_ended();
    }
    models::shrink_engines();
    job_ended();
}

fn next_job(number: usize) -> Option<Work> {
    let mut state = STATE.lock();
    loop {
        // Not at the server's end: what it would free is about to vanish.
        if state.closed || (number >= state.wanted && !state.halted) {
            state.alive[number] = false;
            publish_workers(&state);
            // Until it has given back what it no longer needs.
            state.running += 1;
            return None;
        }
        let work = if state.halted { None } else { state.jobs.pop_front() };
        if let Some(work) = work {
            state.running += 1;
            METRICS.queue_length.store(state.jobs.len() as u64, Relaxed);
            METRICS.busy_workers.store(state.running as u64, Relaxed);
            return Some(work);
        }
        JOB_ADDED.wait(&mut state);
    }
}

fn job_ended() {
    let mut state = STATE.lock();
    state.running -= 1;
    METRICS.busy_workers.store(state.running as u64, Relaxed);
    drop(state);
    JOB_ENDED.notify_all();
}

fn recognize(
    model: &ServedModel,
    payload: &Payload,
    scratch: &mut Scratch,
) -> Result<Recognition, Error> {
    let run = || {
        #[cfg(feature = "test-switches")]
        test_switches::obey(payload.bytes());
        model.recognizer.recognize(payload.bytes(), &settings::decode_limits(), scratch)
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(recognition)) => Ok(recognition),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            // Whatever the buffers hold now, nobody relies on it.
            *scratch = Scratch::default();
            log::warning("a panic was caught in a worker; please report it with its backtrace");
            Err(Error::new(Word::Failed, "the recognition panicked; the server's log has more"))
        }
    }
}

/// What the test suite plants in a worker, through the last bytes of a payload.
#[cfg(feature = "test-switches")]
mod test_switches {
    use std::time::Duration;

    pub fn obey(payload: &[u8]) {
        let Some(switch) = payload.strip_suffix(b"#") else { return };
        let Some(start) = switch.iter().rposition(|byte| *byte == b'#') else { return };
        match std::str::from_utf8(&switch[start + 1..]) {
            Ok("test:panic") => panic!("planted by the test suite"),
            Ok(text) => {
                if let Some(milliseconds) = text.strip_prefix("test:sleep=") {
                    let milliseconds = milliseconds.parse().unwrap_or(0);
                    std::thread::sleep(Duration::from_millis(milliseconds));
                }
            }
            Err(_) => (),
        }
    }
}
