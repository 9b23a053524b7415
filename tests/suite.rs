//! The module in real redis-servers: one file a concern.
#![cfg(test)]

mod support;

mod commands;
mod golden;
mod hostile;
mod lifecycle;
mod models;
mod moments;
mod nowait;
mod races;
mod safety;
mod settings;
mod storage;
