//! Sends a reply to the context's client, in its protocol.

use std::ffi::CString;
use std::os::raw::{c_char, c_long};

use redis_module::{Context, raw};

use crate::error::Error;
use crate::reply::Reply;

pub fn send(ctx: &Context, reply: &Reply) {
    match reply {
        Reply::Text(text) => bulk(ctx, text.as_bytes()),
        Reply::Bytes(bytes) => bulk(ctx, bytes),
        Reply::Stored(string) => {
            raw::reply_with_string(ctx.ctx, string.inner);
        }
        Reply::Status(status) => simple(ctx, status),
        Reply::Number(number) => {
            raw::reply_with_long_long(ctx.ctx, *number);
        }
        Reply::Decimal(number) => {
            let rounded = (number * 1e4).round() / 1e4;
            bulk(ctx, format!("{rounded:.4}").as_bytes());
        }
        Reply::Nil => {
            raw::reply_with_null(ctx.ctx);
        }
        Reply::List(items) => {
            raw::reply_with_array(ctx.ctx, items.len() as c_long);
            items.iter().for_each(|item| send(ctx, item));
        }
        Reply::Map(entries) => {
            raw::reply_with_map(ctx.ctx, entries.len() as c_long);
            for (name, value) in entries {
                bulk(ctx, name.as_bytes());
                send(ctx, value);
            }
        }
        Reply::Error(error) => send_error(ctx, error),
    }
}

fn bulk(ctx: &Context, bytes: &[u8]) {
    raw::reply_with_string_buffer(ctx.ctx, bytes.as_ptr().cast::<c_char>(), bytes.len());
}

fn simple(ctx: &Context, status: &str) {
    let status = CString::new(status).unwrap_or_default();
    raw::reply_with_simple_string(ctx.ctx, status.as_ptr());
}

fn send_error(ctx: &Context, error: &Error) {
    // `Error` holds printable ASCII only, so there is no NUL.
    let text = CString::new(error.to_string()).unwrap_or_default();
    raw::reply_with_error(ctx.ctx, text.as_ptr());
}
