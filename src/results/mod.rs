//! Results in the keyspace: how they are looked up, stored, put off while writes are paused, and which
//! requests have failed lately. It knows keys and requests; who is answered, and with what, is decided
//! above.

mod hash;
pub mod lookup;
pub mod recent_failures;
pub mod write_back;
mod write_queue;

pub use hash::{has_memory_left, stored_result};
