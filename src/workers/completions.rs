//! The mailbox in which finished work comes back to the main thread.

use std::sync::Arc;

use gallery::Match;
use parking_lot::Mutex;
use recognition::embedding::Embedded;

use crate::digest::Digest;
use crate::error::Error;
use crate::ids::{CallId, JobId, RequestId};
use crate::models::ServedModel;
use crate::server::main_thread;
use crate::server::payload::Payload;

/// What a thread has finished. Payloads come back with it, as only the main thread may free them.
pub enum Completion {
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

/// What a search has found for each query, the best first.
pub type Matches = Vec<Vec<Match>>;

struct Mailbox {
    completions: Vec<Completion>,
    wake: main_thread::Task,
}

static MAILBOX: Mutex<Mailbox> = Mutex::new(Mailbox { completions: Vec::new(), wake: |_| () });

/// The main thread runs `wake` from now on when something lies in the mailbox.
pub fn wake_by(wake: main_thread::Task) {
    MAILBOX.lock().wake = wake;
}

/// Brings finished work back. Only the first into an empty mailbox wakes the main thread.
pub fn post(completion: Completion) {
    let mut mailbox = MAILBOX.lock();
    mailbox.completions.push(completion);
    if mailbox.completions.len() == 1 {
        main_thread::run_soon(mailbox.wake);
    }
}

/// Empties the mailbox.
pub fn take_all() -> Vec<Completion> {
    std::mem::take(&mut MAILBOX.lock().completions)
}
