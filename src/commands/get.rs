//! `IMAGE.GET`: the stored result. Never computes, sends no payload.

use std::sync::Arc;
use std::time::Instant;

use redis_module::{Context, ContextFlags, RedisError, RedisResult, RedisString};

use super::options::{Name, Options};
use crate::error::Error;
use crate::in_flight::{self, Place, Shape, Waiter};
use crate::models::{self, ServedModel};
use crate::reply::Reply;
use crate::server::{blocked, request};
use crate::settle::{self, Waits};
use crate::{cache, settings};

const OPTIONS: [Name; 3] = [Name::Model, Name::Sha256, Name::Wait];

/// `IMAGE.GET key [MODEL name] [SHA256 digest] [WAIT ms]`
pub fn get(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, key, options @ ..] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let options = Options::parse(options, &OPTIONS)?;
        let model = match &options.model {
            Some(name) => models::find(name)?,
            None => models::find(&settings::MODEL.get())?,
        };
        if let Some(timeout_ms) = options.wait
            && let Some(answer) = wait(ctx, key, &model, &options, timeout_ms)
        {
            return answer;
        }
        Ok(Some(match cache::look_up(ctx, key, &model, options.sha256)? {
            Some(stored) => {
                model.metrics.hit();
                Reply::Stored(stored)
            }
            None => Reply::Nil,
        }))
    })
}

/// Waits for the last request on the key that is under way, or tells of one that failed lately.
fn wait(
    ctx: &Context,
    key: &RedisString,
    model: &Arc<ServedModel>,
    options: &Options,
    timeout_ms: i64,
) -> Option<Result<Option<Reply>, Error>> {
    let place = Place { db: request::selected_db(ctx), key: key.as_slice().to_vec() };
    let digest = options.sha256;
    let under_way = in_flight::with(|in_flight| in_flight.newest_on(&place, model, digest));
    let Some(id) = under_way else {
        return settle::late_failure(&place, model, digest).map(Err);
    };
    if ctx.get_flags().contains(ContextFlags::DENY_BLOCKING) {
        return Some(Err(settle::no_waiting()));
    }
    let client = blocked::block::<Waits>(ctx, timeout_ms);
    let waiter =
        Waiter { client, shape: Shape::default(), digest, timeout_ms, since: Instant::now() };
    in_flight::with(|in_flight| in_flight.attach_watcher(id, waiter));
    Some(Ok(None))
}
