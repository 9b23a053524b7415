//! `IMAGE.SUBJECTS` and `IMAGE.GALLERY`: what a gallery holds.

use gallery::SubjectEntry;
use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::commands::options::{self, Name, Options};
use crate::galleries;
use crate::reply::Reply;
use crate::server::gallery_value::ServerGallery;
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
        let page = galleries::show_gallery(ctx, key, Look::First, |value| {
            page(value.gallery(), cursor, count, options.with_vectors)
        })?;
        page.map(Some).ok_or_else(|| galleries::no_gallery(key.as_slice()))
    })
}

fn page(gallery: &ServerGallery, cursor: u64, count: usize, with_vectors: bool) -> Reply {
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
            ("subject".into(), Reply::bytes(entry.name)),
            ("count".into(), Reply::Number(entry.samples.len() as i64)),
            (
                "samples".into(),
                Reply::List(samples.clone().map(|id| Reply::Number(id.0 as i64)).collect()),
            ),
        ];
        if with_vectors {
            let vectors = samples.filter_map(|id| gallery.vector(*id)).map(Reply::Bytes).collect();
            fields.push(("vectors".into(), Reply::List(vectors)));
        }
        Reply::Map(fields)
    });
    let subjects = Reply::List(subjects.collect());
    Reply::List(vec![Reply::bytes(page.next.unwrap_or(0).to_string()), subjects])
}

/// `IMAGE.GALLERY gallery`
pub fn gallery(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, key] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let shown = galleries::show_gallery(ctx, key, Look::First, |value| {
            let (gallery, binding) = (value.gallery(), value.gallery().binding());
            Reply::map([
                ("model", Reply::bytes(binding.model.as_bytes())),
                ("space", Reply::bytes(binding.space.to_string().as_bytes())),
                ("dimensions", Reply::Number(binding.dimensions as i64)),
                ("subjects", Reply::Number(gallery.subject_count() as i64)),
                ("samples", Reply::Number(gallery.sample_count() as i64)),
                ("next_sample", Reply::Number(gallery.next_sample() as i64)),
                ("bytes", Reply::Number(value.memory_usage() as i64)),
            ])
        })?;
        shown.map(Some).ok_or_else(|| galleries::no_gallery(key.as_slice()))
    })
}
