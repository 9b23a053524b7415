//! The state machine under arbitrary sequences of events, against a plain model of what must hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::db_key::DbKey;
use super::request::{ReplyOptions, Request, Target, Waiter};
use super::single_flight::{Departed, Flight, SingleFlight, WaitingClient};
use super::wait::{Awaited, KeyState, ReplyForm, Wait};
use crate::digest::Digest;
use crate::ids::{JobId, RequestId};
use crate::models::{ModelId, ServedModel, two_for_tests};
use crate::reply::Reply;
use crate::server::blocked::ClientId;

/// How often each client was answered or let go.
type Ended = Rc<RefCell<BTreeMap<usize, usize>>>;

/// A client that is never answered twice: answering consumes it, and dropping counts.
struct TestClient {
    number: usize,
    ended: Ended,
}

impl WaitingClient for TestClient {
    fn id(&self) -> ClientId {
        ClientId::for_tests(self.number)
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        *self.ended.borrow_mut().entry(self.number).or_default() += 1;
    }
}

const KEYS: u8 = 3;
const PICTURES: u8 = 3;
const QUEUE_LENGTH: usize = 4;
const MEMORY: usize = 20_000;

#[derive(Debug, Clone)]
enum Event {
    /// A request with a small payload: it joins or begins a job at once.
    Request {
        key: u8,
        picture: u8,
        model: usize,
        nowait: bool,
        writes: bool,
        bytes: usize,
    },
    /// A request whose payload is hashed first.
    Large {
        key: u8,
        picture: u8,
        model: usize,
        nowait: bool,
        bytes: usize,
    },
    /// The hasher has finished the oldest of them.
    Hashed,
    /// A worker takes the oldest job.
    Begin,
    /// A worker has finished a job, with a result or without.
    End {
        succeeds: bool,
    },
    /// The main thread ends one request of a finished job, or all of them.
    Answer {
        all: bool,
    },
    /// A client waits for two keys.
    Wait {
        keys: [u8; 2],
        picture: Option<u8>,
        list: bool,
    },
    TimedOut(usize),
    Disconnected(usize),
    /// A write that was put off is done.
    WriteBack,
    /// Writes are paused, or allowed again.
    Pause(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let request = (0..KEYS, 0..PICTURES, 0..2usize, any::<bool>(), any::<bool>(), 1..6000usize)
        .prop_map(|(key, picture, model, nowait, writes, bytes)| {
            // NOWAIT is an option of the commands that store.
            Event::Request { key, picture, model, nowait: nowait && writes, writes, bytes }
        });
    let large = (0..KEYS, 0..PICTURES, 0..2usize, any::<bool>(), 1..6000usize).prop_map(
        |(key, picture, model, nowait, bytes)| Event::Large { key, picture, model, nowait, bytes },
    );
    let wait = ([0..KEYS, 0..KEYS], prop::option::of(0..PICTURES), any::<bool>())
        .prop_map(|(keys, picture, list)| Event::Wait { keys, picture, list });
    prop_oneof![
        6 => request,
        2 => large,
        3 => Just(Event::Hashed),
        4 => Just(Event::Begin),
        4 => any::<bool>().prop_map(|succeeds| Event::End { succeeds }),
        5 => any::<bool>().prop_map(|all| Event::Answer { all }),
        2 => wait,
        1 => (0..60usize).prop_map(Event::TimedOut),
        2 => (0..60usize).prop_map(Event::Disconnected),
        2 => Just(Event::WriteBack),
        1 => any::<bool>().prop_map(Event::Pause),
    ]
}

/// A result on its way to a key.
struct Write {
    key: Rc<DbKey>,
    request: RequestId,
    digest: Digest,
}

/// The machine, and around it what the thin part does, without a server.
struct World {
    machine: SingleFlight<TestClient>,
    models: [Arc<ServedModel>; 2],
    ended: Ended,
    clients: usize,
    queue: VecDeque<JobId>,
    running: VecDeque<JobId>,
    /// Jobs that can be joined: queued or running.
    open: HashMap<JobId, (Digest, ModelId)>,
    /// Jobs that have ended, whose requests wait for their turn.
    finished: VecDeque<(JobId, bool, Option<RequestId>)>,
    hashing: VecDeque<(RequestId, Digest)>,
    paused: bool,
    put_off: VecDeque<Write>,
    /// What each key holds, and whose result it is.
    stored: BTreeMap<Vec<u8>, (RequestId, Digest)>,
    writes: BTreeSet<(Vec<u8>, RequestId)>,
}

fn key(number: u8) -> Rc<DbKey> {
    Rc::new(DbKey { db: 0, name: vec![b'k', number] })
}

fn digest(picture: u8) -> Digest {
    Digest::of(&[picture])
}

impl World {
    fn new(models: [Arc<ServedModel>; 2]) -> World {
        World {
            machine: SingleFlight::default(),
            models,
            ended: Ended::default(),
            clients: 0,
            queue: VecDeque::new(),
            running: VecDeque::new(),
            open: HashMap::new(),
            finished: VecDeque::new(),
            hashing: VecDeque::new(),
            paused: false,
            put_off: VecDeque::new(),
            stored: BTreeMap::new(),
            writes: BTreeSet::new(),
        }
    }

    fn client(&mut self) -> TestClient {
        let number = self.clients;
        self.clients += 1;
        self.ended.borrow_mut().insert(number, 0);
        TestClient { number, ended: self.ended.clone() }
    }

    fn accept(
        &mut self,
        target: u8,
        model: usize,
        nowait: bool,
        writes: bool,
        bytes: usize,
    ) -> Option<RequestId> {
        let model = self.models[model].clone();
        let mut request = Request::new(Target::Key(key(target)), model, writes);
        request.wanted = nowait;
        let client = (!nowait).then(|| self.client());
        // A refused client is answered by its command: it is dropped here.
        let id = self.machine.accept(request, bytes, MEMORY).ok()?;
        if let Some(client) = client {
            let options = ReplyOptions::default();
            let waiter = Waiter { client, options, timeout_ms: 1, since: Instant::now() };
            self.machine.attach_requester(id, waiter);
        }
        Some(id)
    }

    /// False if the queue is full.
    fn enter(&mut self, id: RequestId, digest: Digest) -> Result<bool, TestCaseError> {
        let job_key = self.machine.get(id).map(|request| (digest, request.model.id));
        let can_join = self.open.values().any(|open| Some(*open) == job_key);
        match self.machine.join_or_begin(id, digest, false) {
            Some(Flight::Begun(job)) => {
                prop_assert!(!can_join, "a job for the same picture and model is under way");
                if self.queue.len() == QUEUE_LENGTH {
                    self.machine.undo_begin(job);
                    return Ok(false);
                }
                self.queue.push_back(job);
                self.open.extend(job_key.map(|key| (job, key)));
                Ok(true)
            }
            Some(Flight::Joined) => {
                prop_assert!(can_join, "no such job can be joined any more");
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Request { key, picture, model, nowait, writes, bytes } => {
                if let Some(id) = self.accept(key, model, nowait, writes, bytes)
                    && !self.enter(id, digest(picture))?
                {
                    // The command answers.
                    self.machine.forget(id);
                }
            }
            Event::Large { key, picture, model, nowait, bytes } => {
                if let Some(id) = self.accept(key, model, nowait, true, bytes) {
                    self.hashing.push_back((id, digest(picture)));
                }
            }
            Event::Hashed => {
                let Some((id, digest)) = self.hashing.pop_front() else { return Ok(()) };
                if self.machine.is_abandoned(id) {
                    self.machine.forget(id);
                    return Ok(());
                }
                self.machine.learn_digest(id, digest);
                if !self.enter(id, digest)?
                    && let Some(request) = self.machine.take(id)
                {
                    self.finish(id, request, false)?;
                }
            }
            Event::Begin => {
                if self.running.len() < 2
                    && let Some(job) = self.queue.pop_front()
                {
                    self.running.push_back(job);
                }
            }
            Event::End { succeeds } => {
                let Some(job) = self.running.pop_back() else { return Ok(()) };
                prop_assert!(self.machine.end_job(job).is_some());
                self.open.remove(&job);
                self.finished.push_back((job, succeeds, None));
            }
            Event::Answer { all } => self.answer(all)?,
            Event::Wait { keys, picture, list } => self.wait(keys, picture, list),
            Event::TimedOut(client) => {
                let own = self.machine.requests.iter().find(|(_, request)| {
                    request.requester.as_ref().is_some_and(|waiter| waiter.client.number == client)
                });
                let to_be_stored = own.filter(|(_, request)| request.writes).map(|(id, _)| *id);
                let (departed, unwanted) = self.machine.timed_out(ClientId::for_tests(client));
                self.depart(client, departed, unwanted)?;
                if let Some(id) = to_be_stored {
                    let wanted = self.machine.get(id).is_some_and(|request| request.wanted);
                    prop_assert!(wanted, "its result is still to be stored");
                }
            }
            Event::Disconnected(client) => {
                let (departed, unwanted) = self.machine.disconnected(ClientId::for_tests(client));
                self.depart(client, departed, unwanted)?;
            }
            Event::WriteBack => {
                if !self.paused
                    && let Some(write) = self.put_off.pop_front()
                {
                    self.write(&write)?;
                    self.machine.histories.close(&write.key);
                }
            }
            Event::Pause(paused) => self.paused = paused,
        }
        self.answer_awakened();
        Ok(())
    }

    fn depart(
        &mut self,
        client: usize,
        departed: Option<Departed<TestClient>>,
        unwanted: Vec<JobId>,
    ) -> Result<(), TestCaseError> {
        if let Some(departed) = departed {
            prop_assert_eq!(departed.client().number, client);
        }
        for job in unwanted {
            if let Some(position) = self.queue.iter().position(|queued| *queued == job) {
                self.queue.remove(position);
                self.open.remove(&job);
                self.machine.drop_job(job);
            }
        }
        Ok(())
    }

    /// Ends one request of the oldest finished job, or all of them.
    fn answer(&mut self, all: bool) -> Result<(), TestCaseError> {
        let Some((job, succeeds, mut last)) = self.finished.pop_front() else { return Ok(()) };
        let some = self.machine.take_some(job, if all { usize::MAX } else { 1 });
        if !all && !some.is_empty() {
            let newest = some.last().map(|(id, _)| *id);
            self.finished.push_front((job, succeeds, newest));
        }
        for (id, request) in some {
            prop_assert!(last < Some(id), "requests of a job end in their order");
            last = Some(id);
            self.finish(id, request, succeeds)?;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        id: RequestId,
        request: Request<TestClient>,
        succeeds: bool,
    ) -> Result<(), TestCaseError> {
        let Some(key) = request.key().cloned() else { return Ok(()) };
        if let (true, true, Some(digest)) = (succeeds, request.writes, request.digest) {
            let write = Write { key: key.clone(), request: id, digest };
            if self.paused {
                self.machine.histories.hold_open(&key);
                self.put_off.push_back(write);
            } else {
                self.write(&write)?;
            }
        }
        self.machine.histories.close(&key);
        self.machine.awaken(&request.observers, Some(&|| Reply::Status("done")));
        Ok(())
    }

    fn write(&mut self, write: &Write) -> Result<(), TestCaseError> {
        let Write { key, request, digest } = write;
        if self.machine.histories.is_superseded(key, *request, *digest) {
            return Ok(());
        }
        let fresh = self.writes.insert((key.name.clone(), *request));
        prop_assert!(fresh, "a result was stored twice");
        if let Some((newer, other)) = self.stored.get(&key.name)
            && newer > request
        {
            prop_assert_eq!(other, digest, "an old picture's result over a newer one's");
        }
        let held = self.stored.entry(key.name.clone()).or_insert((*request, *digest));
        if held.0 <= *request {
            *held = (*request, *digest);
        }
        self.machine.histories.note_stored(key, *request, *digest);
        Ok(())
    }

    fn wait(&mut self, keys: [u8; 2], picture: Option<u8>, list: bool) {
        let model = self.models[0].clone();
        let picture = picture.map(digest);
        let awaited = |number: u8| {
            let key = key(number);
            let newest = self.machine.newest_on(&key, &model, picture);
            let state = newest.map_or(KeyState::Ended(Reply::Nil), KeyState::Pending);
            Awaited { key, digest: picture, state }
        };
        let keys: Vec<Awaited> = keys.into_iter().map(awaited).collect();
        if keys.iter().any(|key| matches!(key.state, KeyState::Ended(_))) {
            return;
        }
        let form = if list { ReplyForm::List } else { ReplyForm::Single };
        let client = self.client();
        let since = Instant::now();
        self.machine.wait_for(Wait { client, model, form, keys, timeout_ms: 1, since });
    }

    /// As `completion::waits` does at the end of a turn.
    fn answer_awakened(&mut self) {
        while let Some(mut wait) = self.machine.take_awakened() {
            for awaited in &mut wait.keys {
                if matches!(awaited.state, KeyState::Unsure) {
                    let newest = self.machine.newest_on(&awaited.key, &wait.model, awaited.digest);
                    awaited.state = newest.map_or(KeyState::Ended(Reply::Nil), KeyState::Pending);
                }
            }
            let has_ended = wait.keys.iter().any(|key| matches!(key.state, KeyState::Ended(_)));
            if !has_ended {
                self.machine.wait_for(wait);
            }
        }
    }

    fn check_bounds(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.queue.len() <= QUEUE_LENGTH);
        // Waits are checked by their command; the test's few are small.
        let waits: usize = self.machine.waits.values().map(Wait::memory).sum();
        prop_assert!(self.machine.waiting_bytes() <= MEMORY + waits);
        let requests: usize = self.machine.requests.values().map(Request::memory).sum();
        prop_assert_eq!(
            self.machine.waiting_bytes(),
            requests + waits,
            "the bytes that wait are counted"
        );
        prop_assert!(self.ended.borrow().values().all(|count| *count <= 1), "answered twice");
        for request in self.machine.requests.values() {
            let is_held = request.requester.is_some() || !request.joined;
            prop_assert!(
                is_held || request.payload_bytes == 0,
                "a payload that nobody holds counts"
            );
            let observed = request.observers.iter();
            let mut waits =
                observed.map(|observer| self.machine.waits.contains_key(&observer.wait));
            prop_assert!(waits.all(|exists| exists), "a wait that has ended still observes");
        }
        Ok(())
    }

    /// Everything that is under way comes to its end.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        self.apply(Event::Pause(false))?;
        while !self.hashing.is_empty() {
            self.apply(Event::Hashed)?;
        }
        while !(self.queue.is_empty() && self.running.is_empty()) {
            self.apply(Event::Begin)?;
            self.apply(Event::End { succeeds: true })?;
        }
        while !self.finished.is_empty() {
            self.apply(Event::Answer { all: true })?;
        }
        while !self.put_off.is_empty() {
            self.apply(Event::WriteBack)?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_client_is_answered_once_and_no_old_result_covers_a_newer_one(
        events in prop::collection::vec(event(), 0..120),
    ) {
        thread_local! {
            static MODELS: [Arc<ServedModel>; 2] = two_for_tests();
        }
        let mut world = World::new(MODELS.with(Clone::clone));
        for event in events {
            world.apply(event)?;
            world.check_bounds()?;
        }
        world.drain()?;
        let ended = world.ended.borrow();
        prop_assert!(ended.values().all(|count| *count == 1), "a client was never answered");
        prop_assert_eq!(world.machine.waiting_bytes(), 0);
        prop_assert_eq!(world.machine.request_count(), 0);
        prop_assert_eq!(world.machine.waiting_clients(), 0);
        prop_assert!(world.machine.histories.is_empty(), "the history of a key was never closed");
    }
}
