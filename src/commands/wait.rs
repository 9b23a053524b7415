//! `IMAGE.WAIT`: what has become of many keys, on one connection that waits.

use std::rc::Rc;
use std::time::Instant;

use redis_module::{Context, RedisError, RedisResult, RedisString};

use super::options::milliseconds;
use crate::completion::responses::RequestClients;
use crate::completion::waits;
use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::in_flight::{self, Awaited, DbKey, ReplyForm, Wait};
use crate::models;
use crate::server::keyspace::Look;
use crate::server::{blocked, request};

/// The most keys of one call: each is looked up on the main thread.
const MAX_KEYS: usize = 10_000;

/// `IMAGE.WAIT key [key …] model timeout`: waits until at least one of the keys has something to tell,
/// then tells the state of each.
pub fn wait(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, keys @ .., model, timeout] = arguments.as_slice() else {
        return Err(RedisError::WrongArity);
    };
    if keys.is_empty() {
        return Err(RedisError::WrongArity);
    }
    request::answer(ctx, || {
        let timeout_ms = milliseconds(timeout.as_slice())?;
        let model = models::find(&String::from_utf8_lossy(model.as_slice()))?;
        if keys.len() > MAX_KEYS {
            let sentence = format!("{} keys are more than {MAX_KEYS}; ask for fewer", keys.len());
            return Err(Error::new(ErrorCode::Err, sentence));
        }
        let db = request::selected_db(ctx);
        let state_of = |key: &RedisString| {
            let named = Digest::named_by(key.as_slice());
            let db_key = Rc::new(DbKey { db, name: key.as_slice().to_vec() });
            waits::state_of(ctx, db_key, Look::First, &model, named)
        };
        let keys: Vec<Awaited> = keys.iter().map(state_of).collect();
        if waits::has_ended(&keys) || timeout_ms == 0 {
            return Ok(Some(waits::states_reply(ReplyForm::List, keys)));
        }
        let client = blocked::block::<RequestClients>(ctx, timeout_ms)
            .map_err(|refused| refused.error("no result is there yet"))?;
        let bytes = keys.iter().map(Awaited::memory).sum();
        let (client, ()) = blocked::keep_if(client, || in_flight::check_room(bytes))?;
        let since = Instant::now();
        let wait =
            Wait { client, model: model.clone(), form: ReplyForm::List, keys, timeout_ms, since };
        in_flight::with(|in_flight| in_flight.wait_for(wait));
        Ok(None)
    })
}
