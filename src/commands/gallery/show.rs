//! `IMAGE.SUBJECTS` and `IMAGE.GALLERY`: what a gallery holds, but for the embeddings.

use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::commands::options::{self, Name, Options};
use crate::galleries;
use crate::reply::{Reply, Tree};
use crate::server::request;

/// Subjects of a page, if the call does not say.
const DEFAULT_COUNT: usize = 100;
/// Sample ids in a page: of a subject that has more the first ones are listed.
const MOST_SAMPLES: usize = 10_000;

/// `IMAGE.SUBJECTS gallery [cursor] [COUNT n]`
pub fn subjects(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, key, rest @ ..] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    let (cursor, options) = match rest {
        [cursor, options @ ..] if !cursor.as_slice().eq_ignore_ascii_case(b"COUNT") => {
            (Some(cursor), options)
        }
        options => (None, options),
    };
    request::answer(ctx, || {
        let cursor = cursor.map_or(Ok(0), |cursor| options::cursor(cursor.as_slice()))?;
        let options = Options::parse(options, &[Name::Count])?;
        let count = options.count.unwrap_or(DEFAULT_COUNT);
        let page = galleries::open(ctx, key, |held| {
            let mut room = MOST_SAMPLES;
            let page = held.gallery().subjects(cursor, count);
            let subjects = page.subjects.iter().map(|entry| {
                let listed = entry.samples.iter().take(room);
                let samples: Vec<Tree> =
                    listed.map(|sample| Tree::Number(sample.0 as i64)).collect();
                room -= samples.len();
                Tree::Map(vec![
                    ("subject", Tree::text(entry.name)),
                    ("count", Tree::Number(entry.samples.len() as i64)),
                    ("samples", Tree::List(samples)),
                ])
            });
            let subjects = Tree::List(subjects.collect());
            let next = page.next.unwrap_or(0).to_string();
            Tree::List(vec![Tree::text(next.as_bytes()), subjects])
        })?;
        page.map(|page| Some(Reply::Tree(page)))
            .ok_or_else(|| galleries::no_gallery(key.as_slice()))
    })
}

/// `IMAGE.GALLERY gallery`
pub fn gallery(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, key] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let shown = galleries::open(ctx, key, |held| {
            let (gallery, binding) = (held.gallery(), held.gallery().binding());
            Tree::Map(vec![
                ("model", Tree::text(binding.model.as_bytes())),
                ("space", Tree::text(binding.space.to_string().as_bytes())),
                ("dimensions", Tree::Number(binding.dimensions as i64)),
                ("subjects", Tree::Number(gallery.subject_count() as i64)),
                ("samples", Tree::Number(gallery.sample_count() as i64)),
                ("next_sample", Tree::Number(gallery.next_sample() as i64)),
                ("bytes", Tree::Number(held.memory_usage() as i64)),
            ])
        })?;
        shown
            .map(|shown| Some(Reply::Tree(shown)))
            .ok_or_else(|| galleries::no_gallery(key.as_slice()))
    })
}
