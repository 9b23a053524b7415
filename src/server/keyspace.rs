//! Reading a key without a command, and telling subscribers what became of it.

use std::ffi::CStr;
use std::os::raw::c_int;
use std::ptr::null_mut;

use redis_module::{Context, RedisString, raw};

/// A key that is there, open for reading.
pub struct Key(*mut raw::RedisModuleKey);

impl Key {
    /// None if there is no such key.
    pub fn open(ctx: &Context, name: &RedisString) -> Option<Key> {
        let open = api!(RedisModule_OpenKey);
        // SAFETY: on the main thread, with a live context and name.
        let key = unsafe { open(ctx.ctx, name.inner, raw::REDISMODULE_READ as c_int) };
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
}

impl Drop for Key {
    fn drop(&mut self) {
        let close = api!(RedisModule_CloseKey);
        // SAFETY: opened by `open`, closed once.
        unsafe { close(self.0) };
    }
}

/// A keyspace event of the module's class (`d`) in the context's database.
pub fn notify(ctx: &Context, event: &CStr, key: &RedisString) {
    let notify = api!(RedisModule_NotifyKeyspaceEvent);
    // SAFETY: on the main thread, with a live context and name.
    unsafe { notify(ctx.ctx, raw::REDISMODULE_NOTIFY_MODULE, event.as_ptr(), key.inner) };
}
