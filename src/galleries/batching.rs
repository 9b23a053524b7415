//! Searches wait here, one queue per gallery. Galleries take turns, and one batch is searched at a time,
//! on a snapshot taken when its turn comes: however many calls wait, one version of the rows at most is
//! kept alive for them, and calls whose clients have left cost nothing.
//!
//! A plain queue: which calls go into a batch, and what is done with it, is decided in `galleries`.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Calls `C` that wait for galleries `G`.
pub struct Batching<G, C> {
    /// Galleries for which calls wait, in the order of their turns.
    turns: VecDeque<G>,
    /// None of the queues is empty.
    waiting: HashMap<G, VecDeque<C>>,
    /// A batch is being put together, or searched.
    searching: bool,
}

impl<G, C> Default for Batching<G, C> {
    fn default() -> Batching<G, C> {
        Batching { turns: VecDeque::new(), waiting: HashMap::new(), searching: false }
    }
}

impl<G: Clone + Eq + Hash, C> Batching<G, C> {
    /// Adds calls behind those that wait for the same gallery.
    pub fn wait(&mut self, gallery: G, calls: impl IntoIterator<Item = C>) {
        let mut calls = calls.into_iter().peekable();
        if calls.peek().is_none() {
            return;
        }
        let waiting = self.waiting.entry(gallery.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(gallery);
        }
        waiting.extend(calls);
    }

    /// The gallery whose turn has come, with all calls that wait for it; none while a search runs. What
    /// is not searched for now goes back by [`Batching::begun`].
    pub fn next(&mut self) -> Option<(G, VecDeque<C>)> {
        if self.searching {
            return None;
        }
        let gallery = self.turns.pop_front()?;
        let calls = self.waiting.remove(&gallery)?;
        self.searching = true;
        Some((gallery, calls))
    }

    /// After [`Batching::next`]: whether a search runs now, and the calls that did not go into it.
    pub fn begun(&mut self, searching: bool, gallery: G, left: VecDeque<C>) {
        self.searching = searching;
        self.wait(gallery, left);
    }

    /// The search has ended.
    pub fn ended(&mut self) {
        self.searching = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens to the queue: a call comes for a gallery, a batch of so many begins, a search ends.
    #[derive(Debug, Clone)]
    enum Event {
        Call(u8),
        Begin(usize),
        End,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            3 => (0..4u8).prop_map(Event::Call),
            2 => (0..3usize).prop_map(Event::Begin),
            2 => Just(Event::End),
        ];
        prop::collection::vec(event, 0..200)
    }

    proptest! {
        #[test]
        fn every_call_is_searched_for_once_in_order_and_galleries_take_turns(events in events()) {
            let mut batching: Batching<u8, usize> = Batching::default();
            let mut model: Vec<(u8, usize)> = Vec::new();
            let mut turns: VecDeque<u8> = VecDeque::new();
            let mut searching = false;
            for (number, event) in events.into_iter().enumerate() {
                match event {
                    Event::Call(gallery) => {
                        batching.wait(gallery, [number]);
                        model.push((gallery, number));
                        if !turns.contains(&gallery) {
                            turns.push_back(gallery);
                        }
                    }
                    Event::Begin(count) => {
                        let next = batching.next();
                        prop_assert_eq!(next.is_some(), !searching && !model.is_empty());
                        let Some((gallery, mut calls)) = next else { continue };
                        prop_assert_eq!(turns.pop_front(), Some(gallery));
                        let expected: Vec<usize> = model
                            .iter()
                            .filter(|(other, _)| *other == gallery)
                            .map(|(_, call)| *call)
                            .collect();
                        prop_assert_eq!(&Vec::from(calls.clone()), &expected);
                        let taken: Vec<usize> = calls.drain(..count.min(calls.len())).collect();
                        model.retain(|(_, call)| !taken.contains(call));
                        searching = !taken.is_empty();
                        if !calls.is_empty() {
                            turns.push_back(gallery);
                        }
                        batching.begun(searching, gallery, calls);
                    }
                    Event::End => {
                        batching.ended();
                        searching = false;
                    }
                }
            }
        }
    }
}
