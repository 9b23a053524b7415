//! The value of a key on its way into a file or out of one: an RDB, a `DUMP`, an append-only file that is
//! rewritten.

use std::os::raw::c_char;
use std::slice;

use gallery::{Sink, Source};
use redis_module::raw;

use super::panics::guard;

/// Runs a callback that saves. It may run in a forked child, which would go on after a panic, and
/// would put a file that lacks something in the place of a good one.
pub fn guard_save(what: &str, io: *mut raw::RedisModuleIO, save: impl FnOnce()) {
    let saved = guard(what, false, || {
        save();
        true
    });
    if !saved {
        fail(io);
    }
}

/// Has the whole save end as an error. The API has no function for that; but a command that no server
/// knows, emitted into any file, sets the error that the server looks for when the callback has ended
/// (Redis 7.0 to 8.2, Valkey 8.1 and 9.1). `DUMP` does not look: what it gives is refused when loaded.
fn fail(io: *mut raw::RedisModuleIO) {
    let emit = api!(RedisModule_EmitAOF);
    // SAFETY: in a callback that saves; the format takes no argument.
    unsafe { emit(io, c"IMAGE.THIS-SAVE-HAS-FAILED".as_ptr(), c"".as_ptr()) };
}

/// An RDB that is written or read.
pub struct Rdb(pub *mut raw::RedisModuleIO);

impl Sink for Rdb {
    fn save_unsigned(&mut self, number: u64) {
        let save = api!(RedisModule_SaveUnsigned);
        // SAFETY: in a callback that saves.
        unsafe { save(self.0, number) };
    }

    fn save_bytes(&mut self, bytes: &[u8]) {
        #[cfg(feature = "test-switches")]
        test_switches::obey(bytes);
        let save = api!(RedisModule_SaveStringBuffer);
        // SAFETY: in a callback that saves; a live buffer with its length.
        unsafe { save(self.0, bytes.as_ptr().cast::<c_char>(), bytes.len()) };
    }
}

impl Rdb {
    fn has_failed(&self) -> bool {
        let is_error = api!(RedisModule_IsIOError);
        // SAFETY: in a callback that loads.
        unsafe { is_error(self.0) != 0 }
    }
}

impl Source for Rdb {
    type Bytes = LoadedBytes;

    fn load_unsigned(&mut self) -> Option<u64> {
        let load = api!(RedisModule_LoadUnsigned);
        // SAFETY: in a callback that loads.
        let number = unsafe { load(self.0) };
        if self.has_failed() { None } else { Some(number) }
    }

    fn load_bytes(&mut self) -> Option<LoadedBytes> {
        let load = api!(RedisModule_LoadStringBuffer);
        let mut len = 0;
        // SAFETY: in a callback that loads. The server refuses a length that it cannot allocate.
        let start = unsafe { load(self.0, &mut len) }.cast::<u8>();
        if start.is_null() {
            return None;
        }
        let bytes = LoadedBytes { start, len };
        if self.has_failed() { None } else { Some(bytes) }
    }
}

/// What the server has read, in its own memory.
pub struct LoadedBytes {
    start: *mut u8,
    len: usize,
}

impl AsRef<[u8]> for LoadedBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the block and the length that the server gave.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for LoadedBytes {
    fn drop(&mut self) {
        let free = api!(RedisModule_Free);
        // SAFETY: allocated by the server for us, freed once.
        unsafe { free(self.start.cast()) };
    }
}

/// What the test suite plants: a save panics in the middle of a gallery with a subject of such a name.
#[cfg(feature = "test-switches")]
pub mod test_switches {
    const MARK: &[u8] = b"#test:panic in a save#";

    pub fn obey(saved: &[u8]) {
        if saved.windows(MARK.len()).any(|window| window == MARK) {
            panic!("planted by the test suite");
        }
    }
}
