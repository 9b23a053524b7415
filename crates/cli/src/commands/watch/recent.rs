//! What was told lately. A master that fails may take results with it that its replica did not have yet, a server
//! without persistence takes all: then these photos are looked after once more.

use crate::connect::Connection;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longer than a failover takes.
const KEPT: Duration = Duration::from_secs(120);
const MOST: usize = 10_000;

pub struct Recent {
    told: VecDeque<(Instant, PathBuf)>,
    upsets: u64,
}

impl Recent {
    pub fn new(connection: &Connection) -> Recent {
        Recent { told: VecDeque::new(), upsets: connection.upsets() }
    }

    pub fn add(&mut self, path: PathBuf) {
        self.told.push_back((Instant::now(), path));
        if self.told.len() > MOST {
            self.told.pop_front();
        }
    }

    /// All of them if there was an upset since the last time, else nothing.
    pub async fn maybe_lost(&mut self, connection: &Connection) -> Vec<PathBuf> {
        while self.told.front().is_some_and(|(told, _)| told.elapsed() > KEPT) {
            self.told.pop_front();
        }
        if !self.told.is_empty() {
            connection.look_again().await;
        }
        let upsets = connection.upsets();
        if std::mem::replace(&mut self.upsets, upsets) == upsets {
            return Vec::new();
        }
        self.told.iter().map(|(_, path)| path.clone()).collect()
    }
}
