//! `IMAGE.MODELS RELOAD`: what is new, changed or gone under `models-path` is taken over without a
//! restart.
//!
//! A thread of its own, at the lowest CPU priority, opens every folder and loads what is not served
//! already; then the main thread takes over all of it at once. A request keeps the model that it
//! found, so jobs under way end with the old one, whose result the client gets and the key does not
//! (`results::write_back`): nobody would be served it. A model of the same version stays the very same, with its
//! graphs and counters; one whose new form cannot be loaded stays, too, and says why.
//!
//! The thread then waits until nobody else holds what was replaced, and frees it: hundreds of
//! megabytes are nothing for the main thread to give back.
//!
//! A second reload is refused while one runs. It cannot join: what its client has changed just now
//! may lie in a folder that the first has passed already.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use recognition::State as ModelState;
use redis_module::Context;

use super::{Entry, Registry, ServedModel};
use crate::error::{Error, ErrorCode};
use crate::metrics::METRICS;
use crate::reply::Reply;
use crate::server::blocked::{Client, ClientId, Waiting};
use crate::server::{log, main_thread, thread};

/// The last of all, whatever `image.nice` says of the workers.
const NICE: i32 = 19;
/// How often the thread looks whether what was replaced is held by nobody else.
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// What became of a model.
pub enum ReloadOutcome {
    /// It is served as before.
    Kept,
    /// It is served, and none of this name was.
    Added,
    /// It is served instead of another version.
    Changed,
    /// Its folder is gone.
    Removed,
    /// What its folder holds cannot be loaded. What was served before still is.
    Failed(String),
}

/// What a reload has found and loaded.
struct Plan {
    entries: Vec<Entry>,
    outcomes: Vec<(String, ReloadOutcome)>,
}

/// What comes back to the main thread.
struct Finished {
    /// Or why nothing is taken over.
    plan: Result<Plan, String>,
    /// Where what was replaced goes.
    retire: Sender<Vec<Arc<ServedModel>>>,
}

struct Progress {
    /// Until the main thread has taken it over.
    running: bool,
    finished: Option<Finished>,
    /// The server is about to end: nothing more is loaded or freed.
    halted: bool,
}

static PROGRESS: Mutex<Progress> =
    Mutex::new(Progress { running: false, finished: None, halted: false });
static LOADED: Condvar = Condvar::new();

thread_local! {
    /// The client that waits for the reload; the main thread's.
    static WAITING: RefCell<Option<Client>> = const { RefCell::new(None) };
}

/// Starts a reload.
pub fn begin() -> Result<(), Error> {
    let refused = |sentence: String| Err(Error::new(ErrorCode::Err, sentence));
    let mut progress = PROGRESS.lock();
    if progress.running {
        return refused(
            "the models are being reloaded already; ask again when that has ended".to_owned(),
        );
    }
    let Some(registry) = super::registry() else {
        return refused("the models are not loaded yet".to_owned());
    };
    progress.halted = false;
    if let Err(error) = thread::spawn("image-models", move || run(registry)) {
        return refused(format!("cannot start a thread: {error}"));
    }
    progress.running = true;
    METRICS.reloading.store(1, Relaxed);
    log::notice("reloading the models");
    Ok(())
}

/// Has the client wait for the reload that was just begun.
pub fn attach(client: Client) {
    WAITING.set(Some(client));
}

/// The server is about to end: the model that is being loaded is the last one.
pub fn halt() {
    PROGRESS.lock().halted = true;
}

/// Waits until nothing is being loaded any more.
pub fn wait_until(deadline: Instant) {
    let mut progress = PROGRESS.lock();
    while progress.running && progress.finished.is_none() {
        if LOADED.wait_until(&mut progress, deadline).timed_out() {
            return;
        }
    }
}

fn run(registry: Registry) {
    // Lower is always allowed.
    let _ = thread::set_nice(NICE);
    let plan = catch_unwind(AssertUnwindSafe(|| plan(&registry)))
        .unwrap_or_else(|_| Err("a panic was caught; the server's log has more".to_owned()));
    drop(registry);
    let (retire, retired) = channel();
    {
        let mut progress = PROGRESS.lock();
        progress.finished = Some(Finished { plan, retire });
        main_thread::run_soon(|_| main_thread::run_after(0, take_over));
    }
    LOADED.notify_all();
    free(retired);
}

fn plan(current: &Registry) -> Result<Plan, String> {
    let folders = super::folders(&current.path)?;
    let mut plan = Plan { entries: Vec::new(), outcomes: Vec::new() };
    for folder in &folders {
        if PROGRESS.lock().halted {
            return Err("the server was about to end".to_owned());
        }
        #[cfg(feature = "test-switches")]
        test_switches::obey(folder);
        let name = super::folder_name(folder);
        let served = current.entries.iter().find(|entry| entry.name == name);
        let (entry, outcome) = examine(folder, served, current);
        plan.entries.push(entry);
        plan.outcomes.push((name, outcome));
    }
    for entry in &current.entries {
        if !plan.entries.iter().any(|other| other.name == entry.name) {
            plan.outcomes.push((entry.name.clone(), ReloadOutcome::Removed));
        }
    }
    Ok(plan)
}

/// What is to be served of a folder, given what is served now.
fn examine(folder: &Path, served: Option<&Entry>, registry: &Registry) -> (Entry, ReloadOutcome) {
    let works = |model: &&Arc<ServedModel>| model.check_loaded().is_ok();
    let old = served.and_then(|entry| entry.model.as_ref().ok()).filter(works);
    let found = super::open_folder(folder, &registry.engines);
    let loaded = match (&found.model, old) {
        (Ok(model), Some(old)) if is_same(model, old) => {
            let kept = Entry { model: Ok(old.clone()), ..found };
            return (kept, ReloadOutcome::Kept);
        }
        (Ok(model), _) => {
            // Who uses a lazy one already would have to wait, or be told that it does not work.
            let in_use =
                old.is_some_and(|old| matches!(old.recognizer.state(), ModelState::Ready { .. }));
            if in_use || !model.recognizer.is_lazy() {
                model.load();
            }
            match model.recognizer.state() {
                ModelState::Failed(reason) => Err(reason.0.clone()),
                ModelState::Waiting | ModelState::Ready { .. } => Ok(()),
            }
        }
        (Err(reason), _) => Err(reason.clone()),
    };
    match (loaded, old) {
        (Ok(()), Some(_)) => (found, ReloadOutcome::Changed),
        (Ok(()), None) => (found, ReloadOutcome::Added),
        (Err(reason), Some(old)) => {
            let model = Ok(old.clone());
            (
                Entry { model, not_taken: Some(reason.clone()), ..found },
                ReloadOutcome::Failed(reason),
            )
        }
        (Err(reason), None) => (found, ReloadOutcome::Failed(reason)),
    }
}

/// The same version, whose thresholds for galleries, which are no part of it, are the same too.
fn is_same(one: &ServedModel, other: &ServedModel) -> bool {
    one.field == other.field && one.recognizer.gallery() == other.recognizer.gallery()
}

/// On the main thread: serves what was loaded, and tells who waits.
fn take_over(_: &Context) {
    let client = WAITING.take();
    let finished = {
        let mut progress = PROGRESS.lock();
        progress.running = false;
        progress.finished.take()
    };
    METRICS.reloading.store(0, Relaxed);
    METRICS.reloads.increment();
    let Some(Finished { plan, retire }) = finished else { return };
    let reply = match plan {
        Ok(Plan { entries, outcomes }) => {
            let before = super::replace(entries);
            let mut replaced: Vec<Arc<ServedModel>> =
                before.into_iter().filter_map(|entry| entry.model.ok()).collect();
            replaced.retain(|model| !super::is_served(model));
            METRICS.replaced_models.fetch_add(replaced.len() as u64, Relaxed);
            // The thread waits for them.
            let _ = retire.send(replaced);
            log::notice(&format!("models reloaded: {}", summary(&outcomes)));
            // The log says so; nothing more is to be done about it.
            let _ = super::check_default();
            describe(outcomes)
        }
        Err(reason) => {
            let sentence = format!("the models are not reloaded: {reason}");
            log::warning(&sentence);
            Reply::Error(Error::new(ErrorCode::Err, sentence))
        }
    };
    if let Some(client) = client {
        client.unblock(reply);
    }
}

fn describe(outcomes: Vec<(String, ReloadOutcome)>) -> Reply {
    let entries = outcomes.into_iter();
    Reply::Map(entries.map(|(name, outcome)| (name.into(), Reply::bytes(outcome.text()))).collect())
}

fn summary(outcomes: &[(String, ReloadOutcome)]) -> String {
    let words: Vec<String> =
        outcomes.iter().map(|(name, outcome)| format!("{name} {}", outcome.text())).collect();
    words.join(", ")
}

impl ReloadOutcome {
    /// As the reply says it.
    fn text(&self) -> String {
        match self {
            ReloadOutcome::Kept => "kept".to_owned(),
            ReloadOutcome::Added => "added".to_owned(),
            ReloadOutcome::Changed => "changed".to_owned(),
            ReloadOutcome::Removed => "removed".to_owned(),
            ReloadOutcome::Failed(reason) => format!("failed: {reason}"),
        }
    }
}

/// Drops what was replaced as soon as nobody else holds it.
fn free(retired: Receiver<Vec<Arc<ServedModel>>>) {
    let Ok(mut retired) = retired.recv() else { return };
    while !retired.is_empty() {
        // At the server's end the engine's library may be gone already.
        if !PROGRESS.lock().halted {
            let before = retired.len();
            retired.retain(|model| Arc::strong_count(model) > 1);
            METRICS.replaced_models.fetch_sub((before - retired.len()) as u64, Relaxed);
        }
        std::thread::sleep(LOOK_AFTER);
    }
}

/// The client of a reload, as the server sees it.
pub struct ReloadClient;

impl Waiting for ReloadClient {
    fn timed_out(id: ClientId) -> (Reply, Option<Client>) {
        let sentence = "the models are still being loaded; that goes on (INFO image: reloading), and IMAGE.MODELS will show what became of them";
        (Reply::Error(Error::new(ErrorCode::Timeout, sentence)), take_client(id))
    }

    fn disconnected(id: ClientId) -> Option<Client> {
        take_client(id)
    }
}

fn take_client(id: ClientId) -> Option<Client> {
    WAITING.with_borrow_mut(|waiting| waiting.take_if(|client| client.id() == id))
}

/// What the test suite plants: a folder is not passed while a file of this name lies in it.
#[cfg(feature = "test-switches")]
mod test_switches {
    use std::path::Path;
    use std::time::Duration;

    pub fn obey(folder: &Path) {
        while folder.join("test-hold").exists() && !super::PROGRESS.lock().halted {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
