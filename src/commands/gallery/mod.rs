//! The commands on galleries: their arguments, and what can be answered at once. What goes through
//! the queue or the search goes on in [`crate::galleries`].

mod bind;
mod documentation;
mod enroll;
mod forget;
mod identify;
mod show;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gallery::{Binding, Space, UnitVector};
use recognition::embedding::{Embedded, GalleryRules};
use redis_module::{Context, RedisString};

pub use bind::bind;
pub use documentation::DOCUMENTATION;
pub use enroll::enroll;
pub use forget::forget;
pub use identify::{identify, identify_stored, verify};
pub use show::{gallery, subjects};

use super::recognize::check_payload;
use crate::answers::Waits;
use crate::digest::Digest;
use crate::error::{Error, Word, quoted};
use crate::galleries::{self, Call};
use crate::in_flight::{self, Request, RequestId, Shape, Target, Waiter};
use crate::models::ServedModel;
use crate::reply::Reply;
use crate::server::payload::Payload;
use crate::server::{blocked, request};
use crate::{queue, settings, settle};

/// What is to be enrolled or compared.
enum Given<'a> {
    Picture(&'a RedisString),
    /// 32-bit little-endian floats.
    Vector(&'a RedisString),
}

/// Takes `payload` or `VECTOR blob` from the front of the arguments.
fn given(arguments: &[RedisString]) -> Option<(Given<'_>, &[RedisString])> {
    match arguments {
        [word, vector, options @ ..] if word.as_slice().eq_ignore_ascii_case(b"VECTOR") => {
            Some((Given::Vector(vector), options))
        }
        [payload, options @ ..] => Some((Given::Picture(payload), options)),
        [] => None,
    }
}

/// Hides payload and vector, and whatever else is too long to be an option: somebody may have mixed
/// up the order.
fn redact(ctx: &Context, arguments: &[RedisString], payload: usize) {
    const LONGEST_OPTION: usize = 128;
    let is_vector =
        arguments.get(payload).is_some_and(|word| word.as_slice().eq_ignore_ascii_case(b"VECTOR"));
    let hidden = if is_vector { payload + 1 } else { payload };
    for (position, argument) in arguments.iter().enumerate().skip(1) {
        if position == hidden || argument.as_slice().len() > LONGEST_OPTION {
            request::redact(ctx, position);
        }
    }
}

/// What a model's manifest says of galleries.
fn rules(model: &ServedModel) -> Result<&GalleryRules, Error> {
    model.recognizer.gallery().map_err(|reason| {
        let name = quoted(model.recognizer.name().as_bytes());
        Error::new(Word::Err, format!("model {name} cannot serve galleries: {reason}"))
    })
}

/// What a gallery of this model's embeddings is bound to.
fn binding_of(model: &ServedModel) -> Result<Binding, Error> {
    let rules = rules(model)?;
    Ok(Binding {
        model: model.recognizer.name().to_owned(),
        space: rules.space.parse::<Space>()?,
        dimensions: rules.dimensions,
    })
}

/// Lets a client wait for what becomes of its picture.
fn start_with_picture(
    ctx: &Context,
    call: Call,
    model: Arc<ServedModel>,
    payload: &RedisString,
    timeout: Option<i64>,
) -> Result<Option<Reply>, Error> {
    check_payload(payload)?;
    let Waiter { client, shape, timeout_ms, since } = wait(ctx, timeout)?;
    let call = Rc::new(call);
    let len = payload.as_slice().len();
    let (client, next) = blocked::keep_if(client, || {
        if len <= settings::hash_inline() {
            return look_up_or_enqueue(&call, &model, payload);
        }
        let id = accept(&call, &model, len)?;
        queue::push_hash(id, Payload::hold(payload));
        Ok(Next::Request(id))
    })?;
    let waiter = Waiter { client, shape, timeout_ms, since };
    match next {
        Next::Request(id) => in_flight::with(|in_flight| in_flight.attach_asker(id, waiter)),
        Next::Known(found) => galleries::begin(ctx, call, waiter, len, found),
    }
    Ok(None)
}

/// What a call with a picture waits for.
enum Next {
    /// Its embeddings.
    Request(RequestId),
    /// The search: the embeddings are known.
    Known(Arc<[Embedded]>),
}

fn look_up_or_enqueue(
    call: &Rc<Call>,
    model: &Arc<ServedModel>,
    payload: &RedisString,
) -> Result<Next, Error> {
    let len = payload.as_slice().len();
    let digest = Digest::of(payload.as_slice());
    if let Some(found) = galleries::known(model, digest) {
        in_flight::with(|in_flight| in_flight.check_room(len))?;
        return Ok(Next::Known(found));
    }
    model.check_loaded()?;
    let id = accept(call, model, len)?;
    settle::enqueue(id, digest, Payload::hold(payload))?;
    Ok(Next::Request(id))
}

fn accept(call: &Rc<Call>, model: &Arc<ServedModel>, bytes: usize) -> Result<RequestId, Error> {
    let request = Request::new(Target::Gallery(call.clone()), model.clone(), false);
    in_flight::with(|in_flight| in_flight.accept(request, bytes))
}

/// Lets a client wait for the search of its vector.
fn start_with_vector(
    ctx: &Context,
    call: Call,
    vector: &RedisString,
    timeout: Option<i64>,
) -> Result<Option<Reply>, Error> {
    let vector = UnitVector::from_bytes(vector.as_slice())?;
    let wanted = call.binding.dimensions;
    if vector.dimensions() != wanted {
        let found = vector.dimensions();
        return Err(gallery::GalleryError::Dimensions { expected: wanted, found }.into());
    }
    let embedded = Embedded { face: None, values: vector.as_slice().to_vec() };
    start_with_embeddings(ctx, call, Arc::from([embedded]), timeout)
}

/// Lets a client wait for the search of what is known already.
fn start_with_embeddings(
    ctx: &Context,
    call: Call,
    found: Arc<[Embedded]>,
    timeout: Option<i64>,
) -> Result<Option<Reply>, Error> {
    let bytes = found.iter().map(|embedded| size_of_val(&embedded.values[..])).sum();
    in_flight::with(|in_flight| in_flight.check_room(bytes))?;
    let waiter = wait(ctx, timeout)?;
    galleries::begin(ctx, Rc::new(call), waiter, bytes, found);
    Ok(None)
}

fn wait(ctx: &Context, timeout: Option<i64>) -> Result<Waiter, Error> {
    let timeout_ms = timeout.unwrap_or_else(settings::timeout);
    let client = blocked::block::<Waits>(ctx, timeout_ms)
        .map_err(|refused| refused.error("recognising and searching take time"))?;
    Ok(Waiter { client, shape: Shape::default(), timeout_ms, since: Instant::now() })
}
