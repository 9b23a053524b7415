//! `IMAGE.RECOGNIZE`, `IMAGE.RECOGNIZE_AUTO` and `IMAGE.RECOGNIZE_RO`: the story of a request on the main thread, from the
//! arguments to a stored result or a place in the queue. What follows is in [`crate::settle`].

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use redis_module::{Context, ContextFlags, RedisError, RedisResult, RedisString};

use super::options::{Name, Options};
use crate::answers::{self, Waits};
use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::in_flight::{self, Place, Request, RequestId, Shape, Target, Waiter};
use crate::lookup::{check_named_digest, computed_key, look_up};
use crate::models::{self, ServedModel};
use crate::reply::Reply;
use crate::server::blocked::{self, CannotWait, Client};
use crate::server::keyspace::{Key, Look};
use crate::server::payload::Payload;
use crate::server::request;
use crate::{failures, queue, settings, settle};

const OPTIONS: [Name; 8] = [
    Name::Model,
    Name::Top,
    Name::Ex,
    Name::Px,
    Name::Refresh,
    Name::Timeout,
    Name::NoWait,
    Name::WithMeta,
];
const READ_ONLY_OPTIONS: [Name; 4] = [Name::Model, Name::Top, Name::Timeout, Name::WithMeta];

/// `IMAGE.RECOGNIZE key payload [option …]`
pub fn recognize(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    redact(ctx, &arguments, 2);
    let [_, key, payload, options @ ..] = arguments.as_slice() else {
        return Err(RedisError::WrongArity);
    };
    run(ctx, Some(key), payload, options, true)
}

/// `IMAGE.RECOGNIZE_AUTO payload [option …]`. A command of its own: with an optional key in front of
/// the payload, clients and server would take a payload for a key (`docs/clients.md`).
pub fn recognize_auto(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    redact(ctx, &arguments, 1);
    let [_, payload, options @ ..] = arguments.as_slice() else {
        return Err(RedisError::WrongArity);
    };
    run(ctx, None, payload, options, true)
}

/// `IMAGE.RECOGNIZE_RO key payload [option …]`
pub fn recognize_ro(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    redact(ctx, &arguments, 2);
    let [_, key, payload, options @ ..] = arguments.as_slice() else {
        return Err(RedisError::WrongArity);
    };
    run(ctx, Some(key), payload, options, false)
}

fn run(
    ctx: &Context,
    key: Option<&RedisString>,
    payload: &RedisString,
    options: &[RedisString],
    writes: bool,
) -> RedisResult {
    request::answer(ctx, || {
        let known: &[Name] = if writes { &OPTIONS } else { &READ_ONLY_OPTIONS };
        let options = Options::parse(options, known)?;
        check_payload(payload)?;
        let model = models::find_or_default(options.model.as_deref())?;
        Call { ctx, key, payload, model, options, writes, accepted: Instant::now() }.run()
    })
}

/// The payload, and whatever else is too long to be an option: somebody may have mixed up the order.
fn redact(ctx: &Context, arguments: &[RedisString], payload: usize) {
    const LONGEST_OPTION: usize = 128;
    for (position, argument) in arguments.iter().enumerate().skip(1) {
        if position == payload || argument.as_slice().len() > LONGEST_OPTION {
            request::redact(ctx, position);
        }
    }
}

/// Refuses payloads that are empty or too large.
pub fn check_payload(payload: &RedisString) -> Result<(), Error> {
    let (len, limit) = (payload.as_slice().len(), settings::max_payload());
    if len == 0 {
        return Err(Error::new(Word::BadImage, "the payload is empty"));
    }
    if len > limit {
        let sentence =
            format!("the payload has {len} bytes, more than {limit} (image.max-payload)");
        return Err(Error::new(Word::BadImage, sentence));
    }
    Ok(())
}

/// One call, its arguments understood.
struct Call<'a> {
    ctx: &'a Context,
    key: Option<&'a RedisString>,
    payload: &'a RedisString,
    model: Arc<ServedModel>,
    options: Options,
    writes: bool,
    accepted: Instant,
}

impl Call<'_> {
    fn run(&self) -> Result<Option<Reply>, Error> {
        let flags = self.ctx.get_flags();
        if self.key.is_none() && flags.contains(ContextFlags::CLUSTER) {
            return Err(self.key_needed());
        }
        let payload = self.payload.as_slice();
        let mut refused = None;
        if payload.len() > settings::hash_inline() && !flags.contains(ContextFlags::DENY_BLOCKING) {
            match self.block() {
                Ok(client) => return self.hash_elsewhere(client),
                // Who cannot wait for the digest may yet be told a stored result.
                Err(reason) => refused = Some(reason),
            }
        }
        let digest = Digest::of(payload);
        let key = self.key_for(digest)?;
        let place = self.place(key.as_slice());
        let refresh = self.options.refresh;
        let stored = look_up(self.ctx, &key, Look::First, &self.model, digest, refresh)?;
        if let Some(stored) = stored {
            return Ok(Some(self.hit(&place, digest, stored)));
        }
        self.model.check_loaded()?;
        let client = refused.map_or_else(|| self.block(), Err).map_err(answers::no_result)?;
        self.start(client, || {
            let request = self.request(Target::Named(Rc::new(place)));
            let id = in_flight::with(|in_flight| in_flight.accept(request, payload.len()))?;
            settle::enqueue(id, digest, Payload::hold(self.payload))?;
            Ok(id)
        })
    }

    /// A payload too large to be hashed here: the look-up comes when its digest is known.
    fn hash_elsewhere(&self, client: Option<Client>) -> Result<Option<Reply>, Error> {
        self.start(client, || {
            let target = match self.key {
                Some(key) => {
                    // The user's look; the next one, when the digest is known, is ours.
                    drop(Key::open(self.ctx, key, Look::First));
                    Target::Named(Rc::new(self.place(key.as_slice())))
                }
                None => Target::Computed {
                    db: request::selected_db(self.ctx),
                    user: Rc::new(request::current_user(self.ctx)?),
                },
            };
            let request = self.request(target);
            let bytes = self.payload.as_slice().len();
            let id = in_flight::with(|in_flight| in_flight.accept(request, bytes))?;
            queue::push_hash(id, Payload::hold(self.payload));
            Ok(id)
        })
    }

    /// Blocks the client that is to wait; none with `NOWAIT`.
    fn block(&self) -> Result<Option<Client>, CannotWait> {
        if self.options.nowait {
            return Ok(None);
        }
        blocked::block::<Waits>(self.ctx, self.timeout_ms()).map(Some)
    }

    /// Has a request accepted, and its client wait for it. A blocked client comes first: whether the
    /// server blocks it, only trying tells.
    fn start(
        &self,
        client: Option<Client>,
        accept: impl FnOnce() -> Result<RequestId, Error>,
    ) -> Result<Option<Reply>, Error> {
        let Some(client) = client else {
            return accept().map(|_| Some(Reply::Status("ACCEPTED")));
        };
        let (client, id) = blocked::keep_if(client, accept)?;
        let (shape, timeout_ms) = (self.shape(), self.timeout_ms());
        let waiter = Waiter { client, shape, timeout_ms, since: self.accepted };
        in_flight::with(|in_flight| in_flight.attach_asker(id, waiter));
        Ok(None)
    }

    fn timeout_ms(&self) -> i64 {
        self.options.timeout.unwrap_or_else(settings::timeout)
    }

    fn hit(&self, place: &Place, digest: Digest, stored: RedisString) -> Reply {
        self.model.metrics.hit();
        if self.writes {
            let id = in_flight::with(|in_flight| in_flight.note_hit(place, &self.model, digest));
            failures::forget(place, &self.model, id);
        }
        if self.options.nowait {
            return Reply::Status("STORED");
        }
        answers::stored_reply(stored, self.shape(), &self.model, digest, self.accepted)
    }

    fn request(&self, target: Target) -> Request {
        let mut request = Request::new(target, self.model.clone(), self.writes);
        request.refresh = self.options.refresh;
        request.ttl = self.options.ttl;
        request.wanted = self.options.nowait;
        request.accepted = self.accepted;
        request
    }

    fn shape(&self) -> Shape {
        Shape { top: self.options.top, with_meta: self.options.with_meta }
    }

    fn place(&self, key: &[u8]) -> Place {
        Place { db: request::selected_db(self.ctx), key: key.to_vec() }
    }

    /// The key of the call, or the computed one if the user may use it.
    fn key_for(&self, digest: Digest) -> Result<RedisString, Error> {
        match self.key {
            Some(key) => {
                check_named_digest(key.as_slice(), digest)?;
                Ok(key.safe_clone(self.ctx))
            }
            None => computed_key(self.ctx, &request::current_user(self.ctx)?, digest),
        }
    }

    fn key_needed(&self) -> Error {
        let prefix = settings::KEY_PREFIX.get();
        let form = "in a cluster the key comes first, so that the request reaches the right node";
        let key = match self.payload.as_slice() {
            payload if payload.len() <= settings::hash_inline() => Digest::of(payload).hex(),
            _ => "<sha256 of the payload>".to_owned(),
        };
        Error::new(Word::Err, format!("{form}: IMAGE.RECOGNIZE {prefix}{key} <payload>"))
    }
}
