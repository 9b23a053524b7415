//! `IMAGE.MODELS`: what this node can recognise, and what it cannot and why; and `RELOAD`, which has it
//! look again.

use recognition::State;
use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::error::{Error, Word, quoted};
use crate::reply::{Model, Reply};
use crate::server::blocked::{self, CannotWait};
use crate::server::request;
use crate::{models, reload};

/// The longest that a client waits for a reload, which takes as long as the models are large.
const RELOAD_TIMEOUT_MS: i64 = 300_000;

/// `IMAGE.MODELS [RELOAD]`
pub fn list(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    match arguments.as_slice() {
        [_] => request::answer(ctx, || Ok(Some(describe_all()))),
        [_, word] => request::answer(ctx, || {
            if !word.as_slice().eq_ignore_ascii_case(b"RELOAD") {
                let word = quoted(word.as_slice());
                return Err(Error::new(Word::Err, format!("RELOAD was expected, not {word}")));
            }
            // Redis 7.0 knows no rule for one argument of a command; so the rule for the command
            // that does the same counts.
            if !request::may_run(ctx, c"image.reload") {
                let sentence = "this user has no permissions to run the 'image.reload' command";
                return Err(Error::new(Word::NoPerm, sentence));
            }
            start_reload(ctx)
        }),
        _ => Err(RedisError::WrongArity),
    }
}

/// `IMAGE.RELOAD`
pub fn reload_models(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    if arguments.len() != 1 {
        return Err(RedisError::WrongArity);
    }
    request::answer(ctx, || start_reload(ctx))
}

fn start_reload(ctx: &Context) -> Result<Option<Reply>, Error> {
    let client = match blocked::block::<reload::Waits>(ctx, RELOAD_TIMEOUT_MS) {
        Ok(client) => client,
        Err(CannotWait::Nested) => {
            reload::begin()?;
            return Ok(Some(Reply::Status("STARTED")));
        }
        Err(refused) => return Err(refused.error("no reload was begun")),
    };
    let (client, ()) = blocked::keep_if(client, reload::begin)?;
    reload::attach(client);
    Ok(None)
}

fn describe_all() -> Reply {
    let mut list = Vec::new();
    models::for_each(|entry| list.push(describe(entry)));
    Reply::Models(list)
}

fn describe(entry: &models::Entry) -> Model {
    let mut line = Model {
        name: entry.name.clone(),
        state: "failed",
        task: String::new(),
        version: String::new(),
        engine: String::new(),
        files: Vec::new(),
        memory: 0,
        error: String::new(),
    };
    let recognizer = match &entry.model {
        Ok(model) => &model.recognizer,
        Err(reason) => {
            line.error = reason.clone();
            return line;
        }
    };
    line.task = recognizer.task().to_owned();
    line.version = recognizer.version().to_owned();
    line.files = recognizer.files().to_vec();
    match recognizer.state() {
        State::Waiting => line.state = "waiting",
        State::Ready { engine, memory } => {
            line.state = "ready";
            line.engine = engine.to_owned();
            line.memory = memory;
        }
        State::Failed(reason) => line.error = reason.0.clone(),
    }
    if let Some(reason) = &entry.not_taken {
        line.error = format!("what its folder holds now is not served: {reason}");
    }
    line
}
