//! What the calls to galleries share: what they are given, what a gallery is bound to, and how a client
//! begins to wait. What goes through the queue or the search goes on in [`crate::galleries`].

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gallery::{Binding, GalleryError, Space, UnitVector};
use recognition::embedding::{Embedded, GalleryRules};
use redis_module::{Context, RedisString};

use crate::commands::payload::{check_payload, redact};
use crate::completion::responses::RequestClients;
use crate::digest::Digest;
use crate::error::{Error, ErrorCode, quoted};
use crate::galleries;
use crate::in_flight::admission::{Admission, admit, take_up};
use crate::in_flight::{self, GalleryCall, ReplyOptions, Request, Target, Waiter};
use crate::models::ServedModel;
use crate::reply::Reply;
use crate::server::blocked;
use crate::settings;

/// What is to be enrolled or compared.
pub enum Given<'a> {
    Picture(&'a RedisString),
    /// 32-bit little-endian floats.
    Vector(&'a RedisString),
}

/// Takes `payload` or `VECTOR blob` from the front of the arguments.
pub fn given(arguments: &[RedisString]) -> Option<(Given<'_>, &[RedisString])> {
    match arguments {
        [word, vector, options @ ..] if word.as_slice().eq_ignore_ascii_case(b"VECTOR") => {
            Some((Given::Vector(vector), options))
        }
        [payload, options @ ..] => Some((Given::Picture(payload), options)),
        [] => None,
    }
}

/// Hides payload or vector, which stands at that place or behind the word `VECTOR` there.
pub fn redact_given(ctx: &Context, arguments: &[RedisString], place: usize) {
    let is_vector =
        arguments.get(place).is_some_and(|word| word.as_slice().eq_ignore_ascii_case(b"VECTOR"));
    redact(ctx, arguments, if is_vector { place + 1 } else { place });
}

/// What a model's manifest says of galleries.
pub fn rules(model: &ServedModel) -> Result<&GalleryRules, Error> {
    model.recognizer.gallery().map_err(|reason| {
        let name = quoted(model.recognizer.name().as_bytes());
        Error::new(ErrorCode::Err, format!("model {name} cannot serve galleries: {reason}"))
    })
}

/// What a gallery of this model's embeddings is bound to.
pub fn binding_of(model: &ServedModel) -> Result<Binding, Error> {
    let rules = rules(model)?;
    Ok(Binding {
        model: model.recognizer.name().to_owned(),
        space: rules.space.parse::<Space>()?,
        dimensions: rules.dimensions,
    })
}

/// Lets a client wait for what becomes of its picture.
pub fn start_with_picture(
    ctx: &Context,
    call: GalleryCall,
    model: Arc<ServedModel>,
    payload: &RedisString,
    timeout: Option<i64>,
) -> Result<Option<Reply>, Error> {
    check_payload(payload)?;
    let Waiter { client, options, timeout_ms, since } = block(ctx, timeout)?;
    let call = Rc::new(call);
    let len = payload.as_slice().len();
    let request = Request::new(Target::Gallery(call.clone()), model.clone(), false);
    let (client, admission) = blocked::keep_if(client, || {
        if len > settings::hash_inline() {
            return take_up(request, payload, None).map(Admission::Entered);
        }
        let digest = Digest::of(payload.as_slice());
        admit(
            &model,
            || match galleries::cached_embeddings(&model, digest) {
                Some(found) => in_flight::check_room(len).map(|()| Some(found)),
                None => Ok(None),
            },
            || take_up(request, payload, Some(digest)),
        )
    })?;
    let waiter = Waiter { client, options, timeout_ms, since };
    match admission {
        Admission::Entered(id) => {
            in_flight::with(|in_flight| in_flight.attach_requester(id, waiter));
        }
        Admission::Known(found) => galleries::begin(ctx, call, waiter, len, found),
    }
    Ok(None)
}

/// Lets a client wait for the search of its vector.
pub fn start_with_vector(
    ctx: &Context,
    call: GalleryCall,
    vector: &RedisString,
    timeout: Option<i64>,
) -> Result<Option<Reply>, Error> {
    let vector = UnitVector::from_bytes(vector.as_slice())?;
    let wanted = call.binding.dimensions;
    if vector.dimensions() != wanted {
        let found = vector.dimensions();
        return Err(GalleryError::Dimensions { expected: wanted, found }.into());
    }
    let embedded = Embedded { face: None, values: vector.as_slice().to_vec() };
    start_with_embeddings(ctx, call, Arc::from([embedded]), timeout)
}

/// Lets a client wait for the search of what is known already.
pub fn start_with_embeddings(
    ctx: &Context,
    call: GalleryCall,
    found: Arc<[Embedded]>,
    timeout: Option<i64>,
) -> Result<Option<Reply>, Error> {
    let bytes = found.iter().map(|embedded| size_of_val(&embedded.values[..])).sum();
    in_flight::check_room(bytes)?;
    let waiter = block(ctx, timeout)?;
    galleries::begin(ctx, Rc::new(call), waiter, bytes, found);
    Ok(None)
}

pub fn block(ctx: &Context, timeout: Option<i64>) -> Result<Waiter, Error> {
    let timeout_ms = timeout.unwrap_or_else(settings::timeout);
    let client = blocked::block::<RequestClients>(ctx, timeout_ms)
        .map_err(|refused| refused.error("recognising and searching take time"))?;
    let options = ReplyOptions::default();
    Ok(Waiter { client, options, timeout_ms, since: Instant::now() })
}
