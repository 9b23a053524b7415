//! The JSON of identifications and verifications. Names are looked up here, on the main thread, when
//! the search has ended: a subject that was forgotten meanwhile is named no more.

use std::borrow::Cow;
use std::sync::Arc;

use gallery::Match;
use recognition::embedding::{Embedded, Rect};
use redis_module::Context;
use serde::{Serialize, Serializer};

use super::lookup::{stale, with_same_gallery};
use crate::error::{Error, ErrorCode};
use crate::in_flight::GalleryCall;
use crate::server::gallery_value::ServerGallery;
use crate::workers::completions::Matches;

#[derive(Serialize)]
struct Answer<'a, Face> {
    faces: Vec<Face>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    threshold: f64,
    model: &'a str,
    space: String,
}

/// A whole picture and a vector have neither box nor score.
#[derive(Serialize)]
struct Identified<'a> {
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    place: Option<Rect>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rounded")]
    score: Option<f32>,
    /// None for a stranger.
    subject: Option<Cow<'a, str>>,
    #[serde(serialize_with = "rounded")]
    similarity: Option<f32>,
    /// To the next other subject.
    #[serde(serialize_with = "rounded")]
    margin: Option<f32>,
    candidates: Vec<Candidate<'a>>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    subject: Cow<'a, str>,
    #[serde(serialize_with = "rounded")]
    similarity: Option<f32>,
}

#[derive(Serialize)]
struct Verified<'a> {
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    place: Option<Rect>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rounded")]
    score: Option<f32>,
    subject: Option<Cow<'a, str>>,
    #[serde(serialize_with = "rounded")]
    similarity: Option<f32>,
    verified: bool,
}

/// Four decimals, as scores in results.
fn rounded<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| (f64::from(value) * 1e4).round() / 1e4).serialize(serializer)
}

/// What `IMAGE.IDENTIFY` answers; none if a subject that was found has been forgotten meanwhile, and
/// this is not the `last` search: another one finds who else it may be.
pub fn identification(
    ctx: &Context,
    call: &GalleryCall,
    found: &[Embedded],
    matches: &Matches,
    top: usize,
    last: bool,
) -> Result<Option<Arc<str>>, Error> {
    with_same_gallery(ctx, call, |value| {
        let gallery = value.gallery();
        let is_known = |found: &Match| gallery.subject_name(found.subject).is_some();
        if !last && !matches.iter().flatten().all(is_known) {
            return Ok(None);
        }
        let faces = found.iter().zip(matches).map(|(embedded, matches)| {
            let known: Vec<(Cow<str>, f32)> = matches
                .iter()
                .filter_map(|found| Some((name(gallery, found)?, found.similarity)))
                .collect();
            let best = known.first().map(|(_, similarity)| *similarity);
            let next = known.get(1).map(|(_, similarity)| *similarity);
            Identified {
                place: embedded.face.as_ref().map(|face| face.place),
                score: embedded.face.as_ref().map(|face| face.score),
                subject: known
                    .first()
                    .filter(|(_, similarity)| f64::from(*similarity) >= call.threshold)
                    .map(|(subject, _)| subject.clone()),
                similarity: best,
                margin: best.zip(next).map(|(best, next)| best - next),
                candidates: known
                    .into_iter()
                    .take(top)
                    .map(|(subject, similarity)| Candidate {
                        subject,
                        similarity: Some(similarity),
                    })
                    .collect(),
            }
        });
        json(call, faces.collect(), None).map(Some)
    })
}

/// What `IMAGE.VERIFY` answers.
pub fn verification(
    ctx: &Context,
    call: &GalleryCall,
    found: &[Embedded],
    matches: &Matches,
    subject: &[u8],
) -> Result<Arc<str>, Error> {
    with_same_gallery(ctx, call, |value| {
        let gallery = value.gallery();
        let is_forgotten = |found: &Match| gallery.subject_name(found.subject).is_none();
        if gallery.subject(subject).is_none() || matches.iter().flatten().any(is_forgotten) {
            return Err(stale("the subject was forgotten meanwhile"));
        }
        let faces: Vec<Verified> = found
            .iter()
            .zip(matches)
            .map(|(embedded, matches)| {
                let similarity = matches.first().map(|best| best.similarity);
                let verified = similarity.is_some_and(|best| f64::from(best) >= call.threshold);
                Verified {
                    place: embedded.face.as_ref().map(|face| face.place),
                    score: embedded.face.as_ref().map(|face| face.score),
                    subject: verified.then(|| String::from_utf8_lossy(subject)),
                    similarity,
                    verified,
                }
            })
            .collect();
        let any = faces.iter().any(|face| face.verified);
        json(call, faces, Some(any))
    })
}

fn name<'a>(gallery: &'a ServerGallery, found: &Match) -> Option<Cow<'a, str>> {
    gallery.subject_name(found.subject).map(String::from_utf8_lossy)
}

fn json<Face: Serialize>(
    call: &GalleryCall,
    faces: Vec<Face>,
    verified: Option<bool>,
) -> Result<Arc<str>, Error> {
    let answer = Answer {
        faces,
        verified,
        threshold: call.threshold,
        model: &call.binding.model,
        space: call.binding.space.to_string(),
    };
    let text = serde_json::to_string(&answer);
    text.map(Arc::from).map_err(|error| Error::new(ErrorCode::Failed, error.to_string()))
}
