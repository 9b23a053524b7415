//! The only room with `unsafe`: blocked clients, hand-over to the main thread, held strings, reading
//! keys, replies, command documentation, log, threads. Thin: it decides nothing, it makes what the
//! module API offers safe to call. Everything here is to be called on the main thread unless it
//! says otherwise.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[macro_use]
pub mod api;
pub mod blocked;
pub mod command_info;
pub mod events;
pub mod gallery_type;
pub mod info;
pub mod keyspace;
pub mod library;
pub mod log;
pub mod main_thread;
pub mod memory;
pub mod payload;
pub mod rdb;
pub mod reply;
pub mod request;
pub mod slots;
pub mod thread;

/// Panics are told on the standard error, without a backtrace: looking up its names in files ends in what
/// `recognition::files::real_path` avoids, so that under RUST_BACKTRACE a panic that is caught would kill the server yet.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(std::io::stderr(), "redis-image: {panic}");
    }));
}

/// Runs what the server calls: a panic that reached it would abort it.
pub fn guard<T>(what: &str, otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        log::warning(&format!("a panic was caught in {what}; please report it with its backtrace"));
        otherwise
    })
}
