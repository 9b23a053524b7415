//! `IMAGE.MODELS`: what this node can recognise, and what it cannot and why.

use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::models;
use crate::recognition::State;
use crate::reply::{Model, Reply};
use crate::server::request;

/// `IMAGE.MODELS`
pub fn list(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    if arguments.len() != 1 {
        return Err(RedisError::WrongArity);
    }
    request::answer(ctx, || {
        let mut list = Vec::new();
        models::for_each(|entry| list.push(describe(entry)));
        Ok(Some(Reply::Models(list)))
    })
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
    line
}
