//! Whose turn it is to be searched for. One batch is searched at a time, on a snapshot taken when its
//! turn comes: however many calls wait, one version of the rows at most is kept for them, and calls
//! whose clients have left cost nothing. Galleries take turns; calls of one gallery go together.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::rc::Rc;

use redis_module::Context;

use super::calls::{self, CallId, Open};
use super::held::ServerSnapshot;
use super::{Turn, answer_or_go_on, take_turn};
use crate::error::{Error, Word};
use crate::in_flight::Place;
use crate::searches::{self, Batch, Search};
use crate::server::guard;

/// The most queries that are searched together: their results wait for the last of them.
const MOST_TOGETHER: usize = 64;

#[derive(Default)]
struct Turns {
    /// Galleries for which calls wait, in the order of their turns.
    galleries: VecDeque<Rc<Place>>,
    /// None of them is empty.
    waiting: HashMap<Rc<Place>, VecDeque<CallId>>,
    /// The thread has a batch, or is about to get one.
    searching: bool,
}

impl Turns {
    fn wait(&mut self, place: Rc<Place>, calls: VecDeque<CallId>) {
        if calls.is_empty() {
            return;
        }
        let waiting = self.waiting.entry(place.clone()).or_default();
        if waiting.is_empty() {
            self.galleries.push_back(place);
        }
        waiting.extend(calls);
    }

    /// The gallery whose turn it is, with its calls; none while a search runs.
    fn next(&mut self) -> Option<(Rc<Place>, VecDeque<CallId>)> {
        if self.searching {
            return None;
        }
        let place = self.galleries.pop_front()?;
        let calls = self.waiting.remove(&place)?;
        self.searching = true;
        Some((place, calls))
    }
}

thread_local! {
    static TURNS: ManuallyDrop<RefCell<Turns>> = ManuallyDrop::new(RefCell::default());
}

fn with<T>(body: impl FnOnce(&mut Turns) -> T) -> T {
    TURNS.with(|turns| body(&mut turns.borrow_mut()))
}

/// Has a call searched for when its turn comes, which may be at once.
pub fn wait(ctx: &Context, open: Open) {
    let place = Rc::new(Place { db: open.call.db, key: open.call.key.clone() });
    let call = calls::put(open);
    with(|turns| turns.wait(place, VecDeque::from([call])));
    go_on(ctx);
}

/// The thread has searched for its batch.
pub fn search_ended() {
    with(|turns| turns.searching = false);
}

/// Gives the thread its next batch if it has none.
pub fn go_on(ctx: &Context) {
    while let Some((place, mut calls)) = with(Turns::next) {
        let batch = guard("a batch of searches", None, || next_batch(ctx, &mut calls));
        with(|turns| {
            turns.wait(place, calls);
            turns.searching = batch.is_some();
        });
        if let Some(batch) = batch {
            searches::begin(batch);
        }
    }
}

/// Takes as many calls as go together. Who turns out to need no search is answered.
fn next_batch(ctx: &Context, calls: &mut VecDeque<CallId>) -> Option<Batch> {
    let mut snapshot: Option<ServerSnapshot> = None;
    let mut searches: Vec<Search> = Vec::new();
    let mut together = 0;
    while let Some(&call) = calls.front() {
        // None: its client has gone, or was told that its time is over.
        let Some(count) = calls::queries(call) else {
            calls.pop_front();
            continue;
        };
        if !searches.is_empty() && together + count > MOST_TOGETHER {
            break;
        }
        calls.pop_front();
        let Some(mut open) = calls::take(call) else { continue };
        let turn = guard("a search", Err(panicked()), || take_turn(ctx, &mut open, &mut snapshot));
        match turn {
            Ok(Turn::Search { queries, question }) => {
                together += queries.len();
                open.searches += 1;
                searches.push(Search { call: calls::put(open), queries, question });
            }
            Ok(Turn::Step(step)) => answer_or_go_on(ctx, open, Ok(step)),
            Err(error) => answer_or_go_on(ctx, open, Err(error)),
        }
    }
    let snapshot = snapshot.filter(|_| !searches.is_empty())?;
    Some(Batch { snapshot, searches })
}

fn panicked() -> Error {
    Error::new(Word::Failed, "the search panicked; the server's log has more")
}
