//! The key of a request, and what is known of it.

use std::rc::Rc;
use std::sync::Arc;

use redis_module::{Context, RedisString};

use super::{hash, recent_failures, write_back};
use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::in_flight::{DbKey, Target};
use crate::models::ServedModel;
use crate::reply::Reply;
use crate::server::keyspace::{self, Look};
use crate::server::request;
use crate::settings;

/// The key that the result of a picture belongs to; none for a call to a gallery. A key that names a
/// digest holds results of that picture only, so that nobody plants one picture's result under
/// another's name.
///
/// # Errors
/// `ERR` if the key names another digest, `NOPERM` if the user may not use the key that the digest gives.
pub fn resolve_key(
    ctx: &Context,
    target: &Target,
    digest: Digest,
) -> Result<Option<Rc<DbKey>>, Error> {
    match target {
        Target::Key(key) => match Digest::named_by(&key.name) {
            Some(named) if named != digest => {
                let digest = digest.hex();
                let sentence =
                    format!("the key names another digest than the payload's, which is {digest}");
                Err(Error::new(ErrorCode::Err, sentence))
            }
            _ => Ok(Some(key.clone())),
        },
        Target::Computed { db, user } => {
            let name = format!("{}{}", settings::KEY_PREFIX.get(), digest.hex());
            if !request::may_use_key(
                ctx,
                &keyspace::string(user),
                &keyspace::string(name.as_bytes()),
            ) {
                let sentence = format!("this user has no permissions to access the key {name}");
                return Err(Error::new(ErrorCode::NoPerm, sentence));
            }
            Ok(Some(Rc::new(DbKey { db: *db, name: name.into_bytes() })))
        }
        Target::Gallery(_) => Ok(None),
    }
}

/// The stored result of a picture, unless it is to be recognised anew.
///
/// # Errors
/// Those of the key, also where it is to be recognised anew: `WRONGTYPE`.
pub fn look_up(
    ctx: &Context,
    key: &DbKey,
    look: Look,
    model: &ServedModel,
    digest: Digest,
    refresh: bool,
) -> Result<Option<RedisString>, Error> {
    request::select_db(ctx, key.db);
    let stored = hash::stored_result(ctx, &keyspace::string(&key.name), look, model, Some(digest))?;
    let stored = if refresh { None } else { stored };
    if stored.is_none() {
        model.metrics.misses.increment();
    }
    Ok(stored)
}

/// What is known of a key for which nothing is under way: a result about to be stored, a recent
/// failure, the stored result, or nil.
pub fn known(
    ctx: &Context,
    key: &DbKey,
    look: Look,
    model: &Arc<ServedModel>,
    digest: Option<Digest>,
) -> Result<Reply, Error> {
    let put_off = write_back::put_off_result(key, model, digest);
    let failure = recent_failures::find(key, model.id, digest);
    match (put_off, failure) {
        (Some((request, _)), Some((failed, error))) if failed > request => return Err(error),
        (Some((_, result)), _) => return Ok(Reply::Text(result)),
        (None, Some((_, error))) => return Err(error),
        (None, None) => (),
    }
    request::select_db(ctx, key.db);
    stored_reply(ctx, &keyspace::string(&key.name), look, model, digest)
}

/// What a key holds: the stored result, or nil.
pub fn stored_reply(
    ctx: &Context,
    name: &RedisString,
    look: Look,
    model: &ServedModel,
    digest: Option<Digest>,
) -> Result<Reply, Error> {
    let stored = hash::stored_result(ctx, name, look, model, digest)?;
    Ok(stored.map_or(Reply::Nil, |stored| {
        model.metrics.hit();
        Reply::Stored(stored)
    }))
}
