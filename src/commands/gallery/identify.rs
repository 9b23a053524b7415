//! `IMAGE.IDENTIFY`, `IMAGE.IDENTIFY_STORED` and `IMAGE.VERIFY`: who is in a picture, and is it who they say.

use gallery::Binding;
use redis_module::{Context, RedisError, RedisResult, RedisString};

use super::call::{
    Given, binding_of, given, redact_given, rules, start_with_embeddings, start_with_picture,
    start_with_vector,
};
use crate::commands::options::{Name, Options};
use crate::error::{Error, ErrorCode, quoted};
use crate::galleries;
use crate::in_flight::{DbKey, GalleryCall, Purpose};
use crate::models;
use crate::reply::Reply;
use crate::server::gallery_value::{GalleryValue, ValueId};
use crate::server::keyspace::Look;
use crate::server::request;

const IDENTIFY: [Name; 3] = [Name::Top, Name::Threshold, Name::Timeout];
const VERIFY: [Name; 2] = [Name::Threshold, Name::Timeout];

/// Candidates of each face, if the call does not say.
const DEFAULT_TOP: usize = 5;
/// The most that it may say: their names are put together on the main thread.
const MAX_TOP: usize = 100;

/// `IMAGE.IDENTIFY gallery payload [TOP n] [THRESHOLD t] [TIMEOUT ms]` or
/// `IMAGE.IDENTIFY gallery VECTOR blob [TOP n] [THRESHOLD t] [TIMEOUT ms]`
pub fn identify(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    redact_given(ctx, &arguments, 2);
    let [_, key, rest @ ..] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    let Some((given, options)) = given(rest) else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let options = Options::parse(options, &IDENTIFY)?;
        let purpose = Purpose::Identify { top: candidates(&options)? };
        ask(ctx, key, bound(ctx, key)?, &given, &options, purpose)
    })
}

/// `IMAGE.IDENTIFY_STORED gallery key [TOP n] [THRESHOLD t] [TIMEOUT ms]`
pub fn identify_stored(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, gallery, key, options @ ..] = arguments.as_slice() else {
        return Err(RedisError::WrongArity);
    };
    request::answer(ctx, || {
        let options = Options::parse(options, &IDENTIFY)?;
        let purpose = Purpose::Identify { top: candidates(&options)? };
        let (value, binding) = bound(ctx, gallery)?;
        let model = models::find(&binding.model)?;
        // Another space is no error here: what is stored is just not comparable.
        let comparable = binding_of(&model)? == binding;
        let found = galleries::stored_embeddings(ctx, key, &model, binding.dimensions)?;
        let Some(found) = found.filter(|_| comparable) else { return Ok(Some(Reply::Nil)) };
        let threshold = match options.threshold {
            Some(threshold) => threshold,
            None => rules(&model)?.threshold,
        };
        let call = call_of(ctx, gallery, value, binding, threshold, purpose);
        start_with_embeddings(ctx, call, found, options.timeout)
    })
}

fn candidates(options: &Options) -> Result<usize, Error> {
    let top = options.top.unwrap_or(DEFAULT_TOP);
    if top > MAX_TOP {
        return Err(Error::new(
            ErrorCode::Err,
            format!("TOP must be a number from 1 to {MAX_TOP}"),
        ));
    }
    Ok(top)
}

/// `IMAGE.VERIFY gallery subject payload [THRESHOLD t] [TIMEOUT ms]` or
/// `IMAGE.VERIFY gallery subject VECTOR blob [THRESHOLD t] [TIMEOUT ms]`
pub fn verify(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    redact_given(ctx, &arguments, 3);
    let [_, key, subject, rest @ ..] = arguments.as_slice() else {
        return Err(RedisError::WrongArity);
    };
    let Some((given, options)) = given(rest) else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let options = Options::parse(options, &VERIFY)?;
        let subject = subject.as_slice().to_vec();
        let gallery = bound(ctx, key)?;
        let knows = |value: &GalleryValue| value.gallery().subject(&subject).is_some();
        if galleries::show_gallery(ctx, key, Look::Again, knows)? == Some(false) {
            return Err(galleries::subject_unknown(&subject));
        }
        ask(ctx, key, gallery, &given, &options, Purpose::Verify { subject })
    })
}

fn ask(
    ctx: &Context,
    key: &RedisString,
    (value, binding): (ValueId, Binding),
    given: &Given,
    options: &Options,
    purpose: Purpose,
) -> Result<Option<Reply>, Error> {
    let call = |threshold| call_of(ctx, key, value, binding.clone(), threshold, purpose);
    match given {
        Given::Picture(payload) => {
            let model = models::find(&binding.model)?;
            galleries::check_binding(&binding, &binding_of(&model)?)?;
            let threshold = match options.threshold {
                Some(threshold) => threshold,
                None => rules(&model)?.threshold,
            };
            start_with_picture(ctx, call(threshold), model, payload, options.timeout)
        }
        Given::Vector(vector) => {
            let threshold = options.threshold.or_else(|| threshold_of(&binding));
            let threshold = threshold.ok_or_else(|| no_threshold(&binding))?;
            start_with_vector(ctx, call(threshold), vector, options.timeout)
        }
    }
}

/// The gallery that is there, and what it is bound to.
fn bound(ctx: &Context, key: &RedisString) -> Result<(ValueId, Binding), Error> {
    let found = galleries::show_gallery(ctx, key, Look::First, |value| {
        (value.id(), value.gallery().binding().clone())
    })?;
    found.ok_or_else(|| galleries::no_gallery(key.as_slice()))
}

fn call_of(
    ctx: &Context,
    gallery: &RedisString,
    value: ValueId,
    binding: Binding,
    threshold: f64,
    purpose: Purpose,
) -> GalleryCall {
    GalleryCall {
        key: DbKey { db: request::selected_db(ctx), name: gallery.as_slice().to_vec() },
        value: Some(value),
        binding,
        threshold,
        purpose,
    }
}

/// Of the model that the gallery is bound to, if this node has it. Comparing needs no model.
fn threshold_of(binding: &Binding) -> Option<f64> {
    let model = models::find(&binding.model).ok()?;
    let is_same = binding_of(&model).is_ok_and(|own| own == *binding);
    if is_same { Some(rules(&model).ok()?.threshold) } else { None }
}

fn no_threshold(binding: &Binding) -> Error {
    Error::new(
        ErrorCode::Err,
        format!(
            "this node has no model {} of space {}, whose threshold would count; say THRESHOLD",
            quoted(binding.model.as_bytes()),
            binding.space
        ),
    )
}
