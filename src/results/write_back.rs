//! Write-back: what the end of a request does to its key. Where a write would harm at that moment (writes
//! are paused, a script runs, a load is under way) the write is put off and tried again. Enrolments go
//! through the same queue.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use redis_module::{Context, RedisString};

use super::hash;
use super::write_queue::WriteQueue;
pub use super::write_queue::{PendingWrite, ResultWrite};
use crate::digest::Digest;
use crate::ids::RequestId;
use crate::in_flight::{self, DbKey};
use crate::metrics::{METRICS, NotStored};
use crate::models::{self, ServedModel};
use crate::server::{guard, keyspace, main_thread, request};
use crate::settings;

/// How often writes are tried that wait for a pause to end.
const RETRY_MILLISECONDS: i64 = 10;
/// Writes in one turn of the event loop: others want to be served, too.
pub const WRITES_A_TURN: usize = 256;

const RECOGNIZED_EVENT: &CStr = c"image.recognized";
const FAILED_EVENT: &CStr = c"image.failed";

thread_local! {
    static WAITING: RefCell<WriteQueue> = RefCell::default();
    /// Whether a timer will write what waits.
    static WILL_WRITE: Cell<bool> = const { Cell::new(false) };
}

/// Writes now, or as soon as writes are allowed.
pub fn write(ctx: &Context, write: ResultWrite) {
    if main_thread::forbids_writes(ctx) {
        put_off(write);
    } else {
        write_now(ctx, &write);
    }
}

/// Has an enrolment written as soon as writes are allowed, in another turn of the event loop.
pub fn write_soon(enrolment: PendingWrite) {
    // Only results are ever given back.
    let _ = with(|waiting| waiting.push(enrolment));
    write_after(0);
}

fn with<T>(body: impl FnOnce(&mut WriteQueue) -> T) -> T {
    WAITING.with_borrow_mut(|waiting| {
        let result = body(waiting);
        METRICS.waiting_stores.store(waiting.result_count() as u64, Relaxed);
        result
    })
}

fn put_off(write: ResultWrite) {
    let (key, has_result) = (write.key.clone(), write.result.is_some());
    if with(|waiting| waiting.push(PendingWrite::Result(write))).is_err() {
        if has_result {
            METRICS.not_stored(NotStored::PutOffFull).increment();
        }
        return;
    }
    METRICS.put_off.increment();
    in_flight::with(|in_flight| in_flight.histories.hold_open(&key));
    write_after(RETRY_MILLISECONDS);
}

fn write_after(milliseconds: i64) {
    if !WILL_WRITE.replace(true) {
        main_thread::run_after(milliseconds, write_waiting);
    }
}

fn write_waiting(ctx: &Context) {
    WILL_WRITE.set(false);
    for _ in 0..WRITES_A_TURN {
        if WAITING.with_borrow(WriteQueue::is_empty) {
            return;
        }
        if main_thread::forbids_writes(ctx) {
            write_after(RETRY_MILLISECONDS);
            return;
        }
        match with(WriteQueue::pop) {
            Some(PendingWrite::Result(write)) => {
                guard("a write that was put off", (), || write_now(ctx, &write));
                in_flight::with(|in_flight| in_flight.histories.close(&write.key));
            }
            Some(PendingWrite::Enrolment { call, write }) => write(ctx, call),
            None => return,
        }
    }
    write_after(0);
}

fn write_now(ctx: &Context, write: &ResultWrite) {
    request::select_db(ctx, write.key.db);
    let name = keyspace::string(&write.key.name);
    let (Some(result), Some(digest)) = (&write.result, write.digest) else {
        keyspace::notify(ctx, FAILED_EVENT, &name);
        return;
    };
    match store(ctx, write, &name, digest, result) {
        Ok(()) => {
            METRICS.stored.increment();
            keyspace::notify(ctx, RECOGNIZED_EVENT, &name);
        }
        Err(reason) => {
            METRICS.not_stored(reason).increment();
            let in_vain =
                [NotStored::Memory, NotStored::Foreign, NotStored::Replaced, NotStored::Refused];
            if in_vain.contains(&reason) {
                // A subscriber that waits for the key to change would wait in vain.
                keyspace::notify(ctx, FAILED_EVENT, &name);
            }
        }
    }
}

fn store(
    ctx: &Context,
    write: &ResultWrite,
    name: &RedisString,
    digest: Digest,
    result: &str,
) -> Result<(), NotStored> {
    let ResultWrite { key, request, model, .. } = write;
    if in_flight::with(|in_flight| in_flight.histories.is_superseded(key, *request, digest)) {
        return Err(NotStored::Superseded);
    }
    if !models::is_served(model) {
        return Err(NotStored::Replaced);
    }
    let ttl = write.ttl.or_else(settings::ttl);
    hash::store(ctx, name, digest, model, result, ttl)?;
    in_flight::with(|in_flight| in_flight.histories.note_stored(key, *request, digest));
    Ok(())
}

/// Tells subscribers that a result is at its key, which was there already.
pub fn announce_stored(ctx: &Context, key: &DbKey) {
    keyspace::notify(ctx, RECOGNIZED_EVENT, &keyspace::string(&key.name));
}

/// The result that a key will hold as soon as writes are allowed again, and whose it is.
pub fn put_off_result(
    key: &DbKey,
    model: &ServedModel,
    digest: Option<Digest>,
) -> Option<(RequestId, Arc<str>)> {
    WAITING.with_borrow(|waiting| {
        let newest = waiting.newest_result(key, model, digest)?;
        let superseded = in_flight::with(|in_flight| {
            let is_superseded =
                |digest| in_flight.histories.is_superseded(key, newest.request, digest);
            newest.digest.is_some_and(is_superseded)
        });
        if superseded { None } else { Some((newest.request, newest.result.clone()?)) }
    })
}

/// The server is master of these keys no longer, or was not when their results were to be stored.
pub fn role_changed() {
    for write in with(WriteQueue::take_results) {
        if write.result.is_some() {
            METRICS.not_stored(NotStored::Role).increment();
        }
        in_flight::with(|in_flight| in_flight.histories.close(&write.key));
    }
}
