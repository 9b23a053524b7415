//! The bytes of an image while a thread works on them: the client's own argument, not a copy.

use std::ptr::null_mut;
use std::slice;
use std::thread::{self, ThreadId};

use once_cell::sync::OnceCell;
use redis_module::{RedisString, raw};

static MAIN_THREAD: OnceCell<ThreadId> = OnceCell::new();

/// To be called at load: strings may be freed on this thread only.
pub fn remember_main_thread() {
    MAIN_THREAD.get_or_init(|| thread::current().id());
}

/// A held argument. It is made and freed on the main thread, since the reference counts of strings
/// are not atomic; in between its owner, on whatever thread, may read it.
///
/// Holding alone does not keep the bytes where they are. When a module's command returns, the server
/// trims every argument that is held by then and has free space behind it, which may move its bytes
/// (`RedisModuleCommandDispatcher` in module.c; seen on Redis 7.0.15 under AddressSanitizer). A
/// large argument has such space if more data arrived behind it. So the argument is trimmed here first.
pub struct Payload {
    string: *mut raw::RedisModuleString,
    bytes: *const u8,
    len: usize,
}

// SAFETY: another thread only reads the bytes, which nobody changes: the held string is not reachable
// through the keyspace, and the server copies before it writes to a shared string. `Drop` takes care
// that the reference count is touched on the main thread alone.
unsafe impl Send for Payload {}

impl Payload {
    pub fn hold(argument: &RedisString) -> Payload {
        let hold = api!(RedisModule_HoldString);
        let trim = api!(RedisModule_TrimStringAllocation);
        // SAFETY: on the main thread, with a live string, whose bytes nobody else reads yet; a null
        // context means that the reference is ours to release.
        let string = unsafe {
            let string = hold(null_mut(), argument.inner);
            trim(string);
            string
        };
        let mut len = 0;
        let bytes = raw::string_ptr_len(string, &mut len);
        Payload { string, bytes: bytes.cast(), len }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the pointer and length of the string we hold a reference to.
        unsafe { slice::from_raw_parts(self.bytes, self.len) }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if MAIN_THREAD.get() != Some(&thread::current().id()) {
            // Leaking one payload is better than a race on its reference count.
            debug_assert!(false, "a payload was dropped off the main thread");
            return;
        }
        let mut len = 0;
        let bytes = raw::string_ptr_len(self.string, &mut len);
        debug_assert!(bytes.cast() == self.bytes && len == self.len, "a held payload has moved");
        let free = api!(RedisModule_FreeString);
        // SAFETY: on the main thread; releases the reference that `hold` took.
        unsafe { free(null_mut(), self.string) };
    }
}
