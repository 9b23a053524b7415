//! Stored results: one plain hash per image, `sha256` and a field `model@version` a result.
//!
//! Other clients may read and write these hashes too. What is not ours is never touched: a key of
//! another type, a hash without `sha256` or with more fields than we ever make, a foreign field.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis_module::{
    CallOptions, CallOptionsBuilder, CallReply, CallResult, Context, ContextFlags, RedisString,
};

use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::metrics::NotStored;
use crate::models::ServedModel;
use crate::server::keyspace::{Key, Look, WrittenHash};
use crate::server::{log, main_thread, slots};

const DIGEST_FIELD: &CStr = c"sha256";
/// A hash with more fields than this is somebody's own data.
const MAX_FIELDS: usize = 64;
/// Under an evicting policy results are stored up to here, and the server evicts.
const MAX_MEMORY_RATIO: f32 = 1.1;

/// The stored result of a model, if the key holds one: of that picture if one is given, and of the
/// picture that the key names if it names one.
pub fn look_up(
    ctx: &Context,
    name: &RedisString,
    look: Look,
    model: &ServedModel,
    wanted: Option<Digest>,
) -> Result<Option<RedisString>, Error> {
    let Some(key) = Key::open(ctx, name, look) else { return Ok(None) };
    let (digest, result) = match read(&key, &model.field) {
        Content::Results(digest, result) => (digest, result),
        Content::Nothing => return Ok(None),
        Content::Foreign => {
            return Err(Error::new(
                Word::WrongType,
                "the key holds something else than stored results; use another key",
            ));
        }
    };
    let demands = [wanted, Digest::named_by(name.as_slice())];
    let fits = demands.into_iter().flatten().all(|demanded| demanded == digest);
    Ok(if fits { result } else { None })
}

/// What a key holds.
enum Content {
    /// Ours: the digest, and one of the results.
    Results(Digest, Option<RedisString>),
    /// A hash whose fields have all expired: for its readers there is no such key.
    Nothing,
    Foreign,
}

fn read(key: &Key, field: &CStr) -> Content {
    if !key.is_hash() {
        return Content::Foreign;
    }
    let [digest, result] = key.fields(DIGEST_FIELD, field);
    match digest.and_then(|digest| Digest::parse(digest.as_slice())) {
        Some(digest) if key.len() <= MAX_FIELDS => Content::Results(digest, result),
        None if key.is_expired_hash() => Content::Nothing,
        _ => Content::Foreign,
    }
}

/// Stores a result. What goes stale is deleted first, then digest and result are set together, then
/// the time to live: after any prefix of it no digest stands beside another picture's result. To
/// be called where writes are allowed, with the key's database selected.
pub fn store(
    ctx: &Context,
    name: &RedisString,
    digest: Digest,
    model: &ServedModel,
    result: &str,
    ttl: Option<Duration>,
) -> Result<(), NotStored> {
    let flags = ctx.get_flags();
    if !flags.contains(ContextFlags::MASTER) {
        return Err(NotStored::Role);
    }
    // Before anything is deleted.
    if !has_memory_left(ctx) {
        return Err(NotStored::Memory);
    }
    let stale = stale_fields(ctx, name, digest, model)?;
    let hex = digest.hex();
    let fields =
        [(DIGEST_FIELD.to_bytes(), hex.as_bytes()), (model.field.to_bytes(), result.as_bytes())];
    let expiry = ttl.map(expiry_milliseconds);
    match write_by_commands(ctx, name, &stale, fields, expiry) {
        Err(NotStored::Slot) if slots::is_importing(ctx, name) => {
            write_directly(ctx, name, &stale, fields, expiry)
        }
        written => written,
    }
}

/// The server checks each command: role, slot, and what else it may come to check.
fn write_by_commands(
    ctx: &Context,
    name: &RedisString,
    stale: &[Vec<u8>],
    fields: [(&[u8], &[u8]); 2],
    expiry: Option<i64>,
) -> Result<(), NotStored> {
    let writing = CallOptionsBuilder::new().replicate().errors_as_replies().build();
    let key = name.as_slice();
    if !stale.is_empty() {
        let arguments: Vec<&[u8]> =
            [key].into_iter().chain(stale.iter().map(Vec::as_slice)).collect();
        call(ctx, "HDEL", &writing, &arguments)?;
    }
    let [(digest_field, digest), (result_field, result)] = fields;
    call(ctx, "HSET", &writing, &[key, digest_field, digest, result_field, result])?;
    if let Some(expiry) = expiry {
        call(ctx, "PEXPIREAT", &writing, &[key, expiry.to_string().as_bytes()])?;
    }
    Ok(())
}

/// Into a slot that this node is importing. A client that came by `ASK` may write there, a command of
/// ours may not: its client has not said `ASKING`.
fn write_directly(
    ctx: &Context,
    name: &RedisString,
    stale: &[Vec<u8>],
    fields: [(&[u8], &[u8]); 2],
    expiry: Option<i64>,
) -> Result<(), NotStored> {
    let Some(hash) = WrittenHash::open(ctx, name) else { return Err(NotStored::Foreign) };
    let written = stale.iter().all(|field| hash.delete(field))
        && hash.set(&fields)
        && expiry.is_none_or(|expiry| hash.expire_at(expiry));
    if written { Ok(()) } else { Err(NotStored::Refused) }
}

/// Whether the server has room for what a job has found. Not by `verify_oom`: that knows only how full
/// the server was before its last command, and refuses most stores of a full cache that evicts.
pub fn has_memory_left(ctx: &Context) -> bool {
    let evicts = ctx.get_flags().contains(ContextFlags::EVICTED);
    main_thread::used_memory_ratio() <= if evicts { MAX_MEMORY_RATIO } else { 1.0 }
}

/// The fields that a store makes stale: other versions of the model's results, or with another
/// digest all results.
fn stale_fields(
    ctx: &Context,
    name: &RedisString,
    digest: Digest,
    model: &ServedModel,
) -> Result<Vec<Vec<u8>>, NotStored> {
    let Some(key) = Key::open(ctx, name, Look::Again) else { return Ok(Vec::new()) };
    let (stored_digest, result) = match read(&key, &model.field) {
        Content::Results(digest, result) => (digest, result),
        Content::Nothing => return Ok(Vec::new()),
        Content::Foreign => return Err(NotStored::Foreign),
    };
    let fields = key.field_names();
    let count = fields.len();
    let own_field = model.field.to_bytes();
    let stale: Vec<Vec<u8>> = fields
        .into_iter()
        .filter(|field| {
            let Some(model_name) = model_of_field(field) else { return false };
            let same_model = model_name == model.recognizer.name().as_bytes();
            let same_picture = stored_digest == digest;
            !same_picture || (same_model && field != own_field)
        })
        .collect();
    let added = usize::from(result.is_none() || stale.iter().any(|field| field == own_field));
    if count - stale.len() + added > MAX_FIELDS {
        return Err(NotStored::Foreign);
    }
    Ok(stale)
}

/// The model whose result a field is: `name@` and 8 hex digits.
fn model_of_field(field: &[u8]) -> Option<&[u8]> {
    const VERSION_LEN: usize = 8;
    let start = field.len().checked_sub(VERSION_LEN)?;
    let (head, version) = field.split_at(start);
    let name = head.strip_suffix(b"@")?;
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (!name.is_empty() && version.iter().all(is_hex)).then_some(name)
}

/// Since 1970.
fn expiry_milliseconds(ttl: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from((now + ttl).as_millis()).unwrap_or(i64::MAX)
}

fn call(
    ctx: &Context,
    command: &str,
    options: &CallOptions,
    arguments: &[&[u8]],
) -> Result<CallReply<'static>, NotStored> {
    let reply: CallResult<'static> = ctx.call_ext(command, options, arguments);
    reply.map_err(|error| {
        let text = error.to_utf8_string().unwrap_or_default();
        let reason = refusal(&text);
        if reason == NotStored::Refused {
            log_refusal(command, &text);
        }
        reason
    })
}

fn refusal(text: &str) -> NotStored {
    let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    let holds = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if begins(&["OOM"]) {
        NotStored::Memory
    } else if begins(&["READONLY"]) {
        NotStored::Role
    } else if begins(&["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"])
        || holds(&["non local", "cluster is down"])
    {
        NotStored::Slot
    } else {
        NotStored::Refused
    }
}

/// Once in ten seconds: a server that refuses one store refuses many.
fn log_refusal(command: &str, text: &str) {
    const QUIET_SECONDS: u64 = 10;
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if now.saturating_sub(LAST.load(Relaxed)) >= QUIET_SECONDS {
        LAST.store(now, Relaxed);
        log::warning(&format!("a result was not stored: {command}: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_of_our_form_are_ours() {
        assert_eq!(model_of_field(b"mobilenetv2@3fa91c07"), Some(&b"mobilenetv2"[..]));
        assert_eq!(model_of_field(b"a@b@00000000"), Some(&b"a@b"[..]));
        for foreign in ["sha256", "note", "@3fa91c07", "m@3fa91c0", "m@3fa91c0z", "m@3FA91C07", ""]
        {
            assert_eq!(model_of_field(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        assert_eq!(refusal("OOM command not allowed"), NotStored::Memory);
        assert_eq!(refusal("READONLY You can't write"), NotStored::Role);
        let slot = "ERR Attempted to access a non local key in a cluster node";
        assert_eq!(refusal(slot), NotStored::Slot);
        let down = "ERR Can not execute a command 'hset' while the cluster is down";
        assert_eq!(refusal(down), NotStored::Slot);
        assert_eq!(refusal("ERR whatever"), NotStored::Refused);
    }
}
