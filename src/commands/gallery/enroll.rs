//! `IMAGE.ENROLL`: adds a sample of a subject, from a picture or as an embedding.

use gallery::{Binding, Sample, SampleId, UnitVector};
use redis_module::{Context, RedisError, RedisResult, RedisString};

use super::call::{Given, binding_of, given, redact_given, rules, start_with_picture};
use crate::commands::options::{Name, Options};
use crate::error::{Error, ErrorCode};
use crate::galleries::{self, enrolled};
use crate::in_flight::{DbKey, GalleryCall, Purpose};
use crate::reply::Reply;
use crate::server::gallery_type::{self, Found};
use crate::server::gallery_value::{GalleryValue, ServerGallery};
use crate::server::keyspace::{self, Look};
use crate::server::request;
use crate::{models, settings};

const OPTIONS: [Name; 4] = [Name::Model, Name::Largest, Name::Force, Name::Timeout];
const VECTOR_OPTIONS: [Name; 3] = [Name::Model, Name::Space, Name::Sample];

/// `IMAGE.ENROLL gallery subject payload [MODEL name] [LARGEST] [FORCE] [TIMEOUT ms]` or
/// `IMAGE.ENROLL gallery subject VECTOR blob MODEL name [SPACE s] [SAMPLE id]`
pub fn enroll(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    redact_given(ctx, &arguments, 3);
    let [_, key, subject, rest @ ..] = arguments.as_slice() else {
        return Err(RedisError::WrongArity);
    };
    let Some((given, options)) = given(rest) else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        check_subject(subject.as_slice())?;
        match given {
            Given::Picture(payload) => with_picture(ctx, key, subject, payload, options),
            Given::Vector(vector) => with_vector(ctx, key, subject, vector, options).map(Some),
        }
    })
}

/// Names are shown in JSON and logs.
fn check_subject(subject: &[u8]) -> Result<(), Error> {
    let is_text = std::str::from_utf8(subject)
        .is_ok_and(|text| !text.is_empty() && !text.chars().any(char::is_control));
    if is_text {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Err,
        "a subject's name must be UTF-8 text without control characters",
    ))
}

fn with_picture(
    ctx: &Context,
    key: &RedisString,
    subject: &RedisString,
    payload: &RedisString,
    options: &[RedisString],
) -> Result<Option<Reply>, Error> {
    let options = Options::parse(options, &OPTIONS)?;
    let found = galleries::show_gallery(ctx, key, Look::First, |value| {
        (value.id(), value.gallery().binding().clone())
    })?;
    let name = match (&options.model, &found) {
        (Some(name), _) => name.clone(),
        (None, Some((_, binding))) => binding.model.clone(),
        (None, None) => settings::GALLERY_MODEL.get(),
    };
    let model = models::find(&name)?;
    let binding = binding_of(&model)?;
    if let Some((_, bound)) = &found {
        galleries::check_binding(bound, &binding)?;
    }
    let rules = rules(&model)?;
    let call = GalleryCall {
        key: DbKey { db: request::selected_db(ctx), name: key.as_slice().to_vec() },
        value: found.map(|(value, _)| value),
        binding,
        threshold: rules.threshold,
        purpose: Purpose::Enrol {
            subject: subject.as_slice().to_vec(),
            largest: options.largest,
            force: options.force,
            gate: rules.gate,
        },
    };
    start_with_picture(ctx, call, model, payload, options.timeout)
}

/// What is replicated and written to the append-only file ends here, too: with `SPACE` and `SAMPLE`
/// nothing but the arguments counts.
fn with_vector(
    ctx: &Context,
    key: &RedisString,
    subject: &RedisString,
    vector: &RedisString,
    options: &[RedisString],
) -> Result<Reply, Error> {
    let options = Options::parse(options, &VECTOR_OPTIONS)?;
    let Some(model) = options.model else {
        let sentence = "MODEL is needed with VECTOR: whose embedding is it?";
        return Err(Error::new(ErrorCode::Err, sentence));
    };
    let vector = UnitVector::from_bytes(vector.as_slice())?;
    let binding = match options.space {
        Some(space) => Binding { model, space, dimensions: vector.dimensions() },
        None => binding_of(&*models::find(&model)?)?,
    };
    let name = subject.as_slice();
    let create = || Ok(Some(GalleryValue::new(ServerGallery::new(binding.clone())?)));
    let change = |value: &mut GalleryValue| -> Result<SampleId, Error> {
        let bound = value.gallery().binding();
        // A vector of another length has an error of its own.
        if bound.dimensions == vector.dimensions() {
            galleries::check_binding(bound, &binding)?;
        }
        Ok(value.enrol(name, &vector, options.sample)?)
    };
    let enrolment = gallery_type::change(ctx, key, create, change)?;
    let Found::Gallery(sample) = enrolment else { return Err(galleries::wrong_type()) };
    let bytes = vector.to_bytes();
    gallery_type::replicate(ctx, key, &binding, &Sample { subject: name, sample, vector: &bytes });
    keyspace::notify(ctx, c"image.enrolled", key);
    Ok(enrolled(name, sample.0 as i64, None, None))
}
