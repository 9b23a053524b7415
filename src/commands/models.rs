//! `IMAGE.MODELS`: what this node can recognise, and what it cannot and why.

use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::models;
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
    match &entry.state {
        Ok(model) => {
            let recognizer = &model.recognizer;
            Model {
                name: entry.name.clone(),
                state: "ready",
                task: recognizer.task().to_owned(),
                version: recognizer.version().to_owned(),
                engine: recognizer.engine().to_owned(),
                files: recognizer.files().to_vec(),
                memory: recognizer.memory(),
                error: String::new(),
            }
        }
        Err(reason) => Model {
            name: entry.name.clone(),
            state: "failed",
            task: String::new(),
            version: String::new(),
            engine: String::new(),
            files: Vec::new(),
            memory: 0,
            error: reason.clone(),
        },
    }
}
