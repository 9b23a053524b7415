//! What every test stands on: real servers, real clients, real pictures. Nothing here asserts anything about the module.
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
//!   `.real_models()`. Then `.start()`, or `.start_in_vain()` where the server is meant to refuse.
//! - `server.kill()` and `server.shutdown()` end it and keep its folder; `server.start_again()` goes on from there, on the
//!   same port. A `Server` that goes out of scope is killed by its pid; in a panic its log is printed.
//! - No reply takes longer than [`PATIENCE`]: a lost one fails the test instead of hanging it.
//! - `photos::slow(ms)`, `photos::panicking()` work only with a module built with the feature `test-switches`.
//! - REDIS_IMAGE_MODULE names another module, REDIS_SERVER another server, REDIS_IMAGE_SHARED another shared folder,
//!   REDIS_IMAGE_CONFIG adds lines to every server's redis.conf (`io-threads 4`).

mod client;
pub mod cluster;
pub mod compare;
pub mod crowd;
pub mod follow;
pub mod galleries;
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
pub use server::Server;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest that anything may take before a test calls it lost: tract reads a page of text in a fifth of it, and the
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

/// Says that this test cannot be run here, and why. Past the test harness, which would keep it to itself.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {reason}", thread.name().unwrap_or("a test"));
}

/// Whether the server has a command; where not, says that the test, or the rest of it, is skipped.
pub fn has_command(server: &Server, name: &str) -> bool {
    let known = redis::cmd("COMMAND").arg(&["INFO", name]).value(&mut server.client());
    let has = !format!("{known:?}").contains("[nil]");
    if !has {
        skipped(&format!("this server has no {name}"));
    }
    has
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// The folder of reference results and hostile files, where there is one.
pub fn shared() -> Option<PathBuf> {
    let folder = match std::env::var_os("REDIS_IMAGE_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => repository().parent()?.join("shared"),
    };
    folder.join("reference/expected.json").is_file().then_some(folder)
}
