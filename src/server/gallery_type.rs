//! The data type of galleries: what the server calls to save, load, rewrite, digest, copy, weigh and
//! free one.
//!
//! No callback takes a lock or reads what another thread writes: the server forks at any moment, and
//! a lock that is held then is held in the child for ever. `free` alone may come on a thread of the
//! server's (`UNLINK`, `FLUSHALL ASYNC`); what it drops is thread-safe: rows behind `Arc`, memory of
//! the server's allocator, counters that are atomics.
//!
//! There is no callback for active defragmentation: it would move rows while a search reads them.

use std::os::raw::{c_char, c_int, c_void};
use std::ptr::null_mut;

use gallery::{Binding, FORMAT, Sample};
use redis_module::native_types::RedisType;
use redis_module::{Context, RedisString, raw};

use super::gallery_value::{GalleryValue, ServerGallery};
use super::keyspace::Look;
use super::log;
use super::panics::guard;
use super::rdb::{Rdb, guard_save};

/// The command that an append-only file creates a gallery with, and the one that fills it.
pub const BIND: &std::ffi::CStr = c"IMAGE.BIND";
pub const ENROLL: &std::ffi::CStr = c"IMAGE.ENROLL";

/// The first version of the methods that has all that is used here.
const METHODS: u64 = 3;

/// Registered when the module loads, by the `redis_module!` table.
pub static GALLERY: RedisType = RedisType::new(
    "imagegall",
    FORMAT as i32,
    raw::RedisModuleTypeMethods {
        version: METHODS,
        rdb_load: Some(rdb_load),
        rdb_save: Some(rdb_save),
        aof_rewrite: Some(aof_rewrite),
        mem_usage: Some(mem_usage),
        digest: Some(digest),
        free: Some(free),
        aux_load: None,
        aux_save: None,
        aux_save_triggers: 0,
        free_effort: Some(free_effort),
        unlink: None,
        copy: Some(copy),
        defrag: None,
        mem_usage2: None,
        free_effort2: None,
        unlink2: None,
        copy2: None,
        aux_save2: None,
    },
);

/// Of Valkey 9 (`valkeymodule.h`); Redis may give this bit another meaning.
const HANDLE_ATOMIC_SLOT_MIGRATION: c_int = 1 << 5;

/// Tells the server what the module can stand. To be called while the module loads.
///
/// - A file or a link that breaks off in a gallery is an error that is returned, and no reason to end.
/// - A replica may load a data set beside the one that it serves: what the module keeps outside of keys
///   belongs to neither, or is emptied when they change places.
/// - A Valkey may move slots as a whole: all that the module keeps lies in keys, and every write to them
///   is replicated.
pub fn declare(ctx: &Context) {
    let mut options = (raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS
        | raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD) as c_int;
    if ctx.server_info("server").field("valkey_version").is_some() {
        options |= HANDLE_ATOMIC_SLOT_MIGRATION;
    }
    let set_options = api!(RedisModule_SetModuleOptions);
    // SAFETY: the context of the loading module, and flags.
    unsafe { set_options(ctx.ctx, options) };
}

/// What a key holds.
pub enum Found<T> {
    Gallery(T),
    Nothing,
    /// Something else.
    Foreign,
}

/// Shows the gallery at a key.
pub fn read<T>(
    ctx: &Context,
    name: &RedisString,
    look: Look,
    show: impl FnOnce(&GalleryValue) -> T,
) -> Found<T> {
    let key = OpenKey::open(ctx, name, look.mode());
    match key.value() {
        // SAFETY: the value of an open key, which nobody changes or frees meanwhile: `show` is plain
        // code of this thread that does not call the server.
        Found::Gallery(value) => Found::Gallery(show(unsafe { &*value })),
        Found::Nothing => Found::Nothing,
        Found::Foreign => Found::Foreign,
    }
}

/// Has the gallery at a key changed; the server then tells those who watch the key. Nothing is a
/// place for a new one, if `create` gives one.
pub fn change<T, E>(
    ctx: &Context,
    name: &RedisString,
    create: impl FnOnce() -> Result<Option<GalleryValue>, E>,
    change: impl FnOnce(&mut GalleryValue) -> Result<T, E>,
) -> Result<Found<T>, E> {
    let key = OpenKey::open(ctx, name, (raw::REDISMODULE_READ | raw::REDISMODULE_WRITE) as c_int);
    match key.value() {
        // SAFETY: as in `read`; the main thread alone has the value, so this borrow is the only one.
        Found::Gallery(value) => change(unsafe { &mut *value }).map(Found::Gallery),
        Found::Foreign => Ok(Found::Foreign),
        Found::Nothing => {
            let Some(mut value) = create()? else { return Ok(Found::Nothing) };
            let changed = change(&mut value)?;
            key.set(value);
            Ok(Found::Gallery(changed))
        }
    }
}

/// An open key, which may be null: there is nothing, and it is open for reading only.
struct OpenKey(*mut raw::RedisModuleKey);

impl OpenKey {
    fn open(ctx: &Context, name: &RedisString, mode: c_int) -> OpenKey {
        let open = api!(RedisModule_OpenKey);
        // SAFETY: on the main thread, with a live context and name.
        OpenKey(unsafe { open(ctx.ctx, name.inner, mode) })
    }

    fn value(&self) -> Found<*mut GalleryValue> {
        if self.0.is_null() {
            return Found::Nothing;
        }
        let key_type = api!(RedisModule_KeyType);
        let module_type = api!(RedisModule_ModuleTypeGetType);
        let get_value = api!(RedisModule_ModuleTypeGetValue);
        // SAFETY: an open key; the value of our type is what `set`, `rdb_load` or `copy` gave.
        unsafe {
            if key_type(self.0) == raw::REDISMODULE_KEYTYPE_EMPTY as c_int {
                Found::Nothing
            } else if module_type(self.0) == *GALLERY.raw_type.borrow() {
                Found::Gallery(get_value(self.0).cast())
            } else {
                Found::Foreign
            }
        }
    }

    /// Makes it the key's value. The key is empty and open for writing.
    fn set(&self, gallery: GalleryValue) {
        let set = api!(RedisModule_ModuleTypeSetValue);
        let value = Box::into_raw(Box::new(gallery));
        // SAFETY: as said; the value belongs to the server from here on, which frees it by `free`.
        unsafe {
            if set(self.0, *GALLERY.raw_type.borrow(), value.cast()) != raw::REDISMODULE_OK as c_int
            {
                drop(Box::from_raw(value));
            }
        }
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        if !self.0.is_null() {
            let close = api!(RedisModule_CloseKey);
            // SAFETY: opened by `open`, closed once.
            unsafe { close(self.0) };
        }
    }
}

/// Sends a sample as the command that enrols it: to replicas and the append-only file, or into a
/// file that is rewritten. Both functions of the server take a format and what it says.
macro_rules! send_enrolment {
    ($send:expr, $to:expr, $key:expr, $model:expr, $space:expr, $sample:expr) => {{
        let (model, space, sample): (&str, &str, &Sample) = ($model, $space, $sample);
        // SAFETY: what the caller says of the first three; the format says what follows: a string,
        // then buffers with their lengths, C strings and a number.
        unsafe {
            $send(
                $to,
                ENROLL.as_ptr(),
                c"sbcbcbcbcl".as_ptr(),
                $key,
                sample.subject.as_ptr(),
                sample.subject.len(),
                c"VECTOR".as_ptr(),
                sample.vector.as_ptr(),
                sample.vector.len(),
                c"MODEL".as_ptr(),
                model.as_ptr(),
                model.len(),
                c"SPACE".as_ptr(),
                space.as_ptr(),
                space.len(),
                c"SAMPLE".as_ptr(),
                sample.sample.0 as i64,
            )
        };
    }};
}

pub fn replicate(ctx: &Context, key: &RedisString, binding: &Binding, sample: &Sample) {
    let replicate = api!(RedisModule_Replicate);
    // On the main thread, in a command.
    send_enrolment!(
        replicate,
        ctx.ctx,
        key.inner,
        &binding.model,
        &binding.space.to_string(),
        sample
    );
}

unsafe extern "C" fn rdb_save(rdb: *mut raw::RedisModuleIO, value: *mut c_void) {
    guard_save("saving a gallery", rdb, || {
        // SAFETY: a value of ours, which nobody changes meanwhile.
        let value = unsafe { &*value.cast::<GalleryValue>() };
        value.gallery().encode(&mut Rdb(rdb));
    });
}

unsafe extern "C" fn rdb_load(rdb: *mut raw::RedisModuleIO, version: c_int) -> *mut c_void {
    guard("loading a gallery", null_mut(), || {
        if version as u64 != FORMAT {
            log::warning(&format!("a gallery of format {version} cannot be loaded by this module"));
            return null_mut();
        }
        match ServerGallery::decode(&mut Rdb(rdb)) {
            Ok(gallery) => Box::into_raw(Box::new(GalleryValue::new(gallery))).cast(),
            Err(error) => {
                log::warning(&format!("a gallery cannot be loaded: {error}"));
                null_mut()
            }
        }
    })
}

unsafe extern "C" fn aof_rewrite(
    aof: *mut raw::RedisModuleIO,
    key: *mut raw::RedisModuleString,
    value: *mut c_void,
) {
    guard_save("rewriting a gallery", aof, || {
        let emit = api!(RedisModule_EmitAOF);
        // SAFETY: a value of ours, which nobody changes meanwhile.
        let gallery = unsafe { &*value.cast::<GalleryValue>() }.gallery();
        let Binding { model, space, dimensions } = gallery.binding();
        let space = space.to_string();
        // SAFETY: in a callback that rewrites; the format says what follows.
        unsafe {
            emit(
                aof,
                BIND.as_ptr(),
                c"scbcbclcl".as_ptr(),
                key,
                c"MODEL".as_ptr(),
                model.as_ptr(),
                model.len(),
                c"SPACE".as_ptr(),
                space.as_ptr(),
                space.len(),
                c"DIMENSIONS".as_ptr(),
                *dimensions as i64,
                c"NEXT".as_ptr(),
                gallery.next_sample() as i64,
            )
        };
        gallery.each_sample(|sample| {
            #[cfg(feature = "test-switches")]
            super::rdb::test_switches::obey(sample.subject);
            send_enrolment!(emit, aof, key, model, &space, &sample);
        });
    });
}

unsafe extern "C" fn mem_usage(value: *const c_void) -> usize {
    // SAFETY: a value of ours, which nobody changes meanwhile.
    guard("weighing a gallery", 0, || unsafe { &*value.cast::<GalleryValue>() }.memory_usage())
}

unsafe extern "C" fn digest(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    guard("the digest of a gallery", (), || {
        let add = api!(RedisModule_DigestAddStringBuffer);
        let end = api!(RedisModule_DigestEndSequence);
        // SAFETY: a value of ours, which nobody changes meanwhile.
        let value = unsafe { &*value.cast::<GalleryValue>() };
        // Parts that end a sequence each are a set: their order does not count.
        value.gallery().digest_parts(|part| {
            // SAFETY: a live buffer with its length.
            unsafe {
                add(digest, part.as_ptr().cast::<c_char>(), part.len());
                end(digest);
            }
        });
    });
}

/// Values of an effort above 64 are freed on a thread of the server's own (`LAZYFREE_THRESHOLD`).
unsafe extern "C" fn free_effort(_key: *mut raw::RedisModuleString, value: *const c_void) -> usize {
    guard("weighing a gallery", 1, || {
        // SAFETY: a value of ours, which nobody changes meanwhile.
        let value = unsafe { &*value.cast::<GalleryValue>() };
        value.gallery().sample_count()
    })
}

unsafe extern "C" fn copy(
    _from: *mut raw::RedisModuleString,
    _to: *mut raw::RedisModuleString,
    value: *const c_void,
) -> *mut c_void {
    guard("copying a gallery", null_mut(), || {
        // SAFETY: a value of ours, which nobody changes meanwhile.
        let value = unsafe { &*value.cast::<GalleryValue>() };
        Box::into_raw(Box::new(value.copy())).cast()
    })
}

unsafe extern "C" fn free(value: *mut c_void) {
    guard("freeing a gallery", (), || {
        // SAFETY: comes from `Box::into_raw`, and the server calls this once, on any thread.
        drop(unsafe { Box::from_raw(value.cast::<GalleryValue>()) });
    });
}
