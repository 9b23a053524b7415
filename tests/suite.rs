//! The module in real redis-servers: one file a concern.
#![cfg(test)]

mod support;

mod bounds;
mod cluster;
mod commands;
mod engines;
mod failover;
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
