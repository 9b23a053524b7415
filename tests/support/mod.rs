//! What all tests use: real servers, real clients, real pictures. Nothing in here checks the module itself.
//!
//! ```ignore
//! let server = Server::start();                                   // the tiny model, no persistence, a free port
//! let mut client = server.client();                               // RESP2; client_resp3() for RESP3
//! let json = recognize("image:1", &photos::red()).text(&mut client);
//! let error = recognize("image:1", b"no image").error(&mut client);          // "BADIMAGE …"
//! let waiting = server.send(&recognize("k", &photos::slow(500)));  // sent, not yet answered
//! let json = waiting.reply().text();
//! wait_until("the queue is empty", || server.count("queue_length") == 0);
//! ```
//!
//! - `Server::with()` is the builder: `.setting("threads", "4")` writes a line `image.threads 4` into the server's
//!   redis.conf, `.config("io-threads", "4")` any other line; `.append_only()`, `.replica_of(&master)`, `.cluster()`,
//!   `.real_models()`. Then `.start()`, or `.start_in_vain()` if the server must fail to start.
//! - `server.kill()` and `server.shutdown()` end the process and keep its folder. `server.start_again()` starts it with
//!   the same folder and port. A `Server` that goes out of scope is killed; if the test failed, its log is printed.
//! - No test waits longer than [`PATIENCE`]: a lost reply fails the test instead of hanging it.
//! - A test that needs something that may be missing asks for it in [`needs`], or calls [`skip`] with a reason. It then
//!   shows as `ignored` in the summary.
//! - `photos::slow(ms)` and `photos::panicking()` need a module built with the feature `test-switches`.
//! - REDIS_IMAGE_MODULE names another module, REDIS_SERVER another server, REDIS_IMAGE_PHOTOS another folder of photos,
//!   REDIS_IMAGE_SHARED another shared folder. REDIS_IMAGE_CONFIG adds lines to every server's redis.conf
//!   (`io-threads 4`).

mod client;
pub mod cluster;
pub mod compare;
pub mod crowd;
pub mod damaged;
pub mod follow;
pub mod galleries;
pub mod needs;
mod seccomp;
pub mod sentinel;
pub mod server;
pub mod watch;

pub mod photos;
pub mod programs;
pub mod protobuf;
pub mod tiny;
pub mod tool;

pub use client::{Ask, Pending, Reply, get, recognize, recognize_ro};
pub use harness::skip;
pub use server::Server;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a test waits for anything. This is generous: tract takes a fifth of it to read a page of text, and the
/// machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Waits until `attempt` gives something; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(outcome) = attempt() {
            return outcome;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// A folder beside the repository with further cases: results of a reference implementation, photos, hostile files.
/// It does not travel with the project, and no test depends on it.
pub fn shared() -> Option<PathBuf> {
    let folder = match std::env::var_os("REDIS_IMAGE_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => repository().parent()?.join("shared"),
    };
    folder.join("reference/expected.json").is_file().then_some(folder)
}
