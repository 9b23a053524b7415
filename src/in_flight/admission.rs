//! The door: every request comes in here, with a key or without one, from a command or from the hasher,
//! for a result or for a gallery.
//!
//! [`admit`] has the order that counts: what is known of the picture is told even where the model cannot
//! be loaded or the queue is full; only then comes the model, then the job.

use redis_module::RedisString;

use super::{Request, accept, join_or_enqueue, with};
use crate::digest::Digest;
use crate::error::Error;
use crate::ids::RequestId;
use crate::models::ServedModel;
use crate::server::payload::Payload;
use crate::workers::queue;

/// What became of a request at the door.
pub enum Admission<K, E> {
    /// This is known of its picture already.
    Known(K),
    /// It is under way.
    Entered(E),
}

/// Admits a request whose digest is known: look up, check the model, enter (join a job, or enqueue one).
///
/// # Errors
/// Those of the look-up, `NOMODEL` if the model could not be loaded, those of entering.
pub fn admit<K, E>(
    model: &ServedModel,
    look_up: impl FnOnce() -> Result<Option<K>, Error>,
    enter: impl FnOnce() -> Result<E, Error>,
) -> Result<Admission<K, E>, Error> {
    if let Some(known) = look_up()? {
        return Ok(Admission::Known(known));
    }
    model.check_loaded()?;
    enter().map(Admission::Entered)
}

/// Takes up a request of a command: with its digest the request joins a job or is queued, without one
/// its payload is hashed first.
///
/// # Errors
/// `QUEUEFULL`. Nothing of the request is left then.
pub fn take_up(
    request: Request,
    payload: &RedisString,
    digest: Option<Digest>,
) -> Result<RequestId, Error> {
    let client_comes = !request.wanted;
    let id = accept(request, payload.as_slice().len())?;
    match digest {
        Some(digest) => join_or_enqueue(id, digest, Payload::hold(payload), client_comes)
            .inspect_err(|_| with(|in_flight| in_flight.forget(id)))?,
        None => queue::push_hash(id, Payload::hold(payload)),
    }
    Ok(id)
}
