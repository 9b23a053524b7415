//! From a thread back to the main thread, which alone touches the keyspace.
//!
//! `RedisModule_EventLoopAddOneShot` is the one call of the API used off the main thread (beside the
//! log). What was rejected: `ThreadSafeContext` (its lock makes and frees a client off-thread, which
//! aborts servers with io-threads) and calling the keyspace from a worker under the lock (aborts
//! Redis 8).

use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::{Context, ContextFlags, raw};

use super::log;
use super::panics::guard;

/// The context for work that no client asked for. The main thread's alone.
static DETACHED: AtomicPtr<raw::RedisModuleCtx> = AtomicPtr::new(null_mut());

/// To be called at load.
pub fn start(ctx: &Context) {
    let detached = api!(RedisModule_GetDetachedThreadSafeContext);
    // SAFETY: the context of the loading module.
    DETACHED.store(unsafe { detached(ctx.ctx) }, Ordering::Release);
}

/// To be called when the module could not be loaded.
pub fn stop() {
    let detached = DETACHED.swap(null_mut(), Ordering::AcqRel);
    if !detached.is_null() {
        let free = api!(RedisModule_FreeThreadSafeContext);
        // SAFETY: made by `start`, not used any more.
        unsafe { free(detached) };
    }
}

/// What the main thread is to do. The context's database is whatever was selected last.
pub type Task = fn(&Context);

/// Has the main thread run `task` soon, maybe inside a script or a load, with a context that must not
/// write (see [`run_after`]). From any thread.
pub fn run_soon(task: Task) {
    let add = api!(RedisModule_EventLoopAddOneShot);
    // SAFETY: callable from any thread; the callback gets back the function pointer it is given.
    let status = unsafe { add(Some(on_one_shot), task as *mut c_void) };
    if status != raw::REDISMODULE_OK as c_int {
        log::warning("the server refused to schedule work on its main thread");
    }
}

unsafe extern "C" fn on_one_shot(task: *mut c_void) {
    guard("work on the main thread", (), || {
        // SAFETY: what `run_soon` passed, a function pointer of this type.
        let task = unsafe { std::mem::transmute::<*mut c_void, Task>(task) };
        task(&Context::new(DETACHED.load(Ordering::Acquire)));
    });
}

/// Has the main thread run `task` after that time, 0 for this very turn of its loop; never inside a
/// script or a load, where timers do not fire.
///
/// This is where to write. After a timer the server propagates what it wrote, as one transaction.
/// After a one-shot Redis 7.0 does not: with no client to unblock the writes stay pending, and the
/// server aborts (`blocked.c`, `also_propagate.numops == 0`). Deleting an expired key while looking
/// it up is such a write, too.
pub fn run_after(milliseconds: i64, task: Task) {
    let create = api!(RedisModule_CreateTimer);
    let detached = DETACHED.load(Ordering::Acquire);
    // SAFETY: on the main thread, with our own context; the callback gets back the function pointer.
    unsafe { create(detached, milliseconds, Some(on_timer), task as *mut c_void) };
}

/// A timer that may still be stopped.
pub struct TimerId(raw::RedisModuleTimerID);

/// Has the server call back after that time, with what it is given. The callback must not stop its
/// own timer: the server frees it afterwards.
pub fn start_timer(
    milliseconds: i64,
    callback: extern "C" fn(*mut raw::RedisModuleCtx, *mut c_void),
    data: *mut c_void,
) -> TimerId {
    let create = api!(RedisModule_CreateTimer);
    let detached = DETACHED.load(Ordering::Acquire);
    // SAFETY: on the main thread, with our own context; the data is only handed back.
    TimerId(unsafe { create(detached, milliseconds, Some(callback), data) })
}

/// Stops a timer that has not fired.
pub fn stop_timer(timer: &TimerId) {
    let stop = api!(RedisModule_StopTimer);
    let detached = DETACHED.load(Ordering::Acquire);
    // SAFETY: on the main thread, with our own context; an unknown timer is refused by the call.
    unsafe { stop(detached, timer.0, null_mut()) };
}

unsafe extern "C" fn on_timer(ctx: *mut raw::RedisModuleCtx, task: *mut c_void) {
    guard("a timer", (), || {
        // SAFETY: what `run_after` passed, a function pointer of this type.
        let task = unsafe { std::mem::transmute::<*mut c_void, Task>(task) };
        task(&Context::new(ctx));
    });
}

/// Whether a write now would harm: while writes are paused a replicated call aborts the server,
/// inside a slow script or a load it would become a part of it.
pub fn forbids_writes(ctx: &Context) -> bool {
    let avoid = api!(RedisModule_AvoidReplicaTraffic);
    // SAFETY: takes nothing and reads the server's state, on the main thread.
    let paused = unsafe { avoid() } != 0;
    let nested = ContextFlags::LUA | ContextFlags::LOADING | ContextFlags::ASYNC_LOADING;
    paused || ctx.get_flags().intersects(nested)
}

/// Used memory in relation to `maxmemory`; 0 without a limit.
pub fn used_memory_ratio() -> f32 {
    let ratio = api!(RedisModule_GetUsedMemoryRatio);
    // SAFETY: takes nothing and reads the server's state, on the main thread.
    unsafe { ratio() }
}
