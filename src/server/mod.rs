//! The only room with `unsafe`: blocked clients, hand-over to the main thread, held strings, reading
//! keys, replies, command documentation, log, threads. Thin: it decides nothing, it makes what the
//! module API offers safe to call. Everything here is to be called on the main thread unless it
//! says otherwise.

#[macro_use]
pub mod api;
pub mod blocked;
pub mod command_info;
pub mod events;
pub mod gallery_type;
pub mod gallery_value;
pub mod info;
pub mod keyspace;
pub mod library;
pub mod log;
pub mod main_thread;
pub mod memory;
pub mod panics;
pub mod payload;
pub mod rdb;
pub mod refusal;
pub mod reply;
pub mod request;
pub mod slots;
pub mod thread;

pub use panics::guard;
