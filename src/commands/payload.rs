//! What every command with a payload does with its arguments first.

use redis_module::{Context, RedisString};

use crate::error::{Error, ErrorCode};
use crate::server::request;
use crate::settings;

/// Hides the payload from MONITOR and SLOWLOG, and whatever else is too long to be an option: somebody
/// may have mixed up the order.
pub fn redact(ctx: &Context, arguments: &[RedisString], payload: usize) {
    const LONGEST_OPTION: usize = 128;
    for (position, argument) in arguments.iter().enumerate().skip(1) {
        if position == payload || argument.as_slice().len() > LONGEST_OPTION {
            request::redact(ctx, position);
        }
    }
}

/// Refuses payloads that are empty or too large.
///
/// # Errors
/// `BADIMAGE`.
pub fn check_payload(payload: &RedisString) -> Result<(), Error> {
    let (len, limit) = (payload.as_slice().len(), settings::max_payload());
    if len == 0 {
        return Err(Error::new(ErrorCode::BadImage, "the payload is empty"));
    }
    if len > limit {
        let sentence =
            format!("the payload has {len} bytes, more than {limit} (image.max-payload)");
        return Err(Error::new(ErrorCode::BadImage, sentence));
    }
    Ok(())
}
