//! `INFO image`.

use std::sync::atomic::Ordering::Relaxed;

use recognition::State;

use crate::metrics::{METRICS, NotStored};
use crate::models::{self, ServedModel};
use crate::server::info::Section;
use crate::settings;

/// Writes the section. Takes no lock that it would have to wait for.
pub fn fill(section: &Section) {
    section.text("version", env!("CARGO_PKG_VERSION"));
    let (engine, reason) = models::engine();
    section.text("engine", engine);
    section.text("engine_reason", &reason);
    section.number("onnxruntime_sessions", models::engine_sessions() as u64);
    section.number("workers", METRICS.workers.load(Relaxed));
    section.number("workers_busy", METRICS.busy_workers.load(Relaxed));
    section.number("queue_length", METRICS.queue_length.load(Relaxed));
    section.number("queue_bytes", METRICS.queue_bytes.load(Relaxed));
    section.number("queue_bytes_limit", settings::queue_memory() as u64);
    section.number("requests", METRICS.requests.load(Relaxed));
    section.number("waiting_clients", METRICS.waiting_clients.load(Relaxed));
    section.number("waiting_stores", METRICS.waiting_stores.load(Relaxed));
    section.number("refused", METRICS.refused.get());
    section.number("timed_out", METRICS.timed_out.get());
    section.number("dropped", METRICS.dropped.get());
    section.number("bad_images", METRICS.bad_images.get());
    section.number("stored", METRICS.stored.get());
    section.number("put_off", METRICS.put_off.get());
    for reason in NotStored::ALL {
        let name = format!("not_stored_{}", reason.name());
        section.number(&name, METRICS.not_stored(reason).get());
    }
    section.number("reloading", METRICS.reloading.load(Relaxed));
    section.number("reloads", METRICS.reloads.get());
    section.number("replaced_models", METRICS.replaced_models.load(Relaxed));
    section.decimal("saved_seconds", METRICS.saved_microseconds.get() as f64 / 1e6);
    section.number("galleries", METRICS.galleries.load(Relaxed));
    section.number("gallery_subjects", METRICS.gallery_subjects.load(Relaxed));
    section.number("gallery_samples", METRICS.gallery_samples.load(Relaxed));
    section.number("gallery_bytes", METRICS.gallery_bytes.load(Relaxed));
    section.number("gallery_calls", METRICS.gallery_calls.load(Relaxed));
    section.number("pictures_seen", METRICS.pictures_seen.load(Relaxed));
    section.number("searches", METRICS.searches.get());
    for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        section.decimal(&format!("search_ms_{name}"), METRICS.search.quantile(share));
    }
    models::for_each(|entry| {
        let name = format!("model_{}", entry.name);
        match &entry.model {
            Ok(model) => section.text(&name, &describe(model)),
            Err(_) => section.text(&name, "state=failed"),
        }
    });
}

/// One line a model, as INFO does for databases and replicas.
fn describe(model: &ServedModel) -> String {
    let (recognizer, metrics) = (&model.recognizer, &model.metrics);
    let quantiles = |histogram: &crate::metrics::Histogram| {
        [0.5, 0.95, 0.99].map(|share| histogram.quantile(share))
    };
    let [wait50, wait95, wait99] = quantiles(&metrics.queue_wait);
    let [compute50, compute95, compute99] = quantiles(&metrics.compute);
    let [decode50, ..] = quantiles(&metrics.decoding);
    let [infer50, ..] = quantiles(&metrics.inference);
    let (state, engine, memory) = match recognizer.state() {
        State::Waiting => ("waiting", "", 0),
        State::Ready { engine, memory } => ("ready", engine, memory),
        State::Failed(_) => ("failed", "", 0),
    };
    format!(
        "state={state},version={},engine={engine},memory={memory},hits={},misses={},joined={},computed={},\
         failed={},wait_ms_p50={wait50:.2},wait_ms_p95={wait95:.2},wait_ms_p99={wait99:.2},\
         compute_ms_p50={compute50:.2},compute_ms_p95={compute95:.2},compute_ms_p99={compute99:.2},\
         decode_ms_p50={decode50:.2},infer_ms_p50={infer50:.2}",
        recognizer.version(),
        metrics.hits.get(),
        metrics.misses.get(),
        metrics.joined.get(),
        metrics.computed.get(),
        metrics.failed.get(),
    )
}
