//! `IMAGE.RECOGNIZE`, `IMAGE.RECOGNIZE_AUTO` and `IMAGE.RECOGNIZE_RO`: the story of a request on the main
//! thread, from the arguments to a stored result or a place in the queue. What follows is in
//! [`crate::completion`].

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use redis_module::{Context, ContextFlags, RedisError, RedisResult, RedisString};

use super::options::{Name, Options};
use super::payload::{check_payload, redact};
use crate::completion::responses::{RequestClients, hit_reply, no_result};
use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::in_flight::admission::{Admission, admit, take_up};
use crate::in_flight::{self, DbKey, ReplyOptions, Request, Target, Waiter};
use crate::models::{self, ServedModel};
use crate::reply::Reply;
use crate::results::lookup::{look_up, resolve_key};
use crate::results::recent_failures;
use crate::server::blocked::{self, CannotWait, Client};
use crate::server::keyspace::{Key, Look};
use crate::server::request;
use crate::settings;

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
        Recognize { ctx, key, payload, model, options, writes, accepted: Instant::now() }.run()
    })
}

/// One call, its arguments understood.
struct Recognize<'a> {
    ctx: &'a Context,
    key: Option<&'a RedisString>,
    payload: &'a RedisString,
    model: Arc<ServedModel>,
    options: Options,
    writes: bool,
    accepted: Instant,
}

impl Recognize<'_> {
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
        let Some(key) = resolve_key(self.ctx, &self.target()?, digest)? else { return Ok(None) };
        let refresh = self.options.refresh;
        let admission = admit(
            &self.model,
            || look_up(self.ctx, &key, Look::First, &self.model, digest, refresh),
            || {
                let client = refused.map_or_else(|| self.block(), Err).map_err(no_result)?;
                self.start(client, || Ok(Target::Key(key.clone())), Some(digest))
            },
        )?;
        match admission {
            Admission::Known(stored) => Ok(Some(self.hit(&key, digest, stored))),
            Admission::Entered(reply) => Ok(reply),
        }
    }

    /// A payload too large to be hashed here: the look-up comes when its digest is known.
    fn hash_elsewhere(&self, client: Option<Client>) -> Result<Option<Reply>, Error> {
        let target = || {
            if let Some(key) = self.key {
                // The user's look; the next one, when the digest is known, is the module's.
                drop(Key::open(self.ctx, key, Look::First));
            }
            self.target()
        };
        self.start(client, target, None)
    }

    /// Blocks the client that is to wait; none with `NOWAIT`.
    fn block(&self) -> Result<Option<Client>, CannotWait> {
        if self.options.nowait {
            return Ok(None);
        }
        blocked::block::<RequestClients>(self.ctx, self.timeout_ms()).map(Some)
    }

    /// Has the request taken up, and its client wait for it. A blocked client comes first: whether the
    /// server blocks it, only trying tells.
    fn start(
        &self,
        client: Option<Client>,
        target: impl FnOnce() -> Result<Target, Error>,
        digest: Option<Digest>,
    ) -> Result<Option<Reply>, Error> {
        let enter = || take_up(self.request(target()?), self.payload, digest);
        let Some(client) = client else {
            return enter().map(|_| Some(Reply::Status("ACCEPTED")));
        };
        let (client, id) = blocked::keep_if(client, enter)?;
        let (options, timeout_ms) = (self.reply_options(), self.timeout_ms());
        let waiter = Waiter { client, options, timeout_ms, since: self.accepted };
        in_flight::with(|in_flight| in_flight.attach_requester(id, waiter));
        Ok(None)
    }

    fn timeout_ms(&self) -> i64 {
        self.options.timeout.unwrap_or_else(settings::timeout)
    }

    fn hit(&self, key: &DbKey, digest: Digest, stored: RedisString) -> Reply {
        self.model.metrics.hit();
        if self.writes {
            let id = in_flight::with(|in_flight| in_flight.note_hit(key, self.model.id, digest));
            recent_failures::forget(key, self.model.id, id);
        }
        if self.options.nowait {
            return Reply::Status("STORED");
        }
        hit_reply(stored, self.reply_options(), &self.model, digest, self.accepted)
    }

    fn request(&self, target: Target) -> Request {
        let mut request = Request::new(target, self.model.clone(), self.writes);
        request.refresh = self.options.refresh;
        request.ttl = self.options.ttl;
        request.wanted = self.options.nowait;
        request.accepted = self.accepted;
        request
    }

    fn reply_options(&self) -> ReplyOptions {
        ReplyOptions { top: self.options.top, with_meta: self.options.with_meta }
    }

    /// The key of the call, or the one that its digest will determine.
    fn target(&self) -> Result<Target, Error> {
        let db = request::selected_db(self.ctx);
        Ok(match self.key {
            Some(key) => Target::Key(Rc::new(DbKey { db, name: key.as_slice().to_vec() })),
            None => {
                Target::Computed { db, user: request::current_user(self.ctx)?.as_slice().into() }
            }
        })
    }

    fn key_needed(&self) -> Error {
        let prefix = settings::KEY_PREFIX.get();
        let form = "in a cluster the key comes first, so that the request reaches the right node";
        let key = match self.payload.as_slice() {
            payload if payload.len() <= settings::hash_inline() => Digest::of(payload).hex(),
            _ => "<sha256 of the payload>".to_owned(),
        };
        Error::new(ErrorCode::Err, format!("{form}: IMAGE.RECOGNIZE {prefix}{key} <payload>"))
    }
}
