//! The gallery of a call, and what is known of its picture already.

use std::sync::Arc;

use gallery::Binding;
use recognition::embedding::Embedded;
use recognition::stored;
use redis_module::{Context, RedisString};

use super::embedding_cache;
use crate::digest::Digest;
use crate::error::{Error, ErrorCode, quoted};
use crate::in_flight::GalleryCall;
use crate::models::ServedModel;
use crate::results;
use crate::server::gallery_type::{self, Found};
use crate::server::gallery_value::GalleryValue;
use crate::server::keyspace::{self, Look};
use crate::server::request;

/// Shows the gallery at a key; none if there is no key.
pub fn show_gallery<T>(
    ctx: &Context,
    key: &RedisString,
    look: Look,
    show: impl FnOnce(&GalleryValue) -> T,
) -> Result<Option<T>, Error> {
    match gallery_type::read(ctx, key, look, show) {
        Found::Gallery(shown) => Ok(Some(shown)),
        Found::Nothing => Ok(None),
        Found::Foreign => Err(wrong_type()),
    }
}

pub fn wrong_type() -> Error {
    Error::new(ErrorCode::WrongType, "the key holds something else than a gallery; use another key")
}

pub fn no_gallery(key: &[u8]) -> Error {
    let sentence = format!("there is no gallery {}; IMAGE.ENROLL makes one", quoted(key));
    Error::new(ErrorCode::NoGallery, sentence)
}

pub fn subject_unknown(subject: &[u8]) -> Error {
    let sentence = format!(
        "the gallery does not know {}; IMAGE.SUBJECTS lists whom it knows",
        quoted(subject)
    );
    Error::new(ErrorCode::NoSubject, sentence)
}

pub fn stale(what: &str) -> Error {
    Error::new(ErrorCode::Stale, what)
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
    Err(Error::new(ErrorCode::WrongType, sentence))
}

/// Shows the gallery of a call if it is still the one that the call came for.
///
/// # Errors
/// `STALE` if it has vanished or was made anew, `NOGALLERY` if there was none, `WRONGTYPE`.
pub fn with_same_gallery<T>(
    ctx: &Context,
    call: &GalleryCall,
    show: impl FnOnce(&GalleryValue) -> Result<T, Error>,
) -> Result<T, Error> {
    request::select_db(ctx, call.key.db);
    let found = show_gallery(ctx, &keyspace::string(&call.key.name), Look::Again, |value| {
        let same = call.value.is_none_or(|id| id == value.id());
        if !same {
            return Err(stale("the gallery was made anew meanwhile; try again"));
        }
        check_binding(value.gallery().binding(), &call.binding)?;
        show(value)
    })?;
    match (found, call.value) {
        (Some(shown), _) => shown,
        (None, Some(_)) => Err(stale("the gallery has vanished meanwhile; try again")),
        (None, None) => Err(no_gallery(&call.key.name)),
    }
}

/// The embeddings of a picture, if it is one of the last that this node saw.
pub fn cached_embeddings(model: &ServedModel, digest: Digest) -> Option<Arc<[Embedded]>> {
    let found = embedding_cache::find(digest, &model.field);
    match found {
        Some(_) => model.metrics.hit(),
        None => model.metrics.misses.increment(),
    }
    found
}

/// The embeddings of the result that a key holds, if they are of this model as it is now.
pub fn stored_embeddings(
    ctx: &Context,
    key: &RedisString,
    model: &ServedModel,
    dimensions: usize,
) -> Result<Option<Arc<[Embedded]>>, Error> {
    let result = results::stored_result(ctx, key, Look::First, model, None)?;
    let found = result.and_then(|result| {
        stored::embeddings(std::str::from_utf8(result.as_slice()).ok()?, dimensions)
    });
    if found.is_some() {
        model.metrics.hit();
    }
    Ok(found.map(Arc::from))
}
