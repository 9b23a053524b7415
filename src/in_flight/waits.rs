//! Waits as a part of the state machine: they begin, are awakened, end.

use super::single_flight::{Awaits, SingleFlight, WaitingClient};
use super::wait::{KeyState, Observer, Wait, WaitId};
use crate::digest::Digest;
use crate::ids::RequestId;
use crate::reply::Reply;

impl<C: WaitingClient> SingleFlight<C> {
    /// Lets a client wait for keys, some of which are pending.
    pub fn wait_for(&mut self, wait: Wait<C>) {
        let id = WaitId(self.next_id().0);
        for (position, key) in wait.keys.iter().enumerate() {
            if let KeyState::Pending(request) = key.state
                && let Some(request) = self.requests.get_mut(&request)
            {
                request.observers.push(Observer { wait: id, position });
            }
        }
        self.clients.insert(wait.client.id(), Awaits::Others(id));
        self.bytes += wait.memory();
        self.waits.insert(id, wait);
    }

    pub(super) fn is_misled(&self, observer: &Observer, digest: Digest) -> bool {
        let wait = self.waits.get(&observer.wait);
        let key = wait.and_then(|wait| wait.keys.get(observer.position));
        key.and_then(|key| key.digest).is_some_and(|wanted| wanted != digest)
    }

    /// Tells those who observed a request what became of it; without `ended` each has to look again.
    pub fn awaken(&mut self, observers: &[Observer], ended: Option<&dyn Fn() -> Reply>) {
        for Observer { wait, position } in observers {
            let awaited = self.waits.get_mut(wait).and_then(|wait| wait.keys.get_mut(*position));
            let Some(awaited) = awaited else { continue };
            awaited.state = ended.map_or(KeyState::Unsure, |ended| KeyState::Ended(ended()));
            if !self.awakened.contains(wait) {
                self.awakened.push(*wait);
            }
        }
    }

    pub fn has_awakened(&self) -> bool {
        !self.awakened.is_empty()
    }

    /// Takes a wait that has something to tell.
    pub fn take_awakened(&mut self) -> Option<Wait<C>> {
        while let Some(id) = self.awakened.pop() {
            // None: its client has gone, or its time is over.
            if let Some(wait) = self.end_wait(id) {
                self.clients.remove(&wait.client.id());
                return Some(wait);
            }
        }
        None
    }

    /// Ends a wait whose client is about to be answered: it will ask again for what is pending.
    pub(super) fn end_wait(&mut self, id: WaitId) -> Option<Wait<C>> {
        let wait = self.waits.remove(&id)?;
        for request in self.stop_observing(id, &wait) {
            if let Some(request) = self.requests.get_mut(&request) {
                request.wanted |= request.writes;
            }
        }
        Some(wait)
    }

    /// Ends a wait whose client has gone. Gives the requests that it observed, too.
    pub(super) fn abandon_wait(&mut self, id: WaitId) -> Option<(Wait<C>, Vec<RequestId>)> {
        let wait = self.waits.remove(&id)?;
        let pending = self.stop_observing(id, &wait);
        Some((wait, pending))
    }

    fn stop_observing(&mut self, id: WaitId, wait: &Wait<C>) -> Vec<RequestId> {
        self.bytes -= wait.memory();
        let pending = wait.keys.iter().filter_map(|key| match key.state {
            KeyState::Pending(request) => Some(request),
            KeyState::Ended(_) | KeyState::Unsure => None,
        });
        let pending: Vec<RequestId> = pending.collect();
        for request in &pending {
            if let Some(request) = self.requests.get_mut(request) {
                request.observers.retain(|observer| observer.wait != id);
            }
        }
        pending
    }
}
