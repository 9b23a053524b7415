//! The hash of an image: a field `sha256`, and a field `model@version` for each result.
//!
//! Other clients may read and write these hashes too. What is not the module's is never touched: a key
//! of another type, a hash without `sha256` or with more fields than the module makes, a foreign field.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis_module::{CallOptionsBuilder, CallResult, Context, ContextFlags, RedisString};

use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::metrics::NotStored;
use crate::models::ServedModel;
use crate::server::keyspace::{Key, Look, WrittenHash};
use crate::server::refusal::Refusal;
use crate::server::{log, main_thread, slots};

const DIGEST_FIELD: &CStr = c"sha256";
/// A hash with more fields than this is somebody's own data.
const MAX_FIELDS: usize = 64;
/// Under an evicting policy results are stored up to here, and the server evicts.
const MAX_MEMORY_RATIO: f32 = 1.1;

/// The stored result of a model, if the key holds one: of the wanted picture, and of the picture that
/// the key names if it names one.
///
/// # Errors
/// `WRONGTYPE` if the key holds something else.
pub fn stored_result(
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
                ErrorCode::WrongType,
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
/// the time to live: after any prefix of these steps no digest stands beside another picture's result.
/// To be called where writes are allowed, with the key's database selected.
pub fn store(
    ctx: &Context,
    name: &RedisString,
    digest: Digest,
    model: &ServedModel,
    result: &str,
    ttl: Option<Duration>,
) -> Result<(), NotStored> {
    if !ctx.get_flags().contains(ContextFlags::MASTER) {
        return Err(NotStored::Role);
    }
    // Before anything is deleted.
    if !has_memory_left(ctx) {
        return Err(NotStored::Memory);
    }
    let hex = digest.hex();
    let write = HashWrite {
        ctx,
        name,
        stale: stale_fields(ctx, name, digest, model)?,
        fields: [
            (DIGEST_FIELD.to_bytes(), hex.as_bytes()),
            (model.field.to_bytes(), result.as_bytes()),
        ],
        expiry: ttl.map(expiry_milliseconds),
    };
    match write.by_commands() {
        Err(NotStored::Slot) if slots::is_importing(ctx, name) => write.directly(),
        written => written,
    }
}

/// What a store does to a key.
struct HashWrite<'a> {
    ctx: &'a Context,
    name: &'a RedisString,
    /// Fields to be deleted.
    stale: Vec<Vec<u8>>,
    /// The digest and the result.
    fields: [(&'a [u8], &'a [u8]); 2],
    /// Milliseconds since 1970.
    expiry: Option<i64>,
}

impl HashWrite<'_> {
    /// The server checks each command: role, slot, and what else it may come to check.
    fn by_commands(&self) -> Result<(), NotStored> {
        let key = self.name.as_slice();
        if !self.stale.is_empty() {
            let stale = self.stale.iter().map(Vec::as_slice);
            let arguments: Vec<&[u8]> = [key].into_iter().chain(stale).collect();
            self.call("HDEL", &arguments)?;
        }
        let [(digest_field, digest), (result_field, result)] = self.fields;
        self.call("HSET", &[key, digest_field, digest, result_field, result])?;
        if let Some(expiry) = self.expiry {
            self.call("PEXPIREAT", &[key, expiry.to_string().as_bytes()])?;
        }
        Ok(())
    }

    /// Into a slot that this node is importing. A client that came by `ASK` may write there; a command
    /// that the module calls may not, as its client has not said `ASKING`.
    fn directly(&self) -> Result<(), NotStored> {
        let Some(hash) = WrittenHash::open(self.ctx, self.name) else {
            return Err(NotStored::Foreign);
        };
        let written = self.stale.iter().all(|field| hash.delete(field))
            && hash.set(&self.fields)
            && self.expiry.is_none_or(|expiry| hash.expire_at(expiry));
        if written { Ok(()) } else { Err(NotStored::Refused) }
    }

    fn call(&self, command: &str, arguments: &[&[u8]]) -> Result<(), NotStored> {
        let options = CallOptionsBuilder::new().replicate().errors_as_replies().build();
        let reply: CallResult<'static> = self.ctx.call_ext(command, &options, arguments);
        let Err(error) = reply else { return Ok(()) };
        let text = error.to_utf8_string().unwrap_or_default();
        Err(match Refusal::parse(&text) {
            Refusal::Memory => NotStored::Memory,
            Refusal::Role => NotStored::Role,
            Refusal::Slot | Refusal::ClusterDown => NotStored::Slot,
            Refusal::Code(_) | Refusal::Other => {
                log_refusal(command, &text);
                NotStored::Refused
            }
        })
    }
}

/// Whether the server has room for what a job has found. Not told by `verify_oom`: that knows only how
/// full the server was before its last command, and refuses most stores of a full cache that evicts.
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
}
