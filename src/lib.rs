//! redis-image: image recognition inside Redis.
//!
//! This file is the module's table of contents: its commands, its settings, its start and stop.

#![deny(unsafe_code)]

mod commands;
mod completion;
mod digest;
mod error;
mod galleries;
mod ids;
mod in_flight;
mod metrics;
mod models;
mod reply;
mod results;
#[allow(unsafe_code)]
mod server;
mod settings;
mod workers;

use std::sync::atomic::Ordering::Relaxed;

use redis_module::configuration::ConfigurationFlags;
use redis_module::{Context, RedisString, Status, redis_module};

use commands::gallery::{
    bind, enroll, forget, gallery, identify, identify_stored, subjects, verify,
};
use commands::{documentation, get::get, info, models::*, recognize::*, wait::wait};
use recognition::engine::Engines;
use results::write_back;
use server::api::Registered;
use server::gallery_type::{self, GALLERY};
use server::{events, log, main_thread, payload, thread};
use settings::*;

/// Registered first of all, after a look whether this server will do.
static REGISTERED_GALLERY: Registered = Registered(&GALLERY);

redis_module! {
    name: "image",
    version: 1,
    // Not Redis's: it ignores alignment, is slower, and would count the models as the server's data.
    allocator: (std::alloc::System, std::alloc::System),
    data_types: [REGISTERED_GALLERY],
    init: start,
    // No `deinit`: the server never unloads a module that has a data type.
    commands: [
        // IMAGE.RECOGNIZE key payload [MODEL name] [TOP n] [EX s | PX ms] [REFRESH] [TIMEOUT ms] [NOWAIT] [WITHMETA]
        ["image.recognize", recognize, "write blocking", 1, 1, 1, ""],
        // IMAGE.RECOGNIZE_AUTO payload [the same options]: the key is image:<sha256 of the payload>
        ["image.recognize_auto", recognize_auto, "write blocking", 0, 0, 0, ""],
        // IMAGE.RECOGNIZE_RO key payload [MODEL name] [TOP n] [TIMEOUT ms] [WITHMETA]
        ["image.recognize_ro", recognize_ro, "readonly blocking", 1, 1, 1, ""],
        // IMAGE.GET key [MODEL name] [SHA256 digest] [WAIT ms]
        ["image.get", get, "readonly blocking", 1, 1, 1, ""],
        // IMAGE.WAIT key [key …] model timeout
        ["image.wait", wait, "readonly blocking", 1, -3, 1, ""],
        // IMAGE.MODELS [RELOAD]
        ["image.models", list, "allow-stale blocking", 0, 0, 0, ""],
        // IMAGE.RELOAD: the same as IMAGE.MODELS RELOAD, with a name for ACL rules
        ["image.reload", reload_models, "admin allow-stale blocking", 0, 0, 0, ""],
        // IMAGE.ENROLL gallery subject payload [MODEL name] [LARGEST] [FORCE] [TIMEOUT ms]
        // IMAGE.ENROLL gallery subject VECTOR blob MODEL name [SPACE s] [SAMPLE id]
        ["image.enroll", enroll, "write deny-oom blocking", 1, 1, 1, ""],
        // IMAGE.IDENTIFY gallery payload|VECTOR blob [TOP n] [THRESHOLD t] [TIMEOUT ms]
        ["image.identify", identify, "readonly blocking", 1, 1, 1, ""],
        // IMAGE.IDENTIFY_STORED gallery key [TOP n] [THRESHOLD t] [TIMEOUT ms]
        ["image.identify_stored", identify_stored, "readonly blocking", 1, 2, 1, ""],
        // IMAGE.VERIFY gallery subject payload|VECTOR blob [THRESHOLD t] [TIMEOUT ms]
        ["image.verify", verify, "readonly blocking", 1, 1, 1, ""],
        // IMAGE.FORGET gallery subject [sample]
        ["image.forget", forget, "write", 1, 1, 1, ""],
        // IMAGE.SUBJECTS gallery [cursor] [COUNT n] [WITHVECTORS]
        ["image.subjects", subjects, "readonly", 1, 1, 1, ""],
        // IMAGE.GALLERY gallery
        ["image.gallery", gallery, "readonly", 1, 1, 1, ""],
        // IMAGE.BIND gallery MODEL name SPACE s DIMENSIONS n [NEXT id]
        ["image.bind", bind, "write deny-oom", 1, 1, 1, ""],
    ],
    configurations: [
        i64: [
            [THREADS.name, &THREADS, THREADS.default, THREADS.min, THREADS.max, ConfigurationFlags::DEFAULT, None],
            [NICE.name, &NICE, NICE.default, NICE.min, NICE.max, ConfigurationFlags::DEFAULT, None],
            [QUEUE_LENGTH.name, &QUEUE_LENGTH, QUEUE_LENGTH.default, QUEUE_LENGTH.min, QUEUE_LENGTH.max, ConfigurationFlags::DEFAULT, None],
            [QUEUE_MEMORY.name, &QUEUE_MEMORY, QUEUE_MEMORY.default, QUEUE_MEMORY.min, QUEUE_MEMORY.max, ConfigurationFlags::MEMORY, None],
            [TIMEOUT.name, &TIMEOUT, TIMEOUT.default, TIMEOUT.min, TIMEOUT.max, ConfigurationFlags::DEFAULT, None],
            [TTL.name, &TTL, TTL.default, TTL.min, TTL.max, ConfigurationFlags::DEFAULT, None],
            [MAX_PAYLOAD.name, &MAX_PAYLOAD, MAX_PAYLOAD.default, MAX_PAYLOAD.min, MAX_PAYLOAD.max, ConfigurationFlags::MEMORY, None],
            [MAX_PIXELS.name, &MAX_PIXELS, MAX_PIXELS.default, MAX_PIXELS.min, MAX_PIXELS.max, ConfigurationFlags::DEFAULT, None],
            [DECODE_MEMORY.name, &DECODE_MEMORY, DECODE_MEMORY.default, DECODE_MEMORY.min, DECODE_MEMORY.max, ConfigurationFlags::MEMORY, None],
            [IDENTIFY_CACHE.name, &IDENTIFY_CACHE, IDENTIFY_CACHE.default, IDENTIFY_CACHE.min, IDENTIFY_CACHE.max, ConfigurationFlags::DEFAULT, None],
            [HASH_INLINE.name, &HASH_INLINE, HASH_INLINE.default, HASH_INLINE.min, HASH_INLINE.max, ConfigurationFlags::MEMORY, None],
        ],
        string: [
            [MODELS_PATH.name, &MODELS_PATH, MODELS_PATH.default, ConfigurationFlags::IMMUTABLE, None],
            [MODEL.name, &MODEL, MODEL.default, ConfigurationFlags::DEFAULT, None],
            [GALLERY_MODEL.name, &GALLERY_MODEL, GALLERY_MODEL.default, ConfigurationFlags::DEFAULT, None],
            [ENGINE.name, &ENGINE, ENGINE.default, ConfigurationFlags::IMMUTABLE, None],
            [ONNXRUNTIME_PATH.name, &ONNXRUNTIME_PATH, ONNXRUNTIME_PATH.default, ConfigurationFlags::IMMUTABLE, None],
            [KEY_PREFIX.name, &KEY_PREFIX, KEY_PREFIX.default, ConfigurationFlags::DEFAULT, None],
        ],
        bool: [
            [REQUIRE_MODELS_NAME, &REQUIRE_MODELS, false, ConfigurationFlags::IMMUTABLE, None],
        ],
        enum: [],
        module_args_as_configuration: true,
    ]
}

/// Called when the module is loaded, with its settings in place.
fn start(ctx: &Context, arguments: &[RedisString]) -> Status {
    match try_start(ctx, arguments) {
        Ok(()) => Status::Ok,
        Err(reason) => {
            log::warning(&format!("the module is not loaded: {reason}"));
            workers::stop();
            models::forget_all();
            main_thread::stop();
            Status::Err
        }
    }
}

fn try_start(ctx: &Context, arguments: &[RedisString]) -> Result<(), String> {
    check_arguments(arguments)?;
    if MODEL.get().is_empty() {
        // The server has set not even the defaults, and says why in its log.
        return Err("a line image.* of the configuration is wrong".to_owned());
    }
    gallery_type::declare(ctx);
    server::panics::report();
    payload::remember_main_thread();
    thread::keep_freed_memory();
    if !thread::try_scheduling() {
        log::warning("scheduling is forbidden here: workers run at Redis's own priority");
    }
    main_thread::start(ctx);
    documentation::register(ctx)?;
    let path = models_path();
    log::notice(&format!("loading models from {}", path.display()));
    let engines = Engines::find(engine(), &onnxruntime_places());
    log::notice(&format!("engine {}", engines.describe()));
    models::load_all(&path, engines);
    check_models_by(models::is_unknown);
    if let Err(error) = models::check_default()
        && REQUIRE_MODELS.load(Relaxed)
    {
        return Err(format!("{error} (image.require-models is yes)"));
    }
    read_maxmemory(ctx);
    workers::start(completion::wake)?;
    server::info::register(ctx, info::fill);
    events::subscribe(
        ctx,
        events::Handlers {
            shutdown: |_| completion::shutdown(),
            role_changed: write_back::role_changed,
            data_replaced: galleries::forget_pictures,
            config_changed: |_| main_thread::run_soon(apply_settings),
        },
    );
    log::notice(&format!(
        "ready, with {} worker(s) at nice {}",
        metrics::METRICS.workers.load(Relaxed),
        nice()
    ));
    Ok(())
}

/// A setting of the server's or of ours has changed.
fn apply_settings(ctx: &Context) {
    read_maxmemory(ctx);
    workers::set_workers(threads());
}

/// Not by CONFIG GET: the command may be renamed.
fn read_maxmemory(ctx: &Context) {
    if let Some(limit) = ctx.server_info("memory").field("maxmemory") {
        SERVER_MAXMEMORY.store(limit.to_string_lossy().parse().unwrap_or(0), Relaxed);
    }
}
