//! Reading and writing a key without a command, and telling subscribers what became of it.

use std::ffi::CStr;
use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;

use redis_module::{Context, RedisString, raw};

use super::panics::guard;

/// A string of the server's, for a key's name.
pub fn string(bytes: &[u8]) -> RedisString {
    RedisString::create_from_slice(null_mut(), bytes)
}

/// A look at a key for a request of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The user's own look, in the command's context: it counts as a hit or a miss, touches the key
    /// unless the client said `CLIENT NO-TOUCH`, and tells subscribers of `keymiss`.
    First,
    /// A look of ours for the same request: nobody is to notice. (Redis 7.0 knows only how not to touch
    /// the key, and counts these looks, too.)
    Again,
}

impl Look {
    pub(super) fn mode(self) -> c_int {
        let silent = raw::REDISMODULE_OPEN_KEY_NOTOUCH
            | raw::REDISMODULE_OPEN_KEY_NONOTIFY
            | raw::REDISMODULE_OPEN_KEY_NOSTATS
            | raw::REDISMODULE_OPEN_KEY_NOEXPIRE;
        let mode = match self {
            Look::First => raw::REDISMODULE_READ,
            Look::Again => raw::REDISMODULE_READ | silent,
        };
        mode as c_int
    }
}

/// A key that is there, open for reading.
pub struct Key(*mut raw::RedisModuleKey);

impl Key {
    /// None if there is no such key.
    pub fn open(ctx: &Context, name: &RedisString, look: Look) -> Option<Key> {
        let open = api!(RedisModule_OpenKey);
        // SAFETY: on the main thread, with a live context and name.
        let key = unsafe { open(ctx.ctx, name.inner, look.mode()) };
        (!key.is_null()).then_some(Key(key))
    }

    pub fn is_hash(&self) -> bool {
        let key_type = api!(RedisModule_KeyType);
        // SAFETY: an open key.
        unsafe { key_type(self.0) == raw::REDISMODULE_KEYTYPE_HASH as c_int }
    }

    /// The number of a hash's fields.
    pub fn len(&self) -> usize {
        let value_length = api!(RedisModule_ValueLength);
        // SAFETY: an open key.
        unsafe { value_length(self.0) }
    }

    /// The values of two fields of a hash.
    pub fn fields(&self, first: &CStr, second: &CStr) -> [Option<RedisString>; 2] {
        let hash_get = api!(RedisModule_HashGet);
        let mut values: [*mut raw::RedisModuleString; 2] = [null_mut(); 2];
        let [first_value, second_value] = &mut values;
        // SAFETY: an open hash; pairs of a C string and the place of its value, ended by a null, as
        // `HASH_CFIELDS` demands. A value that is found is a new reference, which is ours.
        unsafe {
            hash_get(
                self.0,
                raw::REDISMODULE_HASH_CFIELDS as c_int,
                first.as_ptr(),
                first_value as *mut *mut raw::RedisModuleString,
                second.as_ptr(),
                second_value as *mut *mut raw::RedisModuleString,
                null_mut::<raw::RedisModuleString>(),
            )
        };
        values.map(|value| {
            (!value.is_null()).then(|| RedisString::from_redis_module_string(null_mut(), value))
        })
    }

    /// The names of a hash's fields, those that have expired not among them. For small hashes.
    pub fn field_names(&self) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        self.scan(|some| {
            names.extend(some.iter().filter(|name| self.has_field(name)).cloned());
            true
        });
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether no field of a hash is alive, although the server has not yet removed it. Of a very large
    /// hash nobody knows: to look through all of it would hold up the server.
    pub fn is_expired_hash(&self) -> bool {
        const TOO_MANY: usize = 100_000;
        let mut alive = true;
        if self.len() <= TOO_MANY {
            self.scan(|some| {
                alive = some.iter().any(|name| self.has_field(name));
                !alive
            });
        }
        !alive
    }

    /// Hands over the names of a hash's fields, some at a time, as long as the caller wants more. A name
    /// may come twice, and on some servers that of an expired field.
    fn scan(&self, mut wants_more: impl FnMut(&[Vec<u8>]) -> bool) {
        let create = api!(RedisModule_ScanCursorCreate);
        let scan = api!(RedisModule_ScanKey);
        let destroy = api!(RedisModule_ScanCursorDestroy);
        let mut some: Vec<Vec<u8>> = Vec::new();
        // SAFETY: takes nothing.
        let cursor = unsafe { create() };
        if cursor.is_null() {
            return;
        }
        loop {
            some.clear();
            // SAFETY: an open hash, which nobody changes meanwhile; `on_field` gets back the list, which
            // outlives the call.
            let more = unsafe {
                scan(self.0, cursor, Some(on_field), (&raw mut some).cast::<c_void>()) != 0
            };
            if !wants_more(&some) || !more {
                break;
            }
        }
        // SAFETY: made above, freed once.
        unsafe { destroy(cursor) };
    }

    fn has_field(&self, name: &[u8]) -> bool {
        let hash_get = api!(RedisModule_HashGet);
        let field = string(name);
        let mut exists: c_int = 0;
        // SAFETY: an open hash; a pair of a name and the place of a number, ended by a null, as
        // `HASH_EXISTS` demands.
        unsafe {
            hash_get(
                self.0,
                raw::REDISMODULE_HASH_EXISTS as c_int,
                field.inner,
                &raw mut exists,
                null_mut::<raw::RedisModuleString>(),
            )
        };
        exists != 0
    }
}

unsafe extern "C" fn on_field(
    _key: *mut raw::RedisModuleKey,
    field: *mut raw::RedisModuleString,
    _value: *mut raw::RedisModuleString,
    names: *mut c_void,
) {
    guard("a scan of a hash", (), || {
        // SAFETY: what `scan` passed, and no other reference to it is alive.
        let names = unsafe { &mut *names.cast::<Vec<Vec<u8>>>() };
        names.push(RedisString::string_as_slice(field).to_vec());
    });
}

impl Drop for Key {
    fn drop(&mut self) {
        let close = api!(RedisModule_CloseKey);
        // SAFETY: opened by `open`, closed once.
        unsafe { close(self.0) };
    }
}

/// A hash that is written without commands, each write behind the command that does the same on replicas
/// and in the append-only file; where the server does not know that command (it may be renamed) nothing
/// is written. The server checks nothing else here, neither role nor slot nor memory: who calls this
/// has. Not while writes are paused.
pub struct WrittenHash<'a> {
    ctx: &'a Context,
    name: &'a RedisString,
    key: *mut raw::RedisModuleKey,
}

impl WrittenHash<'_> {
    /// None if the key holds something else.
    pub fn open<'a>(ctx: &'a Context, name: &'a RedisString) -> Option<WrittenHash<'a>> {
        let open = api!(RedisModule_OpenKey);
        let key_type = api!(RedisModule_KeyType);
        let mode = raw::REDISMODULE_READ | raw::REDISMODULE_WRITE;
        // SAFETY: on the main thread, with a live context and name; the key is closed by `drop`.
        let (key, found) = unsafe {
            let key = open(ctx.ctx, name.inner, mode as c_int);
            (key, key_type(key) as isize)
        };
        if key.is_null() {
            return None;
        }
        let hash = WrittenHash { ctx, name, key };
        let fits = [raw::REDISMODULE_KEYTYPE_EMPTY, raw::REDISMODULE_KEYTYPE_HASH];
        fits.contains(&found).then_some(hash)
    }

    /// False if nothing was written.
    #[must_use]
    pub fn delete(&self, field: &[u8]) -> bool {
        if !self.replicate(c"HDEL", &[field]) {
            return false;
        }
        // The pointer that the header calls `REDISMODULE_HASH_DELETE`.
        self.change(field, std::ptr::without_provenance_mut(1));
        notify_of(self.ctx, raw::REDISMODULE_NOTIFY_HASH, c"hdel", self.name);
        true
    }

    /// Sets fields, all of them by one command. False if nothing was written.
    #[must_use]
    pub fn set(&self, fields: &[(&[u8], &[u8])]) -> bool {
        let arguments: Vec<&[u8]> =
            fields.iter().flat_map(|(field, value)| [*field, *value]).collect();
        if !self.replicate(c"HSET", &arguments) {
            return false;
        }
        for (field, value) in fields {
            let value = string(value);
            self.change(field, value.inner);
        }
        notify_of(self.ctx, raw::REDISMODULE_NOTIFY_HASH, c"hset", self.name);
        true
    }

    /// Has the key expire at that time, in milliseconds since 1970. False if nothing was written.
    #[must_use]
    pub fn expire_at(&self, time: i64) -> bool {
        if !self.replicate(c"PEXPIREAT", &[time.to_string().as_bytes()]) {
            return false;
        }
        let set_expire = api!(RedisModule_SetAbsExpire);
        // SAFETY: a key that is open for writing, and holds what `set` wrote.
        let status = unsafe { set_expire(self.key, time) };
        notify_of(self.ctx, raw::REDISMODULE_NOTIFY_GENERIC, c"expire", self.name);
        status == raw::REDISMODULE_OK as c_int
    }

    fn change(&self, field: &[u8], value: *mut raw::RedisModuleString) {
        let hash_set = api!(RedisModule_HashSet);
        let field = string(field);
        // SAFETY: a key that is open for writing, a hash or empty; a field, its value or the sign for
        // a deletion, and a null at the end. The server copies both strings.
        unsafe {
            hash_set(
                self.key,
                raw::REDISMODULE_HASH_NONE as c_int,
                field.inner,
                value,
                null_mut::<raw::RedisModuleString>(),
            )
        };
    }

    fn replicate(&self, command: &CStr, arguments: &[&[u8]]) -> bool {
        let replicate = api!(RedisModule_Replicate);
        let held: Vec<RedisString> = arguments.iter().map(|argument| string(argument)).collect();
        let mut strings: Vec<*mut raw::RedisModuleString> =
            held.iter().map(|string| string.inner).collect();
        // SAFETY: the format says what follows: a string, then a list of strings with its length, which
        // all outlive the call.
        let status = unsafe {
            replicate(
                self.ctx.ctx,
                command.as_ptr(),
                c"sv".as_ptr(),
                self.name.inner,
                strings.as_mut_ptr(),
                strings.len(),
            )
        };
        status == raw::REDISMODULE_OK as c_int
    }
}

impl Drop for WrittenHash<'_> {
    fn drop(&mut self) {
        let close = api!(RedisModule_CloseKey);
        // SAFETY: opened by `open`, closed once.
        unsafe { close(self.key) };
    }
}

/// A keyspace event of the module's class (`d`) in the context's database.
pub fn notify(ctx: &Context, event: &CStr, key: &RedisString) {
    notify_of(ctx, raw::REDISMODULE_NOTIFY_MODULE, event, key);
}

fn notify_of(ctx: &Context, class: c_int, event: &CStr, key: &RedisString) {
    let notify = api!(RedisModule_NotifyKeyspaceEvent);
    // SAFETY: on the main thread, with a live context and name.
    unsafe { notify(ctx.ctx, class, event.as_ptr(), key.inner) };
}
