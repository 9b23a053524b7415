//! `IMAGE.FORGET`: removes a subject, or one sample, and says what it cannot reach.

use gallery::SampleId;
use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::commands::options::sample_id;
use crate::error::{Error, ErrorCode};
use crate::galleries;
use crate::reply::Reply;
use crate::server::gallery_type::{self, Found};
use crate::server::gallery_value::GalleryValue;
use crate::server::keyspace::{self, Look};
use crate::server::request;

/// What keeps embeddings and is no part of a gallery.
const NOT_REACHED: [&str; 5] = [
    "stored results (fields faces@... and embed@... of images' keys): HDEL or DEL them",
    "the append-only file, until it is rewritten: BGREWRITEAOF",
    "RDB files and backups that are older: SAVE or BGSAVE, and delete the old ones",
    "other galleries and copies of this one: IMAGE.FORGET there",
    "the replication backlog, until it is overwritten",
];

/// `IMAGE.FORGET gallery subject [sample]`
pub fn forget(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let (key, subject, sample) = match arguments.as_slice() {
        [_, key, subject] => (key, subject, None),
        [_, key, subject, sample] => (key, subject, Some(sample)),
        _ => return Err(RedisError::WrongArity),
    };
    request::answer(ctx, || {
        let name = subject.as_slice();
        let sample = sample.map(|sample| sample_id(sample.as_slice())).transpose()?;
        // First by reading: who watches the key is not told of a change that is none.
        let known = galleries::show_gallery(ctx, key, Look::First, |value| {
            let entry = value.gallery().subject(name)?;
            Some(sample.is_none_or(|sample| entry.samples.contains(&sample)))
        })?;
        match known {
            None => return Err(galleries::no_gallery(key.as_slice())),
            Some(None) => return Err(galleries::subject_unknown(name)),
            Some(Some(false)) => return Err(sample_unknown(sample)),
            Some(Some(true)) => (),
        }
        let change = |value: &mut GalleryValue| -> Result<_, Error> {
            let forgotten = value.forget(name, sample);
            let left = value.gallery().subject(name).map_or(0, |entry| entry.samples.len());
            Ok((forgotten.samples, left))
        };
        let Found::Gallery((forgotten, left)) =
            gallery_type::change(ctx, key, || Ok(None), change)?
        else {
            return Err(galleries::no_gallery(key.as_slice()));
        };
        galleries::forget_pictures();
        ctx.replicate_verbatim();
        keyspace::notify(ctx, c"image.forgotten", key);
        let not_reached = NOT_REACHED.iter().map(Reply::bytes).collect();
        Ok(Some(Reply::map([
            ("subject", Reply::bytes(name)),
            ("forgotten", Reply::Number(forgotten as i64)),
            ("samples_left", Reply::Number(left as i64)),
            ("not_reached", Reply::List(not_reached)),
        ])))
    })
}

fn sample_unknown(sample: Option<SampleId>) -> Error {
    let number = sample.map_or(0, |sample| sample.0);
    let sentence = format!("the subject has no sample {number}; IMAGE.SUBJECTS lists what it has");
    Error::new(ErrorCode::NoSubject, sentence)
}
