//! The end of an enrolment: which face, what to warn of, and the write. It is done by the command
//! itself in its replicated form, so that there is one way into a gallery, and Redis checks the slot.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use gallery::{Match, UnitVector};
use recognition::embedding::{Embedded, Face, Gate, Quality};
use redis_module::{CallOptionsBuilder, CallReply, CallResult, Context, ContextFlags};

use super::calls::{self, CallId, Open};
use super::lookup::{stale, still};
use super::{Call, Purpose};
use crate::cache;
use crate::error::{Error, Word, quoted};
use crate::reply::{Reply, Tree};
use crate::server::{guard, main_thread, request};

/// How often writes that wait for a pause to end are tried.
const RETRY_MILLISECONDS: i64 = 10;
/// Writes in one turn of the event loop: others want to be served, too.
const WRITES_A_TURN: usize = 256;

thread_local! {
    static WAITING: RefCell<VecDeque<CallId>> = const { RefCell::new(VecDeque::new()) };
    /// Whether a timer will write them.
    static WILL_WRITE: Cell<bool> = const { Cell::new(false) };
}

/// The one face to enrol, if it is good enough; or the whole picture.
pub fn choose(found: &[Embedded], largest: bool, gate: Option<Gate>) -> Result<Embedded, Error> {
    if found.len() > 1 && !largest {
        let sentence = format!(
            "{} faces are in the picture and only one can be enrolled; cut it out, or say LARGEST",
            found.len()
        );
        return Err(Error::new(Word::ManyFaces, sentence));
    }
    let area = |embedded: &&Embedded| embedded.face.as_ref().map_or(0.0, |face| face.place.area());
    let chosen = found.iter().max_by(|a, b| area(a).total_cmp(&area(b)));
    let Some(chosen) = chosen else {
        return Err(Error::new(Word::NoFace, "no face is in the picture"));
    };
    if let (Some(gate), Some(face)) = (gate, &chosen.face) {
        let Some(quality) = &face.quality else {
            let sentence = "eyes and mouth cannot be told apart; take a photo from the front";
            return Err(Error::new(Word::LowQuality, sentence));
        };
        gate.check(quality).map_err(|flaw| Error::new(Word::LowQuality, flaw.to_string()))?;
    }
    Ok(chosen.clone())
}

/// A warning if the face is nearer to another subject than to its own; of somebody new, if it would
/// be taken for another.
pub fn warning(
    ctx: &Context,
    call: &Call,
    subject: &[u8],
    best: &Match,
) -> Result<Option<String>, Error> {
    still(ctx, call, |held| {
        let gallery = held.gallery();
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

/// Has an enrolment written as soon as that may be done.
pub fn write_soon(call: CallId) {
    WAITING.with_borrow_mut(|waiting| waiting.push_back(call));
    write_after(0);
}

fn write_after(milliseconds: i64) {
    if !WILL_WRITE.replace(true) {
        main_thread::run_after(milliseconds, write_all);
    }
}

fn write_all(ctx: &Context) {
    WILL_WRITE.set(false);
    for _ in 0..WRITES_A_TURN {
        if WAITING.with_borrow(VecDeque::is_empty) {
            return;
        }
        if main_thread::forbids_writes(ctx) {
            write_after(RETRY_MILLISECONDS);
            return;
        }
        let next = WAITING.with_borrow_mut(VecDeque::pop_front);
        // None: its client has gone, or its time is over, and nothing is enrolled.
        let Some(open) = next.and_then(calls::take) else { continue };
        let written = guard("an enrolment", Err(panicked()), || write(ctx, &open));
        open.waiter.client.unblock(written.unwrap_or_else(Reply::Error));
    }
    write_after(0);
}

fn panicked() -> Error {
    Error::new(Word::Failed, "the enrolment panicked; the server's log has more")
}

fn write(ctx: &Context, open: &Open) -> Result<Reply, Error> {
    let call = &*open.call;
    let (Purpose::Enrol { subject, .. }, Some(embedded)) = (&call.purpose, open.found.first())
    else {
        return Err(Error::new(Word::Failed, "there is nothing to enrol"));
    };
    if !ctx.get_flags().contains(ContextFlags::MASTER) {
        return Err(stale("this server is no master any more; ask the new one"));
    }
    if !cache::has_memory_left(ctx) {
        return Err(Error::new(Word::Oom, "used memory is above maxmemory; nothing was enrolled"));
    }
    match still(ctx, call, |_| Ok(())) {
        Err(error) if error.word == Word::NoGallery => request::select_db(ctx, call.db),
        other => other?,
    }
    let vector = UnitVector::new(&embedded.values)?.to_bytes();
    let space = call.binding.space.to_string();
    let arguments: [&[u8]; 8] = [
        &call.key,
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
    let reply = reply.map_err(|error| refusal(&error.to_utf8_string().unwrap_or_default()))?;
    let quality = embedded.face.as_ref().and_then(|face: &Face| face.quality);
    Ok(enrolled(subject, sample_of(&reply)?, quality, open.warning.clone()))
}

/// The reply of `IMAGE.ENROLL`.
pub fn enrolled(
    subject: &[u8],
    sample: i64,
    quality: Option<Quality>,
    warning: Option<String>,
) -> Reply {
    let quality = quality.map(|Quality { size, sharpness, pose }| {
        Tree::Map(vec![
            ("size", Tree::Decimal(size)),
            ("sharpness", Tree::Decimal(sharpness)),
            ("yaw", Tree::Decimal(pose.yaw)),
            ("pitch", Tree::Decimal(pose.pitch)),
            ("roll", Tree::Decimal(pose.roll)),
        ])
    });
    Reply::Tree(Tree::Map(vec![
        ("sample", Tree::Number(sample)),
        ("subject", Tree::text(subject)),
        ("quality", quality.unwrap_or(Tree::Nil)),
        ("warning", warning.map_or(Tree::Nil, Tree::text)),
    ]))
}

/// The id in the reply of the command itself, whose first entry it is.
fn sample_of(reply: &CallReply) -> Result<i64, Error> {
    if let CallReply::Array(entries) = reply
        && let Some(Ok(CallReply::I64(sample))) = entries.get(1)
    {
        return Ok(sample.to_i64());
    }
    Err(Error::new(Word::Failed, "the server gave no sample id"))
}

/// What the server refused, its first word kept where it is ours.
fn refusal(text: &str) -> Error {
    let (word, sentence) = text.split_once(' ').unwrap_or(("ERR", text));
    let words = [
        Word::Stale,
        Word::WrongType,
        Word::Oom,
        Word::NoModel,
        Word::NoReplicas,
        Word::MisConf,
        Word::ReadOnly,
    ];
    match words.into_iter().find(|known| known.as_str() == word) {
        Some(word) => Error::new(word, sentence),
        None if text.contains("non local") => {
            stale("the gallery's slot is on another node now; ask again")
        }
        None => Error::new(Word::Err, sentence),
    }
}
