//! What a command may ask about its caller.

use std::ffi::CStr;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::{
    AclPermissions, Context, ContextFlags, RedisError, RedisResult, RedisString, RedisValue, raw,
};

use super::{log, reply};
use crate::error::{Error, ErrorCode};
use crate::reply::Reply;

/// Runs a command: what it gives is sent, an error as well, and so is a panic.
pub fn answer(ctx: &Context, run: impl FnOnce() -> Result<Option<Reply>, Error>) -> RedisResult {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(Some(reply))) => reply::send(ctx, &reply),
        Ok(Ok(None)) => (),
        Ok(Err(error)) => reply::send(ctx, &Reply::Error(error)),
        Err(_) => {
            log::warning("a panic was caught in a command; please report it with its backtrace");
            return Err(RedisError::Str("FAILED the command panicked; the server's log has more"));
        }
    }
    Ok(RedisValue::NoReply)
}

/// Hides an argument from MONITOR and SLOWLOG. The string itself stays usable.
pub fn redact(ctx: &Context, position: usize) {
    let redact = api!(RedisModule_RedactClientCommandArgument);
    // SAFETY: the context of a running command; a position out of range is refused by the call.
    unsafe { redact(ctx.ctx, position as c_int) };
}

/// The number of the client's database.
pub fn selected_db(ctx: &Context) -> i32 {
    let selected_db = api!(RedisModule_GetSelectedDb);
    // SAFETY: the context of a running command.
    unsafe { selected_db(ctx.ctx) }
}

/// Has the context's later calls work on that database.
pub fn select_db(ctx: &Context, db: i32) {
    let select_db = api!(RedisModule_SelectDb);
    // SAFETY: a valid context; a database that does not exist is refused by the call.
    unsafe { select_db(ctx.ctx, db) };
}

/// The name of the user who runs the command. There is none where another module runs it; asked for
/// its name there, the server would crash.
pub fn current_user(ctx: &Context) -> Result<RedisString, Error> {
    let client_id = api!(RedisModule_GetClientId);
    let user_of_client = api!(RedisModule_GetClientUserNameById);
    let current_user = api!(RedisModule_GetCurrentUserName);
    let name = if ctx.get_flags().contains(ContextFlags::LUA) {
        // SAFETY: in a script, whose client has the user who runs the script.
        unsafe { current_user(ctx.ctx) }
    } else {
        // SAFETY: looked up among the real clients; null for any other.
        unsafe { user_of_client(ctx.ctx, client_id(ctx.ctx)) }
    };
    if name.is_null() {
        let sentence =
            "nobody knows for whom this is: IMAGE.RECOGNIZE_AUTO needs a client; name the key";
        return Err(Error::new(ErrorCode::Err, sentence));
    }
    Ok(RedisString::from_redis_module_string(std::ptr::null_mut(), name))
}

/// Whether the user may read and write the key. Redis checks declared keys itself; this is for a key
/// that is computed.
pub fn may_use_key(ctx: &Context, user: &RedisString, key: &RedisString) -> bool {
    let permissions = AclPermissions::ACCESS | AclPermissions::INSERT | AclPermissions::UPDATE;
    ctx.acl_check_key_permission(user, key, &permissions).is_ok()
}

/// Whether the user who runs the context's command may run that one, too.
pub fn may_run(ctx: &Context, command: &CStr) -> bool {
    let Ok(user) = current_user(ctx) else { return false };
    let command = RedisString::create_from_slice(std::ptr::null_mut(), command.to_bytes());
    let find = api!(RedisModule_GetModuleUserFromUserName);
    let check = api!(RedisModule_ACLCheckCommandPermissions);
    let free = api!(RedisModule_FreeModuleUser);
    // SAFETY: on the main thread, with live strings; the user, null if there is none, is freed once.
    unsafe {
        let user = find(user.inner);
        if user.is_null() {
            return false;
        }
        let status = check(user, [command.inner].as_mut_ptr(), 1);
        free(user);
        status == raw::REDISMODULE_OK as c_int
    }
}
