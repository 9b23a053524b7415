//! Writes that wait for their turn, as a plain queue: first in, first out, bounded, each given out once.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use redis_module::Context;

use crate::digest::Digest;
use crate::ids::{CallId, RequestId};
use crate::in_flight::DbKey;
use crate::models::ServedModel;

/// What the end of a request does to its key: a result is stored, or a failure announced.
pub struct ResultWrite {
    pub key: Rc<DbKey>,
    /// The newest request that asked for it.
    pub request: RequestId,
    pub model: Arc<ServedModel>,
    pub digest: Option<Digest>,
    pub ttl: Option<Duration>,
    /// The result to be stored; none: the failure is to be announced.
    pub result: Option<Arc<str>>,
}

/// Something to be written where writes are allowed.
pub enum PendingWrite {
    Result(ResultWrite),
    /// The enrolment of a pending call to a gallery, which `write` writes and answers.
    Enrolment {
        call: CallId,
        write: fn(&Context, CallId),
    },
}

/// The queue.
#[derive(Default)]
pub struct WriteQueue {
    waiting: VecDeque<PendingWrite>,
    /// How many of the results that wait belong to each key: most look-ups need not search the queue.
    results: HashMap<Rc<DbKey>, usize>,
    result_count: usize,
}

impl WriteQueue {
    /// The most results that wait. Enrolments are bounded by `image.queue-memory`.
    pub const MAX_RESULTS: usize = 16_384;

    /// Adds a write, or gives it back if too many results wait.
    pub fn push(&mut self, write: PendingWrite) -> Result<(), PendingWrite> {
        if let PendingWrite::Result(result) = &write {
            if self.result_count >= Self::MAX_RESULTS {
                return Err(write);
            }
            self.result_count += 1;
            *self.results.entry(result.key.clone()).or_default() += 1;
        }
        self.waiting.push_back(write);
        Ok(())
    }

    /// Takes the oldest write.
    pub fn pop(&mut self) -> Option<PendingWrite> {
        let write = self.waiting.pop_front()?;
        if let PendingWrite::Result(result) = &write {
            self.result_count -= 1;
            if let Some(count) = self.results.get_mut(&result.key) {
                *count -= 1;
                if *count == 0 {
                    self.results.remove(&result.key);
                }
            }
        }
        Some(write)
    }

    /// Takes all results. Enrolments stay: their clients are told when their turn comes.
    pub fn take_results(&mut self) -> Vec<ResultWrite> {
        self.results.clear();
        self.result_count = 0;
        let mut results = Vec::new();
        for write in std::mem::take(&mut self.waiting) {
            match write {
                PendingWrite::Result(result) => results.push(result),
                enrolment => self.waiting.push_back(enrolment),
            }
        }
        results
    }

    /// The newest result of a model that waits for a key, and of that picture if one is named.
    pub fn newest_result(
        &self,
        key: &DbKey,
        model: &ServedModel,
        digest: Option<Digest>,
    ) -> Option<&ResultWrite> {
        if !self.results.contains_key(key) {
            return None;
        }
        let fits = |write: &ResultWrite| {
            *write.key == *key
                && write.model.id == model.id
                && (digest.is_none() || write.digest == digest)
                && write.result.is_some()
        };
        let results = self.waiting.iter().filter_map(|write| match write {
            PendingWrite::Result(result) => Some(result),
            PendingWrite::Enrolment { .. } => None,
        });
        results.filter(|write| fits(write)).max_by_key(|write| write.request)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The results that wait.
    pub fn result_count(&self) -> usize {
        self.result_count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::two_for_tests;

    #[derive(Debug, Clone)]
    enum Event {
        Result { key: u8, model: usize, picture: u8, failed: bool },
        Enrolment,
        Pop,
        TakeResults,
        Newest { key: u8, model: usize, picture: Option<u8> },
    }

    fn event() -> impl Strategy<Value = Event> {
        let (keys, models, pictures) = (0..3u8, 0..2usize, 0..3u8);
        let result = (keys.clone(), models.clone(), pictures.clone(), any::<bool>()).prop_map(
            |(key, model, picture, failed)| Event::Result { key, model, picture, failed },
        );
        let newest = (keys, models, prop::option::of(pictures))
            .prop_map(|(key, model, picture)| Event::Newest { key, model, picture });
        prop_oneof![
            5 => result,
            2 => Just(Event::Enrolment),
            4 => Just(Event::Pop),
            1 => Just(Event::TakeResults),
            3 => newest,
        ]
    }

    fn nothing(_: &Context, _: CallId) {}

    fn key(number: u8) -> Rc<DbKey> {
        Rc::new(DbKey { db: 0, name: vec![number] })
    }

    /// Key, model and picture of a result, and whether it is the announcement of a failure.
    type Described = (u8, usize, u8, bool);

    /// The number of a write, which the test gave as the request's or the call's.
    fn number_of(write: &PendingWrite) -> u64 {
        match write {
            PendingWrite::Result(result) => result.request.0,
            PendingWrite::Enrolment { call, .. } => call.0,
        }
    }

    proptest! {
        #[test]
        fn writes_come_out_once_in_order_and_the_newest_result_is_found(
            events in prop::collection::vec(event(), 0..150),
        ) {
            thread_local! {
                static MODELS: [Arc<ServedModel>; 2] = two_for_tests();
            }
            let models = MODELS.with(Clone::clone);
            let mut queue = WriteQueue::default();
            let mut waiting: VecDeque<(u64, Option<Described>)> = VecDeque::new();
            for (number, event) in (1..).zip(events) {
                match event {
                    Event::Result { key: name, model, picture, failed } => {
                        let write = ResultWrite {
                            key: key(name),
                            request: RequestId(number),
                            model: models[model].clone(),
                            digest: Some(Digest::of(&[picture])),
                            ttl: None,
                            result: (!failed).then(|| Arc::from("{}")),
                        };
                        prop_assert!(queue.push(PendingWrite::Result(write)).is_ok());
                        waiting.push_back((number, Some((name, model, picture, failed))));
                    }
                    Event::Enrolment => {
                        let write = PendingWrite::Enrolment { call: CallId(number), write: nothing };
                        prop_assert!(queue.push(write).is_ok());
                        waiting.push_back((number, None));
                    }
                    Event::Pop => {
                        let popped = queue.pop().map(|write| number_of(&write));
                        prop_assert_eq!(popped, waiting.pop_front().map(|(number, _)| number));
                    }
                    Event::TakeResults => {
                        let taken: Vec<u64> =
                            queue.take_results().iter().map(|write| write.request.0).collect();
                        let results = waiting.iter().filter(|(_, result)| result.is_some());
                        let expected: Vec<u64> = results.map(|(number, _)| *number).collect();
                        prop_assert_eq!(taken, expected);
                        waiting.retain(|(_, result)| result.is_none());
                    }
                    Event::Newest { key: name, model, picture } => {
                        let digest = picture.map(|picture| Digest::of(&[picture]));
                        let found = queue.newest_result(&key(name), &models[model], digest);
                        let fits = |result: Described| {
                            let (other_name, other_model, other_picture, failed) = result;
                            let same_picture = picture.is_none_or(|picture| picture == other_picture);
                            name == other_name && model == other_model && same_picture && !failed
                        };
                        let expected =
                            waiting.iter().rev().find(|(_, result)| result.is_some_and(fits));
                        prop_assert_eq!(
                            found.map(|write| write.request.0),
                            expected.map(|(number, _)| *number)
                        );
                    }
                }
                let results = waiting.iter().filter(|(_, result)| result.is_some()).count();
                prop_assert_eq!(queue.result_count(), results);
                prop_assert_eq!(queue.is_empty(), waiting.is_empty());
            }
        }
    }

    #[test]
    fn beyond_its_bound_the_queue_gives_results_back_and_takes_enrolments() {
        let [model, _] = two_for_tests();
        let result = |number| {
            PendingWrite::Result(ResultWrite {
                key: key(0),
                request: RequestId(number),
                model: model.clone(),
                digest: None,
                ttl: None,
                result: None,
            })
        };
        let mut queue = WriteQueue::default();
        for number in 0..WriteQueue::MAX_RESULTS as u64 {
            assert!(queue.push(result(number)).is_ok());
        }
        assert!(queue.push(result(0)).is_err());
        assert!(queue.push(PendingWrite::Enrolment { call: CallId(1), write: nothing }).is_ok());
        assert!(queue.pop().is_some());
        assert!(queue.push(result(0)).is_ok());
    }
}
