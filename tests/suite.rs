//! The module in real redis-servers: one file a concern.
#![cfg(test)]

mod support;

mod bounds;
mod cli_access;
mod cli_bench;
mod cli_cluster;
mod cli_completions;
mod cli_models;
mod cli_recognize;
mod cli_status;
mod cli_stream;
mod cli_watch;
mod cluster;
mod commands;
mod engines;
mod failover;
mod gallery_commands;
mod gallery_concurrency;
mod gallery_forget;
mod gallery_hostile;
mod gallery_moments;
mod gallery_persistence;
mod gallery_photos;
mod gallery_replication;
mod golden;
mod hostile;
mod late;
mod lifecycle;
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
mod storage;
mod tasks;
mod versions;
