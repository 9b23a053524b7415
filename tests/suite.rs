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
mod clients;
mod cluster;
mod commands;
mod engines;
mod golden;
mod hostile;
mod late;
mod lifecycle;
mod memory;
mod models;
mod moments;
mod nowait;
mod races;
mod replication;
mod safety;
mod settings;
mod soak;
mod spread;
mod storage;
mod tasks;
