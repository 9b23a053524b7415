//! A session of onnxruntime, counted for INFO.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ort::session::Session as OrtSession;

/// A session of the crate, which runs one thing at a time (the library's own parts are not all
/// thread-safe): there is one for each worker that runs a graph, made when it is first needed.
/// Those of a graph share the packed weights.
pub struct OneSession {
    pub session: OrtSession,
    pub _counted: Counted,
}

/// One of the sessions that there are.
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Relaxed);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
