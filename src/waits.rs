//! Answers clients that wait for keys (`IMAGE.GET … WAIT`, `IMAGE.WAIT`) as soon as there is something
//! to tell.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use redis_module::Context;

use crate::digest::Digest;
use crate::in_flight::{self, Awaited, Form, Observer, Place, State, Wait};
use crate::lookup;
use crate::models::ServedModel;
use crate::reply::{KeyState, Reply};
use crate::server::keyspace::Look;
use crate::server::{guard, main_thread};

thread_local! {
    /// Whether a timer will answer the waits that have been awakened.
    static WILL_ANSWER: Cell<bool> = const { Cell::new(false) };
}

/// What is known of a key now: the newest request that is under way for it, or what there is.
pub fn state_of(
    ctx: &Context,
    place: Rc<Place>,
    look: Look,
    model: &Arc<ServedModel>,
    digest: Option<Digest>,
) -> Awaited {
    let newest = in_flight::with(|in_flight| in_flight.newest_on(&place, model, digest));
    let state = match newest {
        Some(request) => State::Pending(request),
        None => State::Ended(
            lookup::known(ctx, &place, look, model, digest).unwrap_or_else(Reply::Error),
        ),
    };
    Awaited { place, digest, state }
}

/// A request is over: tells those who observed it.
pub fn tell(observers: &[Observer], ended: impl Fn() -> Reply) {
    in_flight::with(|in_flight| in_flight.awaken(observers, Some(&ended)));
    answer_soon();
}

/// Has the waits answered that have been awakened, at the end of this turn of the event loop: what
/// ends in the same turn is told together.
pub fn answer_soon() {
    if in_flight::with(|in_flight| in_flight.has_awakened()) && !WILL_ANSWER.replace(true) {
        main_thread::run_after(0, answer_awakened);
    }
}

fn answer_awakened(ctx: &Context) {
    WILL_ANSWER.set(false);
    while let Some(wait) = in_flight::with(|in_flight| in_flight.take_awakened()) {
        guard("the end of a wait", (), || answer(ctx, wait));
    }
}

fn answer(ctx: &Context, mut wait: Wait) {
    for key in &mut wait.keys {
        if matches!(key.state, State::Unsure) {
            *key = state_of(ctx, key.place.clone(), Look::Again, &wait.model, key.digest);
        }
    }
    if has_ended(&wait.keys) {
        let Wait { client, form, keys, .. } = wait;
        client.unblock(reply(form, keys));
    } else {
        in_flight::with(|in_flight| in_flight.wait_for(wait));
    }
}

/// Whether there is something to tell of at least one key.
pub fn has_ended(keys: &[Awaited]) -> bool {
    keys.iter().any(|key| matches!(key.state, State::Ended(_)))
}

/// What the client is told now.
pub fn reply(form: Form, keys: Vec<Awaited>) -> Reply {
    let mut states = keys.into_iter().map(|key| match key.state {
        State::Ended(reply) => KeyState::Ended(reply),
        State::Pending(_) | State::Unsure => KeyState::Pending,
    });
    match form {
        Form::List => Reply::Keys(states.collect()),
        Form::Single => match states.next() {
            Some(KeyState::Ended(reply)) => reply,
            Some(KeyState::Pending) | None => Reply::Nil,
        },
    }
}
