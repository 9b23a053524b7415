//! The key of a request, and what it holds.

use std::sync::Arc;

use redis_module::{Context, RedisString};

use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::in_flight::Place;
use crate::models::ServedModel;
use crate::reply::Reply;
use crate::server::keyspace::Look;
use crate::server::request;
use crate::stores::{self, string};
use crate::{cache, failures, settings};

/// A key that names a digest holds results of that picture only, so that nobody plants one
/// picture's result under another's name.
pub fn check_named_digest(key: &[u8], digest: Digest) -> Result<(), Error> {
    match Digest::named_by(key) {
        Some(named) if named != digest => Err(Error::new(
            Word::Err,
            format!("the key names another digest than the payload's, which is {}", digest.hex()),
        )),
        _ => Ok(()),
    }
}

/// `image:<digest>`, if the user may read and write it.
pub fn computed_key(
    ctx: &Context,
    user: &RedisString,
    digest: Digest,
) -> Result<RedisString, Error> {
    let name = format!("{}{}", settings::KEY_PREFIX.get(), digest.hex());
    let key = RedisString::create_from_slice(std::ptr::null_mut(), name.as_bytes());
    if !request::may_use_key(ctx, user, &key) {
        let sentence = format!("this user has no permissions to access the key {name}");
        return Err(Error::new(Word::NoPerm, sentence));
    }
    Ok(key)
}

/// The stored result, unless it is to be computed anew; errors are those of the key in any case.
pub fn look_up(
    ctx: &Context,
    key: &RedisString,
    look: Look,
    model: &ServedModel,
    digest: Digest,
    refresh: bool,
) -> Result<Option<RedisString>, Error> {
    let stored = cache::look_up(ctx, key, look, model, Some(digest))?;
    let stored = if refresh { None } else { stored };
    if stored.is_none() {
        model.metrics.misses.increment();
    }
    Ok(stored)
}

/// What is known of a key for which nothing is under way: a result about to be stored, a late
/// failure, the stored result, or nil.
pub fn known(
    ctx: &Context,
    place: &Place,
    look: Look,
    model: &Arc<ServedModel>,
    digest: Option<Digest>,
) -> Result<Reply, Error> {
    let put_off = stores::put_off_result(place, model, digest);
    let failure = failures::find(place, model, digest);
    match (put_off, failure) {
        (Some((request, _)), Some((failed, error))) if failed > request => return Err(error),
        (Some((_, result)), _) => return Ok(Reply::Text(result)),
        (None, Some((_, error))) => return Err(error),
        (None, None) => (),
    }
    request::select_db(ctx, place.db);
    let stored = cache::look_up(ctx, &string(&place.key), look, model, digest)?;
    Ok(stored.map_or(Reply::Nil, |stored| {
        model.metrics.hit();
        Reply::Stored(stored)
    }))
}
