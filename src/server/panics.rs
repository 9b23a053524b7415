//! Panics: told, and kept from the server.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::log;

/// Panics are told on the standard error, without a backtrace: looking up its names in files ends in what
/// `recognition::files::real_path` avoids, so that under RUST_BACKTRACE a panic that is caught would kill the server yet.
pub fn report() {
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
