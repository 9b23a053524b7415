//! Single flight as a plain state machine: requests, and the jobs that they share. Nothing here calls
//! the server, a thread or a lock; what waits is any `C`, so that tests need no server.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::db_key::DbKey;
use super::gallery_call::GalleryCall;
use super::history::Histories;
use super::request::{REQUEST_BYTES, Request, Target, Waiter};
use super::wait::{Wait, WaitId};
use crate::digest::Digest;
use crate::error::{Error, ErrorCode};
use crate::ids::{JobId, RequestId};
use crate::models::{ModelId, ServedModel};
use crate::server::blocked::ClientId;

/// Something that waits for a reply.
pub trait WaitingClient {
    fn id(&self) -> ClientId;
}

/// What makes two requests the same job. A reloaded model is another one.
type JobKey = (Digest, ModelId);

struct Job {
    key: JobKey,
    requests: VecDeque<RequestId>,
}

/// What became of a request that needs a recognition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flight {
    /// It shares a job that is under way already.
    Joined,
    /// It begins this job, which is now to be queued.
    Begun(JobId),
}

/// A client that waits no longer.
pub enum Departed<C> {
    Requester(Waiter<C>),
    Observer(Wait<C>),
}

impl<C> Departed<C> {
    pub fn client(self) -> C {
        match self {
            Departed::Requester(waiter) => waiter.client,
            Departed::Observer(wait) => wait.client,
        }
    }
}

/// What a client waits for.
#[derive(Clone, Copy)]
pub(super) enum Awaits {
    /// The request that it sent.
    Own(RequestId),
    /// Requests of others.
    Others(WaitId),
}

/// All that is under way.
pub struct SingleFlight<C> {
    pub(super) last: u64,
    pub(super) requests: HashMap<RequestId, Request<C>>,
    jobs: HashMap<JobId, Job>,
    job_ids: HashMap<JobKey, JobId>,
    pub histories: Histories,
    pub(super) waits: HashMap<WaitId, Wait<C>>,
    /// Waits that have something to tell.
    pub(super) awakened: Vec<WaitId>,
    pub(super) clients: HashMap<ClientId, Awaits>,
    pub(super) bytes: usize,
}

impl<C> Default for SingleFlight<C> {
    fn default() -> SingleFlight<C> {
        SingleFlight {
            last: 0,
            requests: HashMap::new(),
            jobs: HashMap::new(),
            job_ids: HashMap::new(),
            histories: Histories::default(),
            waits: HashMap::new(),
            awakened: Vec::new(),
            clients: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<C: WaitingClient> SingleFlight<C> {
    /// Takes up a request, with the bytes of its payload.
    ///
    /// # Errors
    /// `QUEUEFULL` if more than `limit` bytes would wait.
    pub fn accept(
        &mut self,
        request: Request<C>,
        payload_bytes: usize,
        limit: usize,
    ) -> Result<RequestId, Error> {
        let key_bytes = request.key().map_or(0, |key| key.name.len());
        let own_bytes = REQUEST_BYTES + key_bytes;
        let bytes = payload_bytes + own_bytes;
        self.check_room(bytes, limit)?;
        let id = self.next_id();
        if let Some(key) = request.key().cloned() {
            self.histories.begin(key, id);
        }
        self.bytes += bytes;
        self.requests.insert(id, Request { payload_bytes, own_bytes, ..request });
        Ok(id)
    }

    /// `QUEUEFULL` if so many bytes more would exceed the limit.
    pub fn check_room(&self, bytes: usize, limit: usize) -> Result<(), Error> {
        if self.bytes + bytes <= limit {
            return Ok(());
        }
        let advice = if bytes > limit { "that can never fit" } else { "try again later" };
        Err(Error::new(
            ErrorCode::QueueFull,
            format!(
                "{} bytes wait and {bytes} more would exceed {limit} (image.queue-memory, or a tenth of maxmemory): {advice}",
                self.bytes
            ),
        ))
    }

    /// Counts bytes that wait for something else than a recognition.
    pub fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Counts them no longer.
    pub fn remove_bytes(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// A number for something that happens now: all numbers given out before are smaller.
    pub fn next_id(&mut self) -> RequestId {
        self.last += 1;
        RequestId(self.last)
    }

    /// The newest job that can be under way.
    pub fn last_job(&self) -> JobId {
        JobId(RequestId(self.last))
    }

    /// Gives a request of `IMAGE.RECOGNIZE_AUTO` the key that its digest determines.
    pub fn set_key(&mut self, id: RequestId, key: Rc<DbKey>) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.target = Target::Key(key.clone());
            self.histories.begin(key, id);
        }
    }

    pub fn get(&self, id: RequestId) -> Option<&Request<C>> {
        self.requests.get(&id)
    }

    /// Notes the digest of a request. A wait for another picture is awakened, to look again.
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
    pub fn attach_requester(&mut self, id: RequestId, waiter: Waiter<C>) {
        self.clients.insert(waiter.client.id(), Awaits::Own(id));
        if let Some(request) = self.requests.get_mut(&id) {
            request.requester = Some(waiter);
        }
    }

    /// The newest request for that key and model, and for that digest if one is named. One that came
    /// before a reload is answered by the model as it was then.
    pub fn newest_on(
        &self,
        key: &DbKey,
        model: &ServedModel,
        digest: Option<Digest>,
    ) -> Option<RequestId> {
        let fits = |id: &RequestId| {
            self.requests.get(id).is_some_and(|request| {
                // Before a request is hashed nobody knows its digest; its end will tell.
                let same = match (digest, request.digest) {
                    (Some(wanted), Some(known)) => wanted == known,
                    _ => true,
                };
                same && request.model.recognizer.name() == model.recognizer.name()
            })
        };
        self.histories.newest_first(key).find(fits)
    }

    /// Gives a request a job: one under way for the same digest and model, or a new one. `client_comes`
    /// says that the request's client is attached afterwards, and holds the payload.
    pub fn join_or_begin(
        &mut self,
        id: RequestId,
        digest: Digest,
        client_comes: bool,
    ) -> Option<Flight> {
        let request = self.requests.get_mut(&id)?;
        request.digest = Some(digest);
        let nobody_holds_payload = request.requester.is_none() && !client_comes;
        let key = (digest, request.model.id);
        if let Some(job_id) = self.job_ids.get(&key)
            && let Some(job) = self.jobs.get_mut(job_id)
        {
            job.requests.push_back(id);
            request.job = Some(*job_id);
            request.joined = true;
            if nobody_holds_payload {
                self.bytes -= std::mem::take(&mut request.payload_bytes);
            }
            return Some(Flight::Joined);
        }
        let job_id = JobId(id);
        request.job = Some(job_id);
        self.job_ids.insert(key, job_id);
        self.jobs.insert(job_id, Job { key, requests: VecDeque::from([id]) });
        Some(Flight::Begun(job_id))
    }

    /// The queue had no room for a job that was just begun: its request has none.
    pub fn undo_begin(&mut self, job: JobId) {
        let Some(Job { key, requests }) = self.jobs.remove(&job) else { return };
        self.job_ids.remove(&key);
        for id in requests {
            if let Some(request) = self.requests.get_mut(&id) {
                request.job = None;
            }
        }
    }

    /// A job has ended: nothing joins it any more. Gives the digest of its picture.
    pub fn end_job(&mut self, id: JobId) -> Option<Digest> {
        let job = self.jobs.get_mut(&id)?;
        self.job_ids.remove(&job.key);
        job.requests.make_contiguous().sort_unstable();
        Some(job.key.0)
    }

    /// Takes some requests of a job that has ended, oldest first, until there are none. The histories
    /// of their keys stay open until [`Histories::close`].
    pub fn take_some(&mut self, id: JobId, count: usize) -> Vec<(RequestId, Request<C>)> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        let count = count.min(job.requests.len());
        let ids: Vec<RequestId> = job.requests.drain(..count).collect();
        if job.requests.is_empty() {
            self.jobs.remove(&id);
        }
        ids.into_iter().filter_map(|id| Some((id, self.take(id)?))).collect()
    }

    /// Takes a request that has ended. Its key's history stays open until [`Histories::close`].
    pub fn take(&mut self, id: RequestId) -> Option<Request<C>> {
        let request = self.requests.remove(&id)?;
        self.bytes -= request.payload_bytes + request.own_bytes;
        if let Some(key) = request.key() {
            self.histories.end(key, id);
        }
        if let Some(waiter) = &request.requester {
            self.clients.remove(&waiter.client.id());
        }
        Some(request)
    }

    /// Forgets a request of which nobody is to be told anything.
    pub fn forget(&mut self, id: RequestId) {
        if let Some(request) = self.take(id)
            && let Some(key) = request.key()
        {
            self.histories.close(key);
        }
    }

    /// Notes that a request made just now found its result stored, and gives its number: what began
    /// earlier for this key is older.
    pub fn note_hit(&mut self, key: &DbKey, model: ModelId, digest: Digest) -> RequestId {
        let id = self.next_id();
        self.histories.note_stored(key, id, digest);
        self.histories.note_success(key, model, id);
        id
    }

    /// What a client that waits here asked of a gallery.
    pub fn gallery_call_of(&self, client: ClientId) -> Option<Rc<GalleryCall>> {
        match self.clients.get(&client)? {
            Awaits::Own(request) => self.requests.get(request)?.gallery_call().cloned(),
            Awaits::Others(_) => None,
        }
    }

    /// A client's time is over: gives it back, with the jobs that nobody wants any more. What the
    /// client waited for goes on, if it is to be stored.
    pub fn timed_out(&mut self, client: ClientId) -> (Option<Departed<C>>, Vec<JobId>) {
        match self.clients.remove(&client) {
            Some(Awaits::Others(wait)) => (self.end_wait(wait).map(Departed::Observer), Vec::new()),
            Some(Awaits::Own(id)) => {
                let Some(request) = self.requests.get_mut(&id) else { return (None, Vec::new()) };
                // It may still be stored; what is not stored is for nobody.
                request.wanted |= request.writes;
                self.take_requester(id)
            }
            None => (None, Vec::new()),
        }
    }

    /// A client has gone: gives it back, with the jobs that nobody wants any more.
    pub fn disconnected(&mut self, client: ClientId) -> (Option<Departed<C>>, Vec<JobId>) {
        match self.clients.remove(&client) {
            Some(Awaits::Others(wait)) => {
                let Some((wait, pending)) = self.abandon_wait(wait) else {
                    return (None, Vec::new());
                };
                let unwanted = pending.into_iter().filter_map(|id| self.unwanted_job(id));
                let unwanted = unwanted.collect();
                (Some(Departed::Observer(wait)), unwanted)
            }
            Some(Awaits::Own(id)) => self.take_requester(id),
            None => (None, Vec::new()),
        }
    }

    fn take_requester(&mut self, id: RequestId) -> (Option<Departed<C>>, Vec<JobId>) {
        let request = self.requests.get_mut(&id);
        let Some(request) = request else { return (None, Vec::new()) };
        let waiter = request.requester.take();
        if request.joined {
            // A client that no longer waits has given its payload back, unless the job reads it.
            self.bytes -= std::mem::take(&mut request.payload_bytes);
        }
        (waiter.map(Departed::Requester), self.unwanted_job(id).into_iter().collect())
    }

    /// The job of a request, if nobody wants any of its requests any more.
    fn unwanted_job(&self, id: RequestId) -> Option<JobId> {
        let job_id = self.requests.get(&id)?.job?;
        let job = self.jobs.get(&job_id)?;
        job.requests.iter().all(|id| self.is_abandoned(*id)).then_some(job_id)
    }

    /// Drops a job that nobody wants and that has not begun, with its requests.
    pub fn drop_job(&mut self, job: JobId) {
        self.end_job(job);
        for (_, request) in self.take_some(job, usize::MAX) {
            if let Some(key) = request.key() {
                self.histories.close(key);
            }
        }
    }

    /// Whether nobody wants a request any more.
    pub fn is_abandoned(&self, id: RequestId) -> bool {
        self.requests.get(&id).is_none_or(Request::is_abandoned)
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    pub fn waiting_clients(&self) -> usize {
        self.clients.len()
    }

    pub fn request_count(&self) -> usize {
        self.requests.len()
    }
}
