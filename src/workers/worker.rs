//! A worker: decodes and infers, one job after the other, at lower CPU priority.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use recognition::{Recognition, Scratch};

use super::completions::{self, Completion, Recognized};
use super::queue::{self, Work};
use crate::error::{Error, ErrorCode};
use crate::metrics::METRICS;
use crate::models::{self, ServedModel};
use crate::server::payload::Payload;
use crate::server::{log, thread};
use crate::settings;

pub fn work_until_closed(number: usize) {
    let mut scratch = Scratch::default();
    let mut nice = 0;
    while let Some(work) = queue::next_job(number) {
        let wanted_nice = settings::nice();
        if nice != wanted_nice {
            // Going back to a higher priority needs a privilege that the server may not have.
            let _ = thread::set_nice(wanted_nice);
            nice = wanted_nice;
        }
        let Work { job, model, payload, queued } = work;
        model.metrics.queue_wait.record(queued.elapsed());
        model.load();
        let started = Instant::now();
        let recognized = recognize(&model, &payload, &mut scratch);
        let outcome = match recognized {
            Ok(Recognition { json, embeddings, decoding, inference }) => {
                model.metrics.computed(started.elapsed(), decoding, inference);
                Ok(Recognized { json: json.into(), embeddings: embeddings.into() })
            }
            Err(error) => {
                model.metrics.failed.increment();
                if error.code == ErrorCode::BadImage {
                    METRICS.bad_images.increment();
                }
                Err(error)
            }
        };
        completions::post(Completion::Recognized { job, model, payload, outcome });
        queue::job_ended();
    }
    models::shrink_engines();
    queue::job_ended();
}

fn recognize(
    model: &ServedModel,
    payload: &Payload,
    scratch: &mut Scratch,
) -> Result<Recognition, Error> {
    let run = || {
        #[cfg(feature = "test-switches")]
        test_switches::obey(payload.bytes());
        model.recognizer.recognize(payload.bytes(), &settings::decode_limits(), scratch)
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(recognition)) => Ok(recognition),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            // Whatever the buffers hold now, nobody relies on it.
            *scratch = Scratch::default();
            log::warning("a panic was caught in a worker; please report it with its backtrace");
            Err(Error::new(
                ErrorCode::Failed,
                "the recognition panicked; the server's log has more",
            ))
        }
    }
}

/// What the test suite plants in a worker, through the last bytes of a payload.
#[cfg(feature = "test-switches")]
mod test_switches {
    use std::time::Duration;

    pub fn obey(payload: &[u8]) {
        let Some(switch) = payload.strip_suffix(b"#") else { return };
        let Some(start) = switch.iter().rposition(|byte| *byte == b'#') else { return };
        match std::str::from_utf8(&switch[start + 1..]) {
            Ok("test:panic") => panic!("planted by the test suite"),
            Ok(text) => {
                if let Some(milliseconds) = text.strip_prefix("test:sleep=") {
                    let milliseconds = milliseconds.parse().unwrap_or(0);
                    std::thread::sleep(Duration::from_millis(milliseconds));
                }
            }
            Err(_) => (),
        }
    }
}
