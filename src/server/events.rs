//! What the server announces: its end, a change of its role, a change of its settings.

use std::os::raw::c_void;

use once_cell::sync::OnceCell;
use redis_module::{Context, raw};

use super::guard;

/// What to do at each.
#[derive(Clone, Copy)]
pub struct Handlers {
    pub shutdown: fn(&Context),
    pub role_changed: fn(),
    pub config_changed: fn(&Context),
}

static HANDLERS: OnceCell<Handlers> = OnceCell::new();

pub fn subscribe(ctx: &Context, handlers: Handlers) {
    HANDLERS.get_or_init(|| handlers);
    let events = [
        (raw::REDISMODULE_EVENT_SHUTDOWN, 1),
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, 1),
        (raw::REDISMODULE_EVENT_CONFIG, 1),
    ];
    for (id, version) in events {
        let event = raw::RedisModuleEvent { id, dataver: version };
        raw::subscribe_to_server_event(ctx.ctx, event, Some(on_event));
    }
}

unsafe extern "C" fn on_event(
    ctx: *mut raw::RedisModuleCtx,
    event: raw::RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    guard("a server event", (), || {
        let Some(handlers) = HANDLERS.get() else { return };
        let context = Context::new(ctx);
        match event.id {
            raw::REDISMODULE_EVENT_SHUTDOWN => (handlers.shutdown)(&context),
            raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED => (handlers.role_changed)(),
            raw::REDISMODULE_EVENT_CONFIG => (handlers.config_changed)(&context),
            _ => (),
        }
    });
}
