//! What the end of a request does to its key: a result is stored, a failure is announced. Where a
//! write would harm at that moment (writes are paused) it is put off and tried again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::CStr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redis_module::{Context, RedisString};

use crate::digest::Digest;
use crate::in_flight::{self, Place, RequestId};
use crate::metrics::{METRICS, NotStored};
use crate::models::{self, ServedModel};
use crate::server::{guard, keyspace, main_thread, request};
use crate::{cache, settings};

/// Stores that wait for writes to be allowed again.
const MAX_PUT_OFF: usize = 16_384;
/// How often they are tried.
const RETRY_MILLISECONDS: i64 = 10;
/// Stores in one turn of the event loop: others want to be served, too.
pub const STORES_A_TURN: usize = 256;

const RECOGNIZED_EVENT: &CStr = c"image.recognized";
const FAILED_EVENT: &CStr = c"image.failed";

/// Something to be done to a key where writes are allowed.
pub struct Settlement {
    pub place: Rc<Place>,
    /// The newest request that asked for it.
    pub request: RequestId,
    pub model: Arc<ServedModel>,
    pub digest: Option<Digest>,
    pub ttl: Option<Duration>,
    /// The result to be stored; none: the failure is to be announced.
    pub result: Option<Arc<str>>,
}

thread_local! {
    static PUT_OFF: RefCell<VecDeque<Settlement>> = const { RefCell::new(VecDeque::new()) };
    /// Whether a timer will try them.
    static WILL_RETRY: Cell<bool> = const { Cell::new(false) };
}

/// Settles, now or later.
pub fn settle(ctx: &Context, settlement: Settlement) {
    if main_thread::forbids_writes(ctx) {
        put_off(settlement);
    } else {
        settle_now(ctx, &settlement);
    }
}

fn settle_now(ctx: &Context, settlement: &Settlement) {
    let place = &settlement.place;
    request::select_db(ctx, place.db);
    let key = string(&place.key);
    let (Some(result), Some(digest)) = (&settlement.result, settlement.digest) else {
        keyspace::notify(ctx, FAILED_EVENT, &key);
        return;
    };
    match store(ctx, settlement, &key, digest, result) {
        Ok(()) => {
            METRICS.stored.increment();
            keyspace::notify(ctx, RECOGNIZED_EVENT, &key);
        }
        Err(reason) => {
            METRICS.not_stored(reason).increment();
            let in_vain =
                [NotStored::Memory, NotStored::Foreign, NotStored::Replaced, NotStored::Refused];
            if in_vain.contains(&reason) {
                // Who waits for the key to change would wait in vain.
                keyspace::notify(ctx, FAILED_EVENT, &key);
            }
        }
    }
}

fn store(
    ctx: &Context,
    settlement: &Settlement,
    key: &RedisString,
    digest: Digest,
    result: &str,
) -> Result<(), NotStored> {
    let (place, id) = (&settlement.place, settlement.request);
    if in_flight::with(|in_flight| in_flight.is_superseded(place, id, digest)) {
        return Err(NotStored::Superseded);
    }
    if !models::is_served(&settlement.model) {
        return Err(NotStored::Replaced);
    }
    let ttl = settlement.ttl.or_else(settings::ttl);
    cache::store(ctx, key, digest, &settlement.model, result, ttl)?;
    in_flight::with(|in_flight| in_flight.note_stored(place, id, digest));
    Ok(())
}

/// Tells subscribers that a result is at its key, which was there already.
pub fn announce_stored(ctx: &Context, place: &Place) {
    keyspace::notify(ctx, RECOGNIZED_EVENT, &string(&place.key));
}

fn put_off(settlement: Settlement) {
    let waiting = PUT_OFF.with_borrow(VecDeque::len);
    if waiting >= MAX_PUT_OFF {
        if settlement.result.is_some() {
            METRICS.not_stored(NotStored::PutOffFull).increment();
        }
        return;
    }
    METRICS.put_off.increment();
    in_flight::with(|in_flight| in_flight.hold_open(&settlement.place));
    PUT_OFF.with_borrow_mut(|put_off| put_off.push_back(settlement));
    METRICS.waiting_stores.store(waiting as u64 + 1, Relaxed);
    retry_after(RETRY_MILLISECONDS);
}

fn retry_after(milliseconds: i64) {
    if !WILL_RETRY.replace(true) {
        main_thread::run_after(milliseconds, retry);
    }
}

fn retry(ctx: &Context) {
    WILL_RETRY.set(false);
    if main_thread::forbids_writes(ctx) {
        if !is_idle() {
            retry_after(RETRY_MILLISECONDS);
        }
        return;
    }
    for _ in 0..STORES_A_TURN {
        let Some(settlement) = next_put_off() else { return };
        guard("a store that was put off", (), || settle_now(ctx, &settlement));
        in_flight::with(|in_flight| in_flight.close(&settlement.place));
    }
    if !is_idle() {
        retry_after(0);
    }
}

fn next_put_off() -> Option<Settlement> {
    PUT_OFF.with_borrow_mut(|put_off| {
        let next = put_off.pop_front();
        METRICS.waiting_stores.store(put_off.len() as u64, Relaxed);
        next
    })
}

/// The result that a key will hold as soon as writes are allowed again, and whose it is.
pub fn put_off_result(
    place: &Place,
    model: &Arc<ServedModel>,
    digest: Option<Digest>,
) -> Option<(RequestId, Arc<str>)> {
    PUT_OFF.with_borrow(|put_off| {
        let fits = |settlement: &&Settlement| {
            *settlement.place == *place
                && Arc::ptr_eq(&settlement.model, model)
                && (digest.is_none() || settlement.digest == digest)
                && settlement.result.is_some()
        };
        let newest = put_off.iter().filter(fits).max_by_key(|settlement| settlement.request)?;
        let id = newest.request;
        let superseded = in_flight::with(|in_flight| {
            newest.digest.is_some_and(|digest| in_flight.is_superseded(place, id, digest))
        });
        if superseded { None } else { Some((id, newest.result.clone()?)) }
    })
}

/// The server is master of these keys no longer, or was not when they were to be stored.
pub fn role_changed() {
    while let Some(settlement) = next_put_off() {
        if settlement.result.is_some() {
            METRICS.not_stored(NotStored::Role).increment();
        }
        in_flight::with(|in_flight| in_flight.close(&settlement.place));
    }
}

/// Whether nothing is put off.
fn is_idle() -> bool {
    PUT_OFF.with_borrow(VecDeque::is_empty)
}

pub fn string(bytes: &[u8]) -> RedisString {
    RedisString::create_from_slice(std::ptr::null_mut(), bytes)
}
