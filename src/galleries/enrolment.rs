//! The end of an enrolment: which face, what to warn of, and the write. The write is done by the command
//! itself in its replicated form, so that there is one way into a gallery, and Redis checks the slot.

use gallery::{Match, UnitVector};
use recognition::embedding::{Embedded, Face, Gate, Quality};
use redis_module::{CallOptionsBuilder, CallReply, CallResult, Context, ContextFlags};

use super::lookup::{stale, with_same_gallery};
use super::pending::{self, PendingCall};
use crate::error::{Error, ErrorCode, quoted};
use crate::ids::CallId;
use crate::in_flight::{GalleryCall, Purpose};
use crate::reply::Reply;
use crate::results;
use crate::results::write_back::{self, PendingWrite};
use crate::server::refusal::Refusal;
use crate::server::{guard, request};

/// The one face to enrol, if it is good enough; or the whole picture.
pub fn choose(found: &[Embedded], largest: bool, gate: Option<Gate>) -> Result<Embedded, Error> {
    if found.len() > 1 && !largest {
        let sentence = format!(
            "{} faces are in the picture and only one can be enrolled; cut it out, or say LARGEST",
            found.len()
        );
        return Err(Error::new(ErrorCode::ManyFaces, sentence));
    }
    let area = |embedded: &&Embedded| embedded.face.as_ref().map_or(0.0, |face| face.place.area());
    let chosen = found.iter().max_by(|a, b| area(a).total_cmp(&area(b)));
    let Some(chosen) = chosen else {
        return Err(Error::new(ErrorCode::NoFace, "no face is in the picture"));
    };
    if let (Some(gate), Some(face)) = (gate, &chosen.face) {
        let Some(quality) = &face.quality else {
            let sentence = "eyes and mouth cannot be told apart; take a photo from the front";
            return Err(Error::new(ErrorCode::LowQuality, sentence));
        };
        gate.check(quality).map_err(|flaw| Error::new(ErrorCode::LowQuality, flaw.to_string()))?;
    }
    Ok(chosen.clone())
}

/// A warning if the face is nearer to another subject than to its own; of somebody new, if it would
/// be taken for another.
pub fn warning(
    ctx: &Context,
    call: &GalleryCall,
    subject: &[u8],
    best: &Match,
) -> Result<Option<String>, Error> {
    with_same_gallery(ctx, call, |value| {
        let gallery = value.gallery();
        let is_new = gallery.subject(subject).is_none();
        let other = gallery.subject_name(best.subject).filter(|name| *name != subject);
        let taken_for = !is_new || f64::from(best.similarity) >= call.threshold;
        Ok(other.filter(|_| taken_for).map(|other| {
            format!(
                "the face is nearer to {} ({:.4}) than to {}: is it the same person? FORGET this sample if it was a mistake",
                quoted(other),
                best.similarity,
                quoted(subject)
            )
        }))
    })
}

/// Has an enrolment written as soon as writes are allowed.
pub fn write_soon(call: PendingCall) {
    write_back::write_soon(PendingWrite::Enrolment { call: pending::put(call), write });
}

fn write(ctx: &Context, call: CallId) {
    // None: its client has gone, or its time is over, and nothing is enrolled.
    let Some(pending) = pending::take(call) else { return };
    let written = guard("an enrolment", Err(panicked()), || enrol(ctx, &pending));
    pending.waiter.client.unblock(written.unwrap_or_else(Reply::Error));
}

fn panicked() -> Error {
    Error::new(ErrorCode::Failed, "the enrolment panicked; the server's log has more")
}

fn enrol(ctx: &Context, pending: &PendingCall) -> Result<Reply, Error> {
    let call = &*pending.call;
    let (Purpose::Enrol { subject, .. }, Some(embedded)) = (&call.purpose, pending.found.first())
    else {
        return Err(Error::new(ErrorCode::Failed, "there is nothing to enrol"));
    };
    if !ctx.get_flags().contains(ContextFlags::MASTER) {
        return Err(stale("this server is no master any more; ask the new one"));
    }
    if !results::has_memory_left(ctx) {
        return Err(Error::new(
            ErrorCode::Oom,
            "used memory is above maxmemory; nothing was enrolled",
        ));
    }
    match with_same_gallery(ctx, call, |_| Ok(())) {
        Err(error) if error.code == ErrorCode::NoGallery => request::select_db(ctx, call.key.db),
        other => other?,
    }
    let vector = UnitVector::new(&embedded.values)?.to_bytes();
    let space = call.binding.space.to_string();
    let arguments: [&[u8]; 8] = [
        &call.key.name,
        subject,
        b"VECTOR",
        &vector,
        b"MODEL",
        call.binding.model.as_bytes(),
        b"SPACE",
        space.as_bytes(),
    ];
    // As from a script, so that the server refuses what it would refuse a client now (NOREPLICAS, MISCONF).
    let options = CallOptionsBuilder::new().replicate().script_mode().errors_as_replies().build();
    let reply: CallResult<'static> = ctx.call_ext("IMAGE.ENROLL", &options, &arguments[..]);
    let reply = reply.map_err(|error| refused(&error.to_utf8_string().unwrap_or_default()))?;
    let quality = embedded.face.as_ref().and_then(|face: &Face| face.quality);
    Ok(enrolled(subject, sample_of(&reply)?, quality, pending.warning.clone()))
}

/// The reply of `IMAGE.ENROLL`.
pub fn enrolled(
    subject: &[u8],
    sample: i64,
    quality: Option<Quality>,
    warning: Option<String>,
) -> Reply {
    let quality = quality.map(|Quality { size, sharpness, pose }| {
        Reply::map([
            ("size", Reply::Decimal(size)),
            ("sharpness", Reply::Decimal(sharpness)),
            ("yaw", Reply::Decimal(pose.yaw)),
            ("pitch", Reply::Decimal(pose.pitch)),
            ("roll", Reply::Decimal(pose.roll)),
        ])
    });
    Reply::map([
        ("sample", Reply::Number(sample)),
        ("subject", Reply::bytes(subject)),
        ("quality", quality.unwrap_or(Reply::Nil)),
        ("warning", warning.map_or(Reply::Nil, Reply::bytes)),
    ])
}

/// The id in the reply of the command itself, whose first entry it is.
fn sample_of(reply: &CallReply) -> Result<i64, Error> {
    if let CallReply::Array(entries) = reply
        && let Some(Ok(CallReply::I64(sample))) = entries.get(1)
    {
        return Ok(sample.to_i64());
    }
    Err(Error::new(ErrorCode::Failed, "the server gave no sample id"))
}

/// What a client is told when the server refuses to write its enrolment.
fn refused(text: &str) -> Error {
    let sentence = text.split_once(' ').map_or(text, |(_, sentence)| sentence);
    let code = match Refusal::parse(text) {
        Refusal::Slot => return stale("the gallery's slot is on another node now; ask again"),
        Refusal::Memory => ErrorCode::Oom,
        Refusal::Role => ErrorCode::ReadOnly,
        Refusal::Code(code) => code,
        Refusal::ClusterDown | Refusal::Other => ErrorCode::Err,
    };
    Error::new(code, sentence)
}
