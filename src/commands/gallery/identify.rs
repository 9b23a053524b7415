//! `IMAGE.IDENTIFY` and `IMAGE.VERIFY`: who is in a picture, and is it who they say.

use redis_module::{Context, RedisError, RedisResult, RedisString};

use super::{Given, binding_of, given, redact, start_with_picture, start_with_vector};
use crate::commands::options::{Name, Options};
use crate::error::{Error, Word, quoted};
use crate::galleries::{self, Call, Purpose};
use crate::gallery::Binding;
use crate::models;
use crate::reply::Reply;
use crate::server::request;

const IDENTIFY: [Name; 4] = [Name::Image, Name::Top, Name::Threshold, Name::Timeout];
const IDENTIFY_VECTOR: [Name; 3] = [Name::Top, Name::Threshold, Name::Timeout];
const VERIFY: [Name; 2] = [Name::Threshold, Name::Timeout];

/// Candidates of each face, if the call does not say.
const DEFAULT_TOP: usize = 5;
/// The most that it may say: their names are put together on the main thread.
const MAX_TOP: usize = 100;

/// `IMAGE.IDENTIFY gallery payload [IMAGE key] [TOP n] [THRESHOLD t] [TIMEOUT ms]` or
/// `IMAGE.IDENTIFY gallery VECTOR blob [TOP n] [THRESHOLD t] [TIMEOUT ms]`
pub fn identify(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    if ctx.is_keys_position_request() {
        name_keys(ctx, &arguments);
        return Ok(redis_module::RedisValue::NoReply);
    }
    redact(ctx, &arguments, 2);
    let [_, key, rest @ ..] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    let Some((given, options)) = given(rest) else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let known: &[Name] = match given {
            Given::Picture(_) => &IDENTIFY,
            Given::Vector(_) => &IDENTIFY_VECTOR,
        };
        let options = Options::parse(options, known)?;
        let top = options.top.unwrap_or(DEFAULT_TOP);
        if top > MAX_TOP {
            return Err(Error::new(Word::Err, format!("TOP must be a number from 1 to {MAX_TOP}")));
        }
        let image = options.image.clone();
        ask(ctx, key, &given, &options, Purpose::Identify { top, image })
    })
}

/// The gallery, and the picture's key if there is one: where Redis's own key specification looks, too.
fn name_keys(ctx: &Context, arguments: &[RedisString]) {
    const FIRST_OPTION: usize = 3;
    request::reads_key_at(ctx, 1);
    let is_word = |argument: &RedisString| argument.as_slice().eq_ignore_ascii_case(b"IMAGE");
    let word = arguments.iter().skip(FIRST_OPTION).position(is_word);
    if let Some(position) = word.map(|offset| FIRST_OPTION + offset + 1)
        && position < arguments.len()
    {
        request::reads_key_at(ctx, position);
    }
}

/// `IMAGE.VERIFY gallery subject payload [THRESHOLD t] [TIMEOUT ms]` or
/// `IMAGE.VERIFY gallery subject VECTOR blob [THRESHOLD t] [TIMEOUT ms]`
pub fn verify(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    redact(ctx, &arguments, 3);
    let [_, key, subject, rest @ ..] = arguments.as_slice() else {
        return Err(RedisError::WrongArity);
    };
    let Some((given, options)) = given(rest) else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let options = Options::parse(options, &VERIFY)?;
        let subject = subject.as_slice().to_vec();
        let known = galleries::open(ctx, key, |held| held.gallery().subject(&subject).is_some())?;
        if known == Some(false) {
            return Err(galleries::subject_unknown(&subject));
        }
        ask(ctx, key, &given, &options, Purpose::Verify { subject })
    })
}

fn ask(
    ctx: &Context,
    key: &RedisString,
    given: &Given,
    options: &Options,
    purpose: Purpose,
) -> Result<Option<Reply>, Error> {
    let found =
        galleries::open(ctx, key, |held| (held.identity(), held.gallery().binding().clone()))?;
    let Some((identity, binding)) = found else {
        return Err(galleries::no_gallery(key.as_slice()));
    };
    let call = |threshold| Call {
        db: request::selected_db(ctx),
        key: key.as_slice().to_vec(),
        identity: Some(identity),
        binding: binding.clone(),
        threshold,
        purpose,
    };
    match given {
        Given::Picture(payload) => {
            let model = models::find(&binding.model)?;
            galleries::check_binding(&binding, &binding_of(&model)?)?;
            let threshold = match options.threshold {
                Some(threshold) => threshold,
                None => super::rules(&model)?.threshold,
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

/// Of the model that the gallery is bound to, if this node has it. Comparing needs no model.
fn threshold_of(binding: &Binding) -> Option<f64> {
    let model = models::find(&binding.model).ok()?;
    let is_same = binding_of(&model).is_ok_and(|own| own == *binding);
    if is_same { Some(super::rules(&model).ok()?.threshold) } else { None }
}

fn no_threshold(binding: &Binding) -> Error {
    Error::new(
        Word::Err,
        format!(
            "this node has no model {} of space {}, whose threshold would count; say THRESHOLD",
            quoted(binding.model.as_bytes()),
            binding.space
        ),
    )
}
