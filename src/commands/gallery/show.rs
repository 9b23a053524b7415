//! `IMAGE.SUBJECTS` and `IMAGE.GALLERY`: what a gallery holds.

use gallery::SubjectEntry;
use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::commands::options::{self, Name, Options};
use crate::galleries;
use crate::galleries::held::ServerGallery;
use crate::reply::{Reply, Tree};
use crate::server::keyspace::Look;
use crate::server::request;

const OPTIONS: [Name; 2] = [Name::Count, Name::WithVectors];

/// Subjects of a page, if the call does not say.
const DEFAULT_COUNT: usize = 100;
/// A page ends before the subject with which it would have more samples. Of a single subject that has
/// more the first ones are listed.
const MOST_SAMPLES: usize = 10_000;
/// The same for embeddings: bytes that one reply may take at once.
const MOST_VECTOR_BYTES: usize = 16 << 20;

/// `IMAGE.SUBJECTS gallery [cursor] [COUNT n] [WITHVECTORS]`
pub fn subjects(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, key, rest @ ..] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    let (cursor, options) = match rest {
        [cursor, options @ ..] if cursor.as_slice().first().is_some_and(u8::is_ascii_digit) => {
            (Some(cursor), options)
        }
        options => (None, options),
    };
    request::answer(ctx, || {
        let cursor = cursor.map_or(Ok(0), |cursor| options::cursor(cursor.as_slice()))?;
        let options = Options::parse(options, &OPTIONS)?;
        let count = options.count.unwrap_or(DEFAULT_COUNT);
        let page = galleries::open(ctx, key, Look::First, |held| {
            page(held.gallery(), cursor, count, options.with_vectors)
        })?;
        page.map(|page| Some(Reply::Tree(page)))
            .ok_or_else(|| galleries::no_gallery(key.as_slice()))
    })
}

fn page(gallery: &ServerGallery, cursor: u64, count: usize, with_vectors: bool) -> Tree {
    let vector_bytes = size_of::<f32>() * gallery.binding().dimensions;
    let room = match with_vectors {
        true => MOST_SAMPLES.min((MOST_VECTOR_BYTES / vector_bytes).max(1)),
        false => MOST_SAMPLES,
    };
    let mut listed = 0;
    let fits = |entry: &&SubjectEntry| {
        listed += entry.samples.len();
        listed <= room
    };
    let fitting = gallery.subjects(cursor, count).subjects.iter().take_while(fits).count();
    let page = gallery.subjects(cursor, fitting.max(1));
    let subjects = page.subjects.iter().map(|entry| {
        let samples = entry.samples.iter().take(room);
        let mut fields = vec![
            ("subject", Tree::text(entry.name)),
            ("count", Tree::Number(entry.samples.len() as i64)),
            ("samples", Tree::List(samples.clone().map(|id| Tree::Number(id.0 as i64)).collect())),
        ];
        if with_vectors {
            let vectors = samples.filter_map(|id| gallery.vector(*id)).map(Tree::Text).collect();
            fields.push(("vectors", Tree::List(vectors)));
        }
        Tree::Map(fields)
    });
    let subjects = Tree::List(subjects.collect());
    Tree::List(vec![Tree::text(page.next.unwrap_or(0).to_string()), subjects])
}

/// `IMAGE.GALLERY gallery`
pub fn gallery(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, key] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let shown = galleries::open(ctx, key, Look::First, |held| {
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
