//! `IMAGE.GET`: the stored result. Never computes, sends no payload.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use redis_module::{Context, RedisError, RedisResult, RedisString};

use super::options::{Name, Options};
use crate::completion::responses::RequestClients;
use crate::completion::waits;
use crate::digest::Digest;
use crate::error::Error;
use crate::in_flight::{self, DbKey, ReplyForm, Wait};
use crate::models::{self, ServedModel};
use crate::reply::Reply;
use crate::results::lookup::stored_reply;
use crate::server::keyspace::Look;
use crate::server::{blocked, request};

const OPTIONS: [Name; 3] = [Name::Model, Name::Sha256, Name::Wait];

/// `IMAGE.GET key [MODEL name] [SHA256 digest] [WAIT ms]`
pub fn get(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, key, options @ ..] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let options = Options::parse(options, &OPTIONS)?;
        let model = models::find_or_default(options.model.as_deref())?;
        match options.wait {
            Some(timeout_ms) => wait(ctx, key, &model, options.sha256, timeout_ms),
            None => stored_reply(ctx, key, Look::First, &model, options.sha256).map(Some),
        }
    })
}

/// Waits for the last request on the key that is under way; if there is none, answers what is known.
fn wait(
    ctx: &Context,
    key: &RedisString,
    model: &Arc<ServedModel>,
    wanted: Option<Digest>,
    timeout_ms: i64,
) -> Result<Option<Reply>, Error> {
    let db_key = DbKey { db: request::selected_db(ctx), name: key.as_slice().to_vec() };
    let named = Digest::named_by(key.as_slice());
    if wanted.is_some() && named.is_some() && wanted != named {
        return stored_reply(ctx, key, Look::First, model, wanted).map(Some);
    }
    let digest = wanted.or(named);
    let keys = vec![waits::state_of(ctx, Rc::new(db_key), Look::First, model, digest)];
    if waits::has_ended(&keys) {
        return Ok(Some(waits::states_reply(ReplyForm::Single, keys)));
    }
    match blocked::block::<RequestClients>(ctx, timeout_ms) {
        Ok(client) => {
            let (model, since) = (model.clone(), Instant::now());
            let wait = Wait { client, model, form: ReplyForm::Single, keys, timeout_ms, since };
            in_flight::with(|in_flight| in_flight.wait_for(wait));
            Ok(None)
        }
        Err(refused) => match stored_reply(ctx, key, Look::First, model, digest)? {
            Reply::Nil => Err(refused.error("the result is not there yet")),
            stored => Ok(Some(stored)),
        },
    }
}
