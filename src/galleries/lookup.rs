//! The gallery of a call, and what is known of its picture already.

use std::sync::Arc;

use gallery::Binding;
use recognition::embedding::Embedded;
use recognition::stored;
use redis_module::{Context, RedisString};

use super::held::Held;
use super::{Call, seen};
use crate::cache;
use crate::digest::Digest;
use crate::error::{Error, Word, quoted};
use crate::models::ServedModel;
use crate::server::gallery_type::{self, Found};
use crate::server::keyspace::Look;
use crate::server::request;
use crate::stores::string;

/// Shows the gallery at a key; none if there is no key.
pub fn open<T>(
    ctx: &Context,
    key: &RedisString,
    look: Look,
    show: impl FnOnce(&Held) -> T,
) -> Result<Option<T>, Error> {
    match gallery_type::read(ctx, key, look, show) {
        Found::Gallery(shown) => Ok(Some(shown)),
        Found::Nothing => Ok(None),
        Found::Foreign => Err(wrong_type()),
    }
}

pub fn wrong_type() -> Error {
    Error::new(Word::WrongType, "the key holds something else than a gallery; use another key")
}

pub fn no_gallery(key: &[u8]) -> Error {
    let sentence = format!("there is no gallery {}; IMAGE.ENROLL makes one", quoted(key));
    Error::new(Word::NoGallery, sentence)
}

pub fn subject_unknown(subject: &[u8]) -> Error {
    let sentence = format!(
        "the gallery does not know {}; IMAGE.SUBJECTS lists whom it knows",
        quoted(subject)
    );
    Error::new(Word::NoSubject, sentence)
}

pub fn stale(what: &str) -> Error {
    Error::new(Word::Stale, what)
}

/// Refuses embeddings of another model or space than the gallery's.
pub fn check_binding(bound: &Binding, wanted: &Binding) -> Result<(), Error> {
    if bound == wanted {
        return Ok(());
    }
    let name = |binding: &Binding| {
        format!(
            "model {}, space {}, {} dimensions",
            quoted(binding.model.as_bytes()),
            binding.space,
            binding.dimensions
        )
    };
    let sentence = format!(
        "the gallery is bound to {}, this embedding is of {}: they cannot be compared; use another gallery",
        name(bound),
        name(wanted)
    );
    Err(Error::new(Word::WrongType, sentence))
}

/// Shows the gallery of a call if it is still the one that the call came for.
pub fn still<T>(
    ctx: &Context,
    call: &Call,
    show: impl FnOnce(&Held) -> Result<T, Error>,
) -> Result<T, Error> {
    request::select_db(ctx, call.db);
    let found = open(ctx, &string(&call.key), Look::Again, |held| {
        let same = call.identity.is_none_or(|identity| identity == held.identity());
        if !same {
            return Err(stale("the gallery was made anew meanwhile; try again"));
        }
        check_binding(held.gallery().binding(), &call.binding)?;
        show(held)
    })?;
    match (found, call.identity) {
        (Some(shown), _) => shown,
        (None, Some(_)) => Err(stale("the gallery has vanished meanwhile; try again")),
        (None, None) => Err(no_gallery(&call.key)),
    }
}

/// The embeddings of a picture, if it is one of the last that this node saw.
pub fn known(model: &ServedModel, digest: Digest) -> Option<Arc<[Embedded]>> {
    let found = seen::find(digest, &model.field);
    match found {
        Some(_) => model.metrics.hit(),
        None => model.metrics.misses.increment(),
    }
    found
}

/// The embeddings of the result that a key holds, if they are of this model as it is now.
pub fn stored(
    ctx: &Context,
    key: &RedisString,
    model: &ServedModel,
    dimensions: usize,
) -> Result<Option<Arc<[Embedded]>>, Error> {
    let result = cache::look_up(ctx, key, Look::First, model, None)?;
    let found = result.and_then(|result| {
        stored::embeddings(std::str::from_utf8(result.as_slice()).ok()?, dimensions)
    });
    if found.is_some() {
        model.metrics.hit();
    }
    Ok(found.map(Arc::from))
}
