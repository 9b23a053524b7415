//! The module in real redis-servers: one file a concern. `tests/harness` says how the tests are run.

// Its `#[test]` takes the place of the standard one in every module.
#[macro_use]
extern crate attribute;

mod support;

mod asked;
mod bounds;
mod cli_access;
mod cli_bench;
mod cli_cluster;
mod cli_completions;
mod cli_gallery;
mod cli_models;
mod cli_recognize;
mod cli_status;
mod cli_stocktake;
mod cli_stream;
mod cli_watch;
mod clients;
mod cluster;
mod command_table;
mod commands;
mod connections;
mod engines;
mod example_config;
mod expired_fields;
mod failover;
mod gallery_cluster;
mod gallery_commands;
mod gallery_concurrency;
mod gallery_forget;
mod gallery_hostile;
mod gallery_models;
mod gallery_moments;
mod gallery_persistence;
mod gallery_photos;
mod gallery_replication;
mod gallery_saves;
mod golden;
mod hostile;
mod house;
mod late;
mod lifecycle;
mod loading_beside;
mod looks;
mod memory;
mod migration;
mod models;
mod moments;
mod nowait;
mod partition;
mod races;
mod reload;
mod replication;
mod safety;
mod sentinel;
mod settings;
mod soak;
mod spread;
mod storage;
mod subscribed;
mod tasks;
mod versions;
mod wait;

fn main() -> std::process::ExitCode {
    harness::main()
}
