//! Clients that wait.
//!
//! Whoever blocks a client must unblock it exactly once, whatever became of it; so a [`Client`] is
//! not `Clone`, and unblocking consumes it. The wait may end earlier: by its deadline, by `CLIENT
//! UNBLOCK`, by a disconnection, by a demotion. [`Waiting`] is told, on the main thread; the handle
//! stays valid until we unblock it even then. The reply is sent later, by the server, in `on_reply`;
//! if the client has left meanwhile, the reply is only freed.
//!
//! Deadlines are timers of our own, not the time-out that `RM_BlockClient` offers: where that one
//! passes in the same turn of the event loop in which the client is unblocked, Redis 7.0 sends
//! neither reply, and the client waits for ever (or takes the next command's reply for this one).

use std::mem::ManuallyDrop;
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;

use redis_module::{Context, ContextFlags, raw};

use super::main_thread::{self, TimerId};
use super::panics::guard;
use super::reply;
use crate::error::{Error, ErrorCode};
use crate::reply::Reply;

/// Tells one waiting client from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(usize);

impl ClientId {
    #[cfg(test)]
    pub fn for_tests(number: usize) -> ClientId {
        ClientId(number)
    }
}

/// A client that waits.
#[must_use = "a client that is not unblocked waits for ever"]
pub struct Client {
    handle: *mut raw::RedisModuleBlockedClient,
    /// Until the deadline has passed.
    deadline: Option<TimerId>,
}

/// What happens when a wait ends before its result is there.
pub trait Waiting: 'static {
    /// The time is over, or somebody unblocked the client: the reply to give, and the client, if it
    /// is still ours to unblock.
    fn timed_out(id: ClientId) -> (Reply, Option<Client>);
    /// The client has gone, or was unblocked by a change of role; gives it back if it is still ours.
    fn disconnected(id: ClientId) -> Option<Client>;
}

/// Why the context's client cannot wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CannotWait {
    /// Inside MULTI or a script.
    Nested,
    /// The server lets this connection not wait: since 8.1 Valkey refuses RESP3 connections that have
    /// subscriptions. Nothing tells so beforehand.
    Connection,
    /// A replica is loading its master's data set and still serves the old one (`repl-diskless-load
    /// swapdb`). Until that is over the server runs no timer and unblocks no client.
    Loading,
}

impl CannotWait {
    /// `NOWAITING`, with what cannot be had without waiting.
    pub fn error(self, what: &str) -> Error {
        let why = match self {
            CannotWait::Nested => "inside MULTI or a script no client can wait",
            CannotWait::Connection => {
                "this server lets no connection with subscriptions wait: use one without"
            }
            CannotWait::Loading => {
                "while this replica loads its master's data no client can wait: ask again later, or the master"
            }
        };
        Error::new(ErrorCode::NoWaiting, format!("{what}, and {why}"))
    }
}

/// Blocks the context's client, if the server can.
pub fn block<W: Waiting>(ctx: &Context, timeout_ms: i64) -> Result<Client, CannotWait> {
    let flags = ctx.get_flags();
    // There the server would reply an error of its own, and hand out a handle nevertheless.
    if flags.contains(ContextFlags::DENY_BLOCKING) {
        return Err(CannotWait::Nested);
    }
    if flags.contains(ContextFlags::ASYNC_LOADING) {
        return Err(CannotWait::Loading);
    }
    let block = api!(RedisModule_BlockClient);
    let set_disconnect = api!(RedisModule_SetDisconnectCallback);
    let start_clock = api!(RedisModule_BlockedClientMeasureTimeStart);
    // SAFETY: the context of a running command; the callbacks are functions that live as long as the
    // module, which is never unloaded.
    unsafe {
        let handle = block(ctx.ctx, Some(on_reply), Some(on_unblock::<W>), Some(on_free), 0);
        if handle.is_null() {
            return Err(CannotWait::Connection);
        }
        set_disconnect(handle, Some(on_disconnect::<W>));
        start_clock(handle);
        let deadline = main_thread::start_timer(timeout_ms, on_deadline::<W>, handle.cast());
        Ok(Client { handle, deadline: Some(deadline) })
    }
}

/// Does, in the command that blocked the client, what the client is to wait for. If that fails, or
/// panics, the client is let go: the command then replies by itself, and only one reply may come.
pub fn keep_if<T>(
    client: Client,
    begin: impl FnOnce() -> Result<T, Error>,
) -> Result<(Client, T), Error> {
    match catch_unwind(AssertUnwindSafe(begin)) {
        Ok(Ok(begun)) => Ok((client, begun)),
        Ok(Err(error)) => {
            client.abort();
            Err(error)
        }
        Err(panic) => {
            client.abort();
            resume_unwind(panic)
        }
    }
}

impl Client {
    pub fn id(&self) -> ClientId {
        ClientId(self.handle as usize)
    }

    /// Ends the wait with this reply.
    pub fn unblock(self, reply: Reply) {
        let end = api!(RedisModule_BlockedClientMeasureTimeEnd);
        let unblock = api!(RedisModule_UnblockClient);
        let reply = Box::into_raw(Box::new(reply));
        let this = ManuallyDrop::new(self);
        // SAFETY: the handle is valid until it is unblocked, and `self` is consumed: it is unblocked
        // once. The reply belongs to `on_free` from here on.
        unsafe {
            end(this.handle);
            unblock(this.handle, reply.cast::<c_void>());
        }
        this.stop_clock();
    }

    /// Lets the client go in the very command that blocked it, which replies by itself.
    fn abort(self) {
        let abort = api!(RedisModule_AbortBlock);
        let this = ManuallyDrop::new(self);
        // SAFETY: as in `unblock`; no callback but `on_free` will be called.
        unsafe { abort(this.handle) };
        this.stop_clock();
    }

    fn stop_clock(&self) {
        if let Some(deadline) = &self.deadline {
            main_thread::stop_timer(deadline);
        }
    }
}

/// Gives back the handle of a client that has its reply already, or has gone. It is the last resort,
/// too: should a client ever be lost on the way, `on_reply` tells it so.
impl Drop for Client {
    fn drop(&mut self) {
        let unblock = api!(RedisModule_UnblockClient);
        // SAFETY: as in `unblock`, which does not come here.
        unsafe { unblock(self.handle, null_mut()) };
        self.stop_clock();
    }
}

extern "C" fn on_reply(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    guard("a reply", (), || {
        let context = Context::new(ctx);
        let private_data = api!(RedisModule_GetBlockedClientPrivateData);
        // SAFETY: in a reply callback; what `unblock` was given, or null.
        let found = unsafe { private_data(ctx).cast::<Reply>().as_ref() };
        match found {
            Some(found) => reply::send(&context, found),
            None => {
                let lost = Error::new(ErrorCode::Failed, "the request ended without a result");
                reply::send(&context, &Reply::Error(lost));
            }
        }
    });
    raw::REDISMODULE_OK as c_int
}

extern "C" fn on_deadline<W: Waiting>(_ctx: *mut raw::RedisModuleCtx, handle: *mut c_void) {
    guard("a deadline", (), || {
        let (answer, client) = W::timed_out(ClientId(handle as usize));
        if let Some(mut client) = client {
            // Fired: not to be stopped any more.
            client.deadline = None;
            client.unblock(answer);
        }
    });
}

/// `CLIENT UNBLOCK` has the server send a reply at once.
extern "C" fn on_unblock<W: Waiting>(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    guard("CLIENT UNBLOCK", (), || {
        let handle = api!(RedisModule_GetBlockedClientHandle);
        // SAFETY: in a time-out callback, where the server knows the handle.
        let id = ClientId(unsafe { handle(ctx) } as usize);
        let (answer, client) = W::timed_out(id);
        reply::send(&Context::new(ctx), &answer);
        drop(client);
    });
    raw::REDISMODULE_OK as c_int
}

unsafe extern "C" fn on_disconnect<W: Waiting>(
    _ctx: *mut raw::RedisModuleCtx,
    handle: *mut raw::RedisModuleBlockedClient,
) {
    guard("a disconnection", (), || {
        drop(W::disconnected(ClientId(handle as usize)));
    });
}

unsafe extern "C" fn on_free(_ctx: *mut raw::RedisModuleCtx, reply: *mut c_void) {
    guard("freeing a reply", (), || {
        if !reply.is_null() {
            // SAFETY: comes from `Box::into_raw` in `unblock`, and the server calls this once.
            drop(unsafe { Box::from_raw(reply.cast::<Reply>()) });
        }
    });
}
