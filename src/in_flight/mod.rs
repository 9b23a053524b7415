//! What is under way: requests, the jobs they share, the clients that wait for them. The main
//! thread's alone, so without a lock; nothing here calls the server but to hand over clients.
//!
//! A **request** is one accepted `IMAGE.RECOGNIZE`. First its payload may have to be hashed; then,
//! if no result is stored, it belongs to a **job**, together with every other request for the same
//! digest and model. A request ends with its job, even when its own client has left. Numbers of
//! requests grow: of two on one key the larger is the newer.

mod request;
mod waits;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::digest::Digest;
use crate::error::{Error, Word};
use crate::galleries::Call;
use crate::metrics::METRICS;
use crate::models::{ModelId, ServedModel};
use crate::queue::{self, JobId, Work};
use crate::server::blocked::ClientId;
use crate::server::payload::Payload;
use crate::settings;
use request::REQUEST_BYTES;
pub use request::{Place, Request, RequestId, Shape, Target, Waiter};
use waits::WaitId;
pub use waits::{Awaited, Form, Left, Observer, State, Wait};

struct Job {
    key: JobKey,
    requests: VecDeque<RequestId>,
}

/// What makes two requests the same job. A reloaded model is another one.
type JobKey = (Digest, ModelId);

/// What is remembered of a key while something is under way for it.
#[derive(Default)]
struct History {
    /// Requests, and stores that were put off.
    open: usize,
    requests: BTreeSet<RequestId>,
    /// The newest request whose result the key holds.
    newest: Option<(RequestId, Digest)>,
    /// The newest request that ended with a result, for each model.
    succeeded: HashMap<ModelId, RequestId>,
}

#[derive(Default)]
pub struct InFlight {
    last: u64,
    requests: HashMap<RequestId, Request>,
    jobs: HashMap<JobId, Job>,
    job_ids: HashMap<JobKey, JobId>,
    places: HashMap<Rc<Place>, History>,
    waits: HashMap<WaitId, Wait>,
    /// Waits that have something to tell.
    awakened: Vec<WaitId>,
    clients: HashMap<ClientId, Party>,
    bytes: usize,
}

/// What a client waits for.
#[derive(Clone, Copy)]
enum Party {
    /// The request that it sent.
    Request(RequestId),
    /// Requests of others.
    Wait(WaitId),
}

thread_local! {
    /// No destructor is wanted: at the process's end clients and strings are the server's matter.
    static IN_FLIGHT: ManuallyDrop<RefCell<InFlight>> = ManuallyDrop::new(RefCell::default());
}

/// Lends what is under way. Not to be held over a call that may come back here: none of `server`'s
/// functions that unblock clients does.
pub fn with<T>(body: impl FnOnce(&mut InFlight) -> T) -> T {
    IN_FLIGHT.with(|in_flight| body(&mut in_flight.borrow_mut()))
}

impl InFlight {
    /// Takes up a request, with the bytes of its payload.
    pub fn accept(&mut self, request: Request, payload_bytes: usize) -> Result<RequestId, Error> {
        let key_bytes = request.place().map_or(0, |place| place.key.len());
        let own_bytes = REQUEST_BYTES + key_bytes;
        let bytes = payload_bytes + own_bytes;
        self.check_room(bytes)?;
        self.last += 1;
        let id = RequestId(self.last);
        if let Some(place) = request.place().cloned() {
            self.open(id, place);
        }
        self.bytes += bytes;
        self.requests.insert(id, Request { payload_bytes, own_bytes, ..request });
        self.publish();
        Ok(id)
    }

    /// `QUEUEFULL` if so many bytes more are too much.
    pub fn check_room(&self, bytes: usize) -> Result<(), Error> {
        let limit = settings::queue_memory();
        if self.bytes + bytes <= limit {
            return Ok(());
        }
        METRICS.refused.increment();
        let advice = if bytes > limit { "that can never fit" } else { "try again later" };
        Err(Error::new(
            Word::QueueFull,
            format!(
                "{} bytes wait and {bytes} more would exceed {limit} (image.queue-memory, or a tenth of maxmemory): {advice}",
                self.bytes
            ),
        ))
    }

    /// Counts bytes that wait for something else than a recognition.
    pub fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.publish();
    }

    pub fn remove_bytes(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.publish();
    }

    /// The number of the newest request; jobs that are under way have none that is larger.
    pub fn last_number(&self) -> u64 {
        self.last
    }

    fn open(&mut self, id: RequestId, place: Rc<Place>) {
        let history = self.places.entry(place).or_default();
        history.open += 1;
        history.requests.insert(id);
    }

    /// Gives a request of `IMAGE.RECOGNIZE_AUTO` the place that its digest determines.
    pub fn name(&mut self, id: RequestId, place: Rc<Place>) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.target = Target::Named(place.clone());
            self.open(id, place);
        }
    }

    pub fn get(&self, id: RequestId) -> Option<&Request> {
        self.requests.get(&id)
    }

    /// Notes the digest of a request. Who waits for another picture is awakened, to look again.
    pub fn learn_digest(&mut self, id: RequestId, digest: Digest) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.digest = Some(digest);
        let observers = std::mem::take(&mut request.observers);
        let (misled, right): (Vec<_>, Vec<_>) =
            observers.into_iter().partition(|observer| self.is_misled(observer, digest));
        if let Some(request) = self.requests.get_mut(&id) {
            request.observers = right;
        }
        self.awaken(&misled, None);
    }

    /// Lets the request's own client wait for it.
    pub fn attach_asker(&mut self, id: RequestId, waiter: Waiter) {
        self.clients.insert(waiter.client.id(), Party::Request(id));
        if let Some(request) = self.requests.get_mut(&id) {
            request.asker = Some(waiter);
        }
        self.publish();
    }

    /// The newest request on that key for that model, and for that digest if one is named. One that
    /// came before a reload is answered by the model as it was then.
    pub fn newest_on(
        &self,
        place: &Place,
        model: &Arc<ServedModel>,
        digest: Option<Digest>,
    ) -> Option<RequestId> {
        let fits = |id: &&RequestId| {
            self.requests.get(id).is_some_and(|request| {
                // While it is hashed nobody knows; its end will tell.
                let same = match (digest, request.digest) {
                    (Some(wanted), Some(known)) => wanted == known,
                    _ => true,
                };
                same && request.model.recognizer.name() == model.recognizer.name()
            })
        };
        self.places.get(place)?.requests.iter().rev().find(fits).copied()
    }

    /// Gives a request a job: one under way for the same digest and model, or a new one.
    pub fn enqueue(
        &mut self,
        id: RequestId,
        digest: Digest,
        payload: Payload,
    ) -> Result<(), Error> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Err(Error::new(Word::Failed, "the request is not known any more"));
        };
        request.digest = Some(digest);
        let nobody_waits = request.asker.is_none() && request.wanted;
        let key = (digest, request.model.id);
        if let Some(job_id) = self.job_ids.get(&key)
            && let Some(job) = self.jobs.get_mut(job_id)
        {
            job.requests.push_back(id);
            request.job = Some(*job_id);
            request.joined = true;
            request.model.metrics.joined.increment();
            if nobody_waits {
                // NOWAIT: nobody holds this payload any more.
                self.bytes -= std::mem::take(&mut request.payload_bytes);
            }
            self.publish();
            return Ok(());
        }
        let job_id = JobId(id.0);
        let model = request.model.clone();
        let work = Work { job: job_id, model, payload, queued: Instant::now() };
        if queue::push(work).is_err() {
            METRICS.refused.increment();
            let length = settings::queue_length();
            return Err(Error::new(
                Word::QueueFull,
                format!("{length} jobs wait already (image.queue-length); try again later"),
            ));
        }
        request.job = Some(job_id);
        self.job_ids.insert(key, job_id);
        self.jobs.insert(job_id, Job { key, requests: VecDeque::from([id]) });
        Ok(())
    }

    /// A job has ended: nothing joins it any more. Gives the digest of its picture.
    pub fn end_job(&mut self, id: JobId) -> Option<Digest> {
        let job = self.jobs.get_mut(&id)?;
        self.job_ids.remove(&job.key);
        job.requests.make_contiguous().sort_unstable();
        Some(job.key.0)
    }

    /// Takes some requests of a job that has ended, oldest first, until there are none. Their places
    /// stay open until [`InFlight::close`].
    pub fn take_some(&mut self, id: JobId, count: usize) -> Vec<(RequestId, Request)> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        let count = count.min(job.requests.len());
        let ids: Vec<RequestId> = job.requests.drain(..count).collect();
        if job.requests.is_empty() {
            self.jobs.remove(&id);
        }
        ids.into_iter().filter_map(|id| Some((id, self.take(id)?))).collect()
    }

    /// Takes a request that has ended. Its place stays open until [`InFlight::close`].
    pub fn take(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.bytes -= request.payload_bytes + request.own_bytes;
        if let Some(place) = request.place()
            && let Some(history) = self.places.get_mut(place)
        {
            history.requests.remove(&id);
        }
        if let Some(waiter) = &request.asker {
            self.clients.remove(&waiter.client.id());
        }
        self.publish();
        Some(request)
    }

    /// Keeps a place open for a store that was put off.
    pub fn hold_open(&mut self, place: &Rc<Place>) {
        self.places.entry(place.clone()).or_default().open += 1;
    }

    /// Says that nothing more will happen at the place on behalf of one request.
    pub fn close(&mut self, place: &Place) {
        let Some(history) = self.places.get_mut(place) else { return };
        history.open = history.open.saturating_sub(1);
        if history.open == 0 {
            self.places.remove(place);
        }
    }

    /// Whether the key holds the result of a newer request for another picture.
    pub fn is_superseded(&self, place: &Place, id: RequestId, digest: Digest) -> bool {
        let newest = self.places.get(place).and_then(|history| history.newest);
        newest.is_some_and(|(newer, other)| newer > id && other != digest)
    }

    /// Notes whose result the key holds now.
    pub fn note_stored(&mut self, place: &Place, id: RequestId, digest: Digest) {
        if let Some(history) = self.places.get_mut(place) {
            let newer = history.newest.is_some_and(|(other, _)| other > id);
            if !newer {
                history.newest = Some((id, digest));
            }
        }
    }

    /// Notes that a request made just now found its result stored, and gives its number: what began
    /// earlier on this key is older.
    pub fn note_hit(
        &mut self,
        place: &Place,
        model: &Arc<ServedModel>,
        digest: Digest,
    ) -> RequestId {
        self.last += 1;
        let id = RequestId(self.last);
        if !self.places.is_empty() {
            self.note_stored(place, id, digest);
            self.note_success(place, model, id);
        }
        id
    }

    /// Notes that a request ended with a result, stored or not.
    pub fn note_success(&mut self, place: &Place, model: &Arc<ServedModel>, id: RequestId) {
        if let Some(history) = self.places.get_mut(place) {
            let newest = history.succeeded.entry(model.id).or_insert(id);
            *newest = id.max(*newest);
        }
    }

    /// Whether a newer request on that key has ended with a result.
    pub fn has_newer_success(
        &self,
        place: &Place,
        model: &Arc<ServedModel>,
        id: RequestId,
    ) -> bool {
        let history = self.places.get(place);
        let newest = history.and_then(|history| history.succeeded.get(&model.id));
        newest.is_some_and(|newest| *newest > id)
    }

    /// What a client that waits here asked of a gallery.
    pub fn call_of(&self, id: ClientId) -> Option<Rc<Call>> {
        match self.clients.get(&id)? {
            Party::Request(request) => self.requests.get(request)?.call().cloned(),
            Party::Wait(_) => None,
        }
    }

    /// A client's time is over: gives it back. What it waited for goes on.
    pub fn timed_out(&mut self, id: ClientId) -> Option<Left> {
        match self.clients.remove(&id)? {
            Party::Wait(wait) => self.end_wait(wait).map(Left::Wait),
            Party::Request(request_id) => {
                let request = self.requests.get_mut(&request_id)?;
                let waiter = request.asker.take()?;
                // It may still be stored; what is not stored is for nobody.
                request.wanted = request.writes;
                self.let_go(request_id);
                Some(Left::Asker(waiter))
            }
        }
    }

    /// A client has gone: gives it back. What nobody wants any more is dropped, if it has not begun.
    pub fn disconnected(&mut self, id: ClientId) -> Option<Left> {
        match self.clients.remove(&id)? {
            Party::Wait(wait) => self.abandon_wait(wait).map(Left::Wait),
            Party::Request(request_id) => {
                let waiter = self.requests.get_mut(&request_id)?.asker.take()?;
                self.let_go(request_id);
                Some(Left::Asker(waiter))
            }
        }
    }

    /// After a request has lost a client.
    fn let_go(&mut self, id: RequestId) {
        self.release_joined(id);
        self.drop_if_abandoned(id);
        self.publish();
    }

    /// A client that does not wait any more has given its payload back, unless the job reads it.
    fn release_joined(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get_mut(&id)
            && request.joined
            && request.asker.is_none()
        {
            self.bytes -= std::mem::take(&mut request.payload_bytes);
        }
    }

    fn drop_if_abandoned(&mut self, id: RequestId) {
        let Some(job_id) = self.requests.get(&id).and_then(|request| request.job) else { return };
        let Some(job) = self.jobs.get(&job_id) else { return };
        let abandoned = |id: &RequestId| self.requests.get(id).is_none_or(Request::is_abandoned);
        if !job.requests.iter().all(abandoned) || queue::take_back(job_id).is_none() {
            return;
        }
        METRICS.dropped.increment();
        self.end_job(job_id);
        for (_, request) in self.take_some(job_id, usize::MAX) {
            if let Some(place) = request.place() {
                self.close(place);
            }
        }
    }

    /// Whether nobody wants a request any more; asked before its job begins.
    pub fn is_abandoned(&self, id: RequestId) -> bool {
        self.requests.get(&id).is_none_or(Request::is_abandoned)
    }

    fn publish(&self) {
        METRICS.queue_bytes.store(self.bytes as u64, Relaxed);
        METRICS.waiting_clients.store(self.clients.len() as u64, Relaxed);
        METRICS.requests.store(self.requests.len() as u64, Relaxed);
    }
}
