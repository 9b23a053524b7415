//! Sends a reply to the context's client, in its protocol.

use std::ffi::CString;
use std::os::raw::{c_char, c_long};

use redis_module::{Context, raw};

use crate::error::Error;
use crate::reply::{KeyState, Meta, Model, Reply, Tree};

pub fn send(ctx: &Context, reply: &Reply) {
    match reply {
        Reply::Text(text) => bulk(ctx, text.as_bytes()),
        Reply::Stored(string) => {
            raw::reply_with_string(ctx.ctx, string.inner);
        }
        Reply::Nil => {
            raw::reply_with_null(ctx.ctx);
        }
        Reply::Status(status) => simple(ctx, status),
        Reply::Meta(meta) => send_meta(ctx, meta),
        Reply::Models(models) => {
            raw::reply_with_array(ctx.ctx, models.len() as c_long);
            models.iter().for_each(|model| send_model(ctx, model));
        }
        Reply::Tree(tree) => send_tree(ctx, tree),
        Reply::Keys(keys) => {
            raw::reply_with_array(ctx.ctx, keys.len() as c_long);
            keys.iter().for_each(|key| send_key(ctx, key));
        }
        Reply::Reloaded(fates) => {
            raw::reply_with_map(ctx.ctx, fates.len() as c_long);
            fates.iter().for_each(|(name, fate)| pair(ctx, name, &fate.describe()));
        }
        Reply::Error(error) => send_error(ctx, error),
    }
}

fn send_meta(ctx: &Context, meta: &Meta) {
    raw::reply_with_map(ctx.ctx, 6);
    pair(ctx, "source", meta.source);
    pair(ctx, "sha256", &meta.sha256);
    pair(ctx, "model", &meta.model);
    pair(ctx, "version", &meta.version);
    bulk(ctx, b"milliseconds");
    decimal(ctx, meta.milliseconds, 3);
    pair(ctx, "result", &meta.result);
}

/// A word for the state, and its text. An error is text here: client libraries differ in what they make of
/// error replies inside a list.
fn send_key(ctx: &Context, key: &KeyState) {
    raw::reply_with_array(ctx.ctx, 2);
    match key {
        KeyState::Pending => {
            bulk(ctx, b"pending");
            send(ctx, &Reply::Nil);
        }
        KeyState::Ended(Reply::Error(error)) => {
            bulk(ctx, b"error");
            bulk(ctx, error.to_string().as_bytes());
        }
        KeyState::Ended(Reply::Nil) => {
            bulk(ctx, b"unknown");
            send(ctx, &Reply::Nil);
        }
        KeyState::Ended(result) => {
            bulk(ctx, b"result");
            send(ctx, result);
        }
    }
}

fn send_tree(ctx: &Context, tree: &Tree) {
    match tree {
        Tree::Text(text) => bulk(ctx, text),
        Tree::Number(number) => {
            raw::reply_with_long_long(ctx.ctx, *number);
        }
        Tree::Decimal(number) => decimal(ctx, (number * 1e4).round() / 1e4, 4),
        Tree::Nil => {
            raw::reply_with_null(ctx.ctx);
        }
        Tree::List(items) => {
            raw::reply_with_array(ctx.ctx, items.len() as c_long);
            items.iter().for_each(|item| send_tree(ctx, item));
        }
        Tree::Map(entries) => {
            raw::reply_with_map(ctx.ctx, entries.len() as c_long);
            for (name, value) in entries {
                bulk(ctx, name.as_bytes());
                send_tree(ctx, value);
            }
        }
    }
}

/// As text in both protocols: RESP2 has no numbers with a fraction, and in RESP3 the server would write
/// 17 digits.
fn decimal(ctx: &Context, number: f64, decimals: usize) {
    bulk(ctx, format!("{number:.decimals$}").as_bytes());
}

fn send_model(ctx: &Context, model: &Model) {
    raw::reply_with_map(ctx.ctx, 8);
    pair(ctx, "name", &model.name);
    pair(ctx, "state", model.state);
    pair(ctx, "task", &model.task);
    pair(ctx, "version", &model.version);
    pair(ctx, "engine", &model.engine);
    bulk(ctx, b"files");
    raw::reply_with_array(ctx.ctx, model.files.len() as c_long);
    model.files.iter().for_each(|file| bulk(ctx, file.as_bytes()));
    bulk(ctx, b"memory");
    raw::reply_with_long_long(ctx.ctx, model.memory as i64);
    pair(ctx, "error", &model.error);
}

fn pair(ctx: &Context, name: &str, value: &str) {
    bulk(ctx, name.as_bytes());
    bulk(ctx, value.as_bytes());
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
