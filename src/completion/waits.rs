//! Answers clients that wait for keys (`IMAGE.GET … WAIT`, `IMAGE.WAIT`) as soon as there is something
//! to tell.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use redis_module::Context;

use crate::digest::Digest;
use crate::in_flight::{self, Awaited, DbKey, KeyState, Observer, ReplyForm, Wait};
use crate::models::ServedModel;
use crate::reply::Reply;
use crate::results::lookup;
use crate::server::keyspace::Look;
use crate::server::{guard, main_thread};

thread_local! {
    /// Whether a timer will answer the waits that have been awakened.
    static WILL_ANSWER: Cell<bool> = const { Cell::new(false) };
}

/// What is known of a key now: the newest request that is under way for it, or what there is.
pub fn state_of(
    ctx: &Context,
    key: Rc<DbKey>,
    look: Look,
    model: &Arc<ServedModel>,
    digest: Option<Digest>,
) -> Awaited {
    let newest = in_flight::with(|in_flight| in_flight.newest_on(&key, model, digest));
    let state = match newest {
        Some(request) => KeyState::Pending(request),
        None => KeyState::Ended(
            lookup::known(ctx, &key, look, model, digest).unwrap_or_else(Reply::Error),
        ),
    };
    Awaited { key, digest, state }
}

/// Tells those who observed a request what became of it.
pub fn tell(observers: &[Observer], ended: impl Fn() -> Reply) {
    in_flight::with(|in_flight| in_flight.awaken(observers, Some(&ended)));
    answer_soon();
}

/// Has the waits answered that have been awakened, at the end of this turn of the event loop: what
/// ends in the same turn is told together.
pub fn answer_soon() {
    let has_awakened = in_flight::with(|in_flight| in_flight.has_awakened());
    if has_awakened && !WILL_ANSWER.replace(true) {
        main_thread::run_after(0, answer_awakened);
    }
}

fn answer_awakened(ctx: &Context) {
    WILL_ANSWER.set(false);
    while let Some(wait) = in_flight::with(|in_flight| in_flight.take_awakened()) {
        guard("the end of a wait", (), || answer_or_wait_on(ctx, wait));
    }
}

fn answer_or_wait_on(ctx: &Context, mut wait: Wait) {
    for awaited in &mut wait.keys {
        if matches!(awaited.state, KeyState::Unsure) {
            let key = awaited.key.clone();
            *awaited = state_of(ctx, key, Look::Again, &wait.model, awaited.digest);
        }
    }
    if has_ended(&wait.keys) {
        let Wait { client, form, keys, .. } = wait;
        client.unblock(states_reply(form, keys));
    } else {
        in_flight::with(|in_flight| in_flight.wait_for(wait));
    }
}

/// Whether there is something to tell of at least one key.
pub fn has_ended(keys: &[Awaited]) -> bool {
    keys.iter().any(|key| matches!(key.state, KeyState::Ended(_)))
}

/// What the client is told now.
pub fn states_reply(form: ReplyForm, keys: Vec<Awaited>) -> Reply {
    let mut states = keys.into_iter().map(|key| key.state);
    match form {
        ReplyForm::List => Reply::List(states.map(state_and_text).collect()),
        ReplyForm::Single => match states.next() {
            Some(KeyState::Ended(reply)) => reply,
            Some(KeyState::Pending(_) | KeyState::Unsure) | None => Reply::Nil,
        },
    }
}

/// A word for the state, and its text. An error is text here: client libraries differ in what they make
/// of error replies inside a list.
fn state_and_text(state: KeyState) -> Reply {
    let (word, text) = match state {
        KeyState::Pending(_) | KeyState::Unsure => ("pending", Reply::Nil),
        KeyState::Ended(Reply::Error(error)) => ("error", Reply::bytes(error.to_string())),
        KeyState::Ended(Reply::Nil) => ("unknown", Reply::Nil),
        KeyState::Ended(result) => ("result", result),
    };
    Reply::List(vec![Reply::bytes(word), text])
}
