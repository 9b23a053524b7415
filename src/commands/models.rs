//! `IMAGE.MODELS`: what this node can recognise, and what it cannot and why; and `RELOAD`, which has it
//! look again.

use recognition::{Recognizer, State};
use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::error::{Error, ErrorCode, quoted};
use crate::models::{self, reload};
use crate::reply::Reply;
use crate::server::blocked::{self, CannotWait};
use crate::server::request;

/// The longest that a client waits for a reload, which takes as long as the models are large.
const RELOAD_TIMEOUT_MS: i64 = 300_000;

/// `IMAGE.MODELS [RELOAD]`
pub fn list(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    match arguments.as_slice() {
        [_] => request::answer(ctx, || Ok(Some(describe_all()))),
        [_, word] => request::answer(ctx, || {
            if !word.as_slice().eq_ignore_ascii_case(b"RELOAD") {
                let word = quoted(word.as_slice());
                return Err(Error::new(ErrorCode::Err, format!("RELOAD was expected, not {word}")));
            }
            // Redis 7.0 knows no rule for one argument of a command; so the rule for the command
            // that does the same counts.
            if !request::may_run(ctx, c"image.reload") {
                let sentence = "this user has no permissions to run the 'image.reload' command";
                return Err(Error::new(ErrorCode::NoPerm, sentence));
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
    let client = match blocked::block::<reload::ReloadClient>(ctx, RELOAD_TIMEOUT_MS) {
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
    Reply::List(list)
}

/// What a model that is not loaded does not have is empty.
fn describe(entry: &models::Entry) -> Reply {
    let name = Reply::bytes(&entry.name);
    let recognizer = match &entry.model {
        Ok(model) => &model.recognizer,
        Err(reason) => return description(name, "failed", None, "", 0, reason),
    };
    let (state, engine, memory, mut error) = match recognizer.state() {
        State::Waiting => ("waiting", "", 0, String::new()),
        State::Ready { engine, memory } => ("ready", engine, memory, String::new()),
        State::Failed(reason) => ("failed", "", 0, reason.0.clone()),
    };
    if let Some(reason) = &entry.not_taken {
        error = format!("what its folder holds now is not served: {reason}");
    }
    description(name, state, Some(recognizer), engine, memory, &error)
}

/// `state` is `ready`, `waiting` (for its first use) or `failed`, `memory` the bytes of weights, `error`
/// why the model cannot be loaded, or why its folder's new content is not served.
fn description(
    name: Reply,
    state: &'static str,
    recognizer: Option<&Recognizer>,
    engine: &'static str,
    memory: usize,
    error: &str,
) -> Reply {
    let (task, version) = recognizer.map_or(("", ""), |found| (found.task(), found.version()));
    let files = recognizer.map_or(&[][..], Recognizer::files);
    Reply::map([
        ("name", name),
        ("state", Reply::bytes(state)),
        ("task", Reply::bytes(task)),
        ("version", Reply::bytes(version)),
        ("engine", Reply::bytes(engine)),
        ("files", Reply::List(files.iter().map(Reply::bytes).collect())),
        ("memory", Reply::Number(memory as i64)),
        ("error", Reply::bytes(error)),
    ])
}
