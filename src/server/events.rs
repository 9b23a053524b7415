//! What the server announces: its end, a change of its role, of its settings, of its data set.

use std::os::raw::c_void;

use once_cell::sync::OnceCell;
use redis_module::{Context, raw};

use super::panics::guard;

/// What to do at each.
#[derive(Clone, Copy)]
pub struct Handlers {
    pub shutdown: fn(&Context),
    pub role_changed: fn(),
    /// The data set is, or is about to be, another one: a load begins, or one that was loaded beside the
    /// old one takes its place.
    pub data_replaced: fn(),
    pub config_changed: fn(&Context),
}

static HANDLERS: OnceCell<Handlers> = OnceCell::new();

pub fn subscribe(ctx: &Context, handlers: Handlers) {
    HANDLERS.get_or_init(|| handlers);
    let events = [
        (raw::REDISMODULE_EVENT_SHUTDOWN, 1),
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, 1),
        (raw::REDISMODULE_EVENT_CONFIG, 1),
        (raw::REDISMODULE_EVENT_LOADING, 1),
        (raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD, 1),
    ];
    for (id, version) in events {
        let event = raw::RedisModuleEvent { id, dataver: version };
        raw::subscribe_to_server_event(ctx.ctx, event, Some(on_event));
    }
}

unsafe extern "C" fn on_event(
    ctx: *mut raw::RedisModuleCtx,
    event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guard("a server event", (), || {
        let Some(handlers) = HANDLERS.get() else { return };
        let context = Context::new(ctx);
        match event.id {
            raw::REDISMODULE_EVENT_SHUTDOWN => (handlers.shutdown)(&context),
            raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED => (handlers.role_changed)(),
            raw::REDISMODULE_EVENT_LOADING if begins_load(subevent) => (handlers.data_replaced)(),
            raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD
                if subevent == raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_COMPLETED =>
            {
                (handlers.data_replaced)();
            }
            raw::REDISMODULE_EVENT_CONFIG => (handlers.config_changed)(&context),
            _ => (),
        }
    });
}

fn begins_load(subevent: u64) -> bool {
    let starts = [
        raw::REDISMODULE_SUBEVENT_LOADING_RDB_START,
        raw::REDISMODULE_SUBEVENT_LOADING_AOF_START,
        raw::REDISMODULE_SUBEVENT_LOADING_REPL_START,
    ];
    starts.contains(&subevent)
}
