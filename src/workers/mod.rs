//! The threads, what they work on, and how their work comes back.
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
//! - One **searcher** compares embeddings with galleries ([`searcher`]), a batch at a time.
//! - The **workers** (`image.threads`) decode and infer, each on one core at lower priority. More
//!   threads within one inference and batches were measured: both are slower.
//!
//! Work travels by ownership. A [`queue::Work`] carries its payload (a held argument, not a copy) to the
//! thread and back in a
//! [`completions::Completion`]; nobody else can reach it meanwhile, so there is nothing to lock
//! and nothing that dangles, whatever becomes of the client. Finished work is put into one mailbox,
//! and only the first into an empty mailbox wakes the main thread: many jobs, one wake-up. It wakes
//! by a one-shot, which may come inside a script or a load, and which only sets a timer of 0 ms, which
//! does not; there keys are read and written (`server::main_thread::run_after`).
//!
//! Two locks are shared with threads, each held for a push or a pop, never over work: the queue's and
//! the mailbox's. A thread that waits holds none. (Settings are atomics, or have a lock each; the
//! models are behind one that only the main thread writes, when they are loaded and reloaded; the
//! thread that reloads them is [`crate::models::reload`]'s.)
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

pub mod completions;
mod hasher;
pub mod queue;
pub mod searcher;
mod worker;

use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use crate::metrics::METRICS;
use crate::models;
use crate::server::thread::{JoinHandle, spawn};
use crate::server::{log, main_thread};
use crate::settings;

static THREADS: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Starts the threads. The main thread runs `wake` when something lies in the mailbox.
///
/// # Errors
/// A sentence for the log, if a thread could not be started.
pub fn start(wake: main_thread::Task) -> Result<(), String> {
    completions::wake_by(wake);
    queue::reopen();
    searcher::reopen();
    let hasher = spawn("image-hash", hasher::hash_until_closed)
        .map_err(|error| format!("cannot start the hashing thread: {error}"))?;
    let searcher = spawn("image-search", searcher::search_until_closed)
        .map_err(|error| format!("cannot start the searching thread: {error}"))?;
    THREADS.lock().extend([hasher, searcher]);
    set_workers(settings::threads());
    if METRICS.workers.load(Relaxed) == 0 {
        return Err("cannot start a worker thread".to_owned());
    }
    Ok(())
}

/// Changes the number of workers. One that is too many ends after its job.
pub fn set_workers(wanted: usize) {
    models::set_workers(wanted);
    let mut threads = THREADS.lock();
    queue::set_workers(wanted, |number| {
        match spawn("image-worker", move || worker::work_until_closed(number)) {
            Ok(thread) => {
                threads.push(thread);
                true
            }
            Err(error) => {
                log::warning(&format!("cannot start worker {number}: {error}"));
                false
            }
        }
    });
    threads.retain(|thread| !thread.is_finished());
}

/// Ends the threads of a module that could not be loaded.
pub fn stop() {
    queue::close();
    searcher::close();
    let threads = std::mem::take(&mut *THREADS.lock());
    for thread in threads {
        if thread.join().is_err() {
            log::warning("a thread had panicked");
        }
    }
}
