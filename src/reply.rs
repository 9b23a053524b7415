//! What can be replied: a tree of plain values. Maps are sent as such in RESP3, and as flat lists in
//! RESP2.

use std::borrow::Cow;
use std::sync::Arc;

use redis_module::RedisString;

use crate::error::Error;

pub enum Reply {
    /// A result's JSON text.
    Text(Arc<str>),
    /// The same, as the server holds it.
    Stored(RedisString),
    Bytes(Vec<u8>),
    Status(&'static str),
    Number(i64),
    /// Sent as text with four decimals: RESP2 has no such numbers, and in RESP3 the server would write
    /// 17 digits.
    Decimal(f64),
    Nil,
    List(Vec<Reply>),
    Map(Vec<(Cow<'static, str>, Reply)>),
    /// Only as a whole reply, not inside a list or a map: client libraries differ in what they make of
    /// errors there.
    Error(Error),
}

impl Reply {
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bytes(bytes.as_ref().to_vec())
    }

    /// A map whose keys are known.
    pub fn map<const N: usize>(entries: [(&'static str, Reply); N]) -> Reply {
        Reply::Map(entries.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }
}
