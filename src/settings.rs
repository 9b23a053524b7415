//! The settings `image.*`: defaults, bounds, and where their values live. Workers read them too, so
//! each is an atomic or behind a lock of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use recognition::Folder;
use recognition::decode::DecodeLimits;
use recognition::engine::EngineChoice;
use redis_module::configuration::{ConfigurationContext, ConfigurationValue};
use redis_module::{RedisError, RedisString};

use crate::error::quoted;
use crate::server::library;

/// A setting that is a number: its name, default and bounds.
pub struct Number {
    pub name: &'static str,
    pub default: i64,
    pub min: i64,
    pub max: i64,
    value: AtomicI64,
}

impl Number {
    const fn new(name: &'static str, default: i64, min: i64, max: i64) -> Number {
        Number { name, default, min, max, value: AtomicI64::new(default) }
    }

    fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl ConfigurationValue<i64> for Number {
    fn get(&self, _: &ConfigurationContext) -> i64 {
        Number::get(self)
    }

    fn set(&self, _: &ConfigurationContext, value: i64) -> Result<(), RedisError> {
        self.value.store(value, Ordering::Relaxed);
        Ok(())
    }
}

const KB: i64 = 1 << 10;
const MB: i64 = 1 << 20;
const GB: i64 = 1 << 30;
const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
/// A hundred years, in seconds: a longer time to live is a mistake.
pub const MAX_TTL: i64 = 100 * 366 * 24 * 3600;
/// The longest wait that a client may ask for, in milliseconds.
pub const MAX_WAIT: i64 = 24 * HOUR;

/// 0 = automatic: as many as there are cores. At their lower priority they leave PING as it is
/// (`benches/`).
pub static THREADS: Number = Number::new("threads", 0, 0, 256);
pub static NICE: Number = Number::new("nice", 10, 0, 19);
pub static QUEUE_LENGTH: Number = Number::new("queue-length", 1024, 1, 1_000_000);
pub static QUEUE_MEMORY: Number = Number::new("queue-memory", 256 * MB, MB, 1024 * GB);
pub static TIMEOUT: Number = Number::new("timeout", 30 * SECOND, 1, MAX_WAIT);
pub static TTL: Number = Number::new("ttl", 0, 0, MAX_TTL);
pub static MAX_PAYLOAD: Number = Number::new("max-payload", 32 * MB, KB, 512 * MB);
pub static MAX_PIXELS: Number = Number::new("max-pixels", 50_000_000, 1, 1_000_000_000);
pub static DECODE_MEMORY: Number = Number::new("decode-memory", 256 * MB, MB, 16 * GB);
/// Pictures whose embeddings are remembered; 0 = none.
pub static IDENTIFY_CACHE: Number = Number::new("identify-cache", 1024, 0, 1_000_000);
pub static HASH_INLINE: Number = Number::new("hash-inline", 256 * KB, 0, 512 * MB);

pub static NUMBERS: [&Number; 11] = [
    &THREADS,
    &NICE,
    &QUEUE_LENGTH,
    &QUEUE_MEMORY,
    &TIMEOUT,
    &TTL,
    &MAX_PAYLOAD,
    &MAX_PIXELS,
    &DECODE_MEMORY,
    &HASH_INLINE,
    &IDENTIFY_CACHE,
];

/// A setting that is a text, with the check that a new value must pass.
pub struct Text {
    pub name: &'static str,
    pub default: &'static str,
    check: fn(&str) -> Result<(), String>,
    value: Mutex<String>,
}

impl Text {
    const fn new(
        name: &'static str,
        default: &'static str,
        check: fn(&str) -> Result<(), String>,
    ) -> Text {
        Text { name, default, check, value: Mutex::new(String::new()) }
    }

    pub fn get(&self) -> String {
        self.value.lock().clone()
    }
}

impl ConfigurationValue<RedisString> for Text {
    fn get(&self, _: &ConfigurationContext) -> RedisString {
        // Not `RedisString::create`, which panics on a NUL.
        RedisString::create_from_slice(std::ptr::null_mut(), self.value.lock().as_bytes())
    }

    fn set(&self, _: &ConfigurationContext, value: RedisString) -> Result<(), RedisError> {
        let text = std::str::from_utf8(value.as_slice())
            .map_err(|_| RedisError::Str("must be UTF-8 text"))?;
        if text.chars().any(char::is_control) {
            return Err(RedisError::Str("must not hold control characters"));
        }
        (self.check)(text).map_err(RedisError::String)?;
        *self.value.lock() = text.to_owned();
        Ok(())
    }
}

/// Empty: the folder `models` beside the module.
pub static MODELS_PATH: Text = Text::new("models-path", "", |_| Ok(()));
pub static MODEL: Text = Text::new("model", "mobilenetv2", check_model);
/// What a new gallery is bound to, if its first enrolment does not say.
pub static GALLERY_MODEL: Text = Text::new("gallery-model", "faces", check_model);
pub static KEY_PREFIX: Text = Text::new("key-prefix", "image:", check_prefix);

/// `auto`, `tract` or `onnxruntime`.
pub static ENGINE: Text = Text::new("engine", "auto", check_engine);
/// The library's file or its folder. Empty: looked for beside the models, then in the system.
pub static ONNXRUNTIME_PATH: Text = Text::new("onnxruntime-path", "", |_| Ok(()));

pub static TEXTS: [&Text; 6] =
    [&MODELS_PATH, &MODEL, &GALLERY_MODEL, &KEY_PREFIX, &ENGINE, &ONNXRUNTIME_PATH];

pub const REQUIRE_MODELS_NAME: &str = "require-models";
pub static REQUIRE_MODELS: AtomicBool = AtomicBool::new(false);

/// Whether no model has this name. Asked once the models are loaded; before, nobody knows.
static IS_UNKNOWN_MODEL: OnceCell<fn(&str) -> bool> = OnceCell::new();

/// Has the names of models checked from now on.
pub fn check_models_by(is_unknown: fn(&str) -> bool) {
    IS_UNKNOWN_MODEL.get_or_init(|| is_unknown);
}

fn check_model(name: &str) -> Result<(), String> {
    if !Folder::is_name(name) {
        return Err(format!("{} cannot be a model's name", quoted(name.as_bytes())));
    }
    if IS_UNKNOWN_MODEL.get().is_some_and(|is_unknown| is_unknown(name)) {
        let name = quoted(name.as_bytes());
        return Err(format!("there is no model {name}; IMAGE.MODELS lists what there is"));
    }
    Ok(())
}

fn check_engine(name: &str) -> Result<(), String> {
    match EngineChoice::parse(name) {
        Some(_) => Ok(()),
        None => Err("must be auto, tract or onnxruntime".to_owned()),
    }
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    const MAX_PREFIX: usize = 256;
    if prefix.len() > MAX_PREFIX || !prefix.ends_with(':') {
        // Only behind a colon does a key name its digest.
        return Err(format!("must end in ':' and not be longer than {MAX_PREFIX} bytes"));
    }
    Ok(())
}

/// The number of worker threads.
pub fn threads() -> usize {
    match THREADS.get() {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads as usize,
    }
}

pub fn nice() -> i32 {
    NICE.get() as i32
}

pub fn queue_length() -> usize {
    QUEUE_LENGTH.get() as usize
}

/// `maxmemory` of the server, 0 without a limit. Kept up to date by [`crate::start`].
pub static SERVER_MAXMEMORY: AtomicI64 = AtomicI64::new(0);

/// Bytes of payloads that may wait: the setting, or a tenth of `maxmemory` if that is less, since
/// the server counts waiting payloads as used memory and evicts data for them.
pub fn queue_memory() -> usize {
    let own = QUEUE_MEMORY.get();
    match SERVER_MAXMEMORY.load(Ordering::Relaxed) {
        0 => own as usize,
        maxmemory => own.min(maxmemory / 10) as usize,
    }
}

/// Milliseconds.
pub fn timeout() -> i64 {
    TIMEOUT.get()
}

/// How long a result is kept, if the call does not say.
pub fn ttl() -> Option<Duration> {
    match TTL.get() {
        0 => None,
        seconds => Some(Duration::from_secs(seconds as u64)),
    }
}

pub fn max_payload() -> usize {
    MAX_PAYLOAD.get() as usize
}

pub fn hash_inline() -> usize {
    HASH_INLINE.get() as usize
}

pub fn identify_cache() -> usize {
    IDENTIFY_CACHE.get() as usize
}

pub fn decode_limits() -> DecodeLimits {
    DecodeLimits { max_pixels: MAX_PIXELS.get() as u64, memory: DECODE_MEMORY.get() as u64 }
}

/// The folder of the models: as set, or `models` beside the module.
pub fn models_path() -> PathBuf {
    let path = MODELS_PATH.get();
    if !path.is_empty() {
        return PathBuf::from(path);
    }
    let library = library::path().unwrap_or_default();
    library.parent().map(|folder| folder.join("models")).unwrap_or_else(|| PathBuf::from("models"))
}

/// Which engine is wanted.
pub fn engine() -> EngineChoice {
    EngineChoice::parse(&ENGINE.get()).unwrap_or(EngineChoice::Auto)
}

/// Where onnxruntime's library may be, first the likeliest.
pub fn onnxruntime_places() -> Vec<PathBuf> {
    const SYSTEM: [&str; 6] = [
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/opt/onnxruntime/lib",
    ];
    let path = ONNXRUNTIME_PATH.get();
    if !path.is_empty() {
        return vec![PathBuf::from(path)];
    }
    let models = models_path();
    let beside = models.parent().map(|parent| parent.join("onnxruntime"));
    beside.into_iter().chain([models]).chain(SYSTEM.map(PathBuf::from)).collect()
}

/// Checks the arguments of `loadmodule`, which come as pairs. The values have been taken over
/// already, as defaults, by the `redis-module` crate; it ignores a name that it does not know and
/// a number that is out of bounds.
pub fn check_arguments(arguments: &[RedisString]) -> Result<(), String> {
    let mut arguments = arguments.iter().map(RedisString::as_slice);
    while let Some(name) = arguments.next() {
        let shown = quoted(name);
        if !is_setting(name) {
            return Err(format!("unknown argument {shown}; arguments are pairs `name value`"));
        }
        let Some(value) = arguments.next() else {
            return Err(format!("the argument {shown} lacks its value"));
        };
        if is_setting(value) {
            return Err(format!(
                "the value {} of {shown} is itself a setting's name; use a line in redis.conf",
                quoted(value)
            ));
        }
        check_argument(name, value).map_err(|reason| format!("argument {shown}: {reason}"))?;
    }
    Ok(())
}

fn is_setting(name: &[u8]) -> bool {
    let numbers = NUMBERS.iter().map(|number| number.name);
    let texts = TEXTS.iter().map(|text| text.name);
    numbers.chain(texts).chain([REQUIRE_MODELS_NAME]).any(|known| known.as_bytes() == name)
}

fn check_argument(name: &[u8], value: &[u8]) -> Result<(), String> {
    let value = std::str::from_utf8(value).map_err(|_| "must be UTF-8 text".to_owned())?;
    if name == REQUIRE_MODELS_NAME.as_bytes() {
        return match value {
            "yes" | "no" => Ok(()),
            _ => Err("must be yes or no".to_owned()),
        };
    }
    if let Some(number) = NUMBERS.iter().find(|number| number.name.as_bytes() == name) {
        let (min, max) = (number.min, number.max);
        return match value.parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => Ok(()),
            _ => Err(format!("must be a number from {min} to {max}")),
        };
    }
    match TEXTS.iter().find(|text| text.name.as_bytes() == name) {
        Some(text) => (text.check)(value),
        None => Ok(()),
    }
}
