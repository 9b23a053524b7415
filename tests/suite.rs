//! The module in real redis-servers: one file a concern.
#![cfg(test)]

mod support;
