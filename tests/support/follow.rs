//! A cluster client that follows redirections and tries again after a failover, as common client libraries do.

use super::client::{Ask, connect};
use super::cluster::{Cluster, moved_to};
use super::{PATIENCE, Reply, Server};
use redis::{Cmd, Connection, ProtocolVersion, cmd};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

/// Errors that pass by themselves: the command is sent again a little later.
const PASSING: [&str; 7] =
    ["TRYAGAIN", "CLUSTERDOWN", "UNBLOCKED", "READONLY", "LOADING", "MASTERDOWN", "ASK"];

pub struct Follower {
    ports: Vec<u16>,
    next: usize,
    connections: HashMap<u16, Connection>,
    was_asked: bool,
}

impl Follower {
    pub fn of(cluster: &Cluster) -> Follower {
        Follower::of_some(&cluster.nodes)
    }

    /// A client that knows only these nodes, such as those that are alive.
    pub fn of_some(nodes: &[Server]) -> Follower {
        let ports = nodes.iter().map(|node| node.port).collect();
        Follower { ports, next: 0, connections: HashMap::new(), was_asked: false }
    }

    /// The reply after all redirections and retries.
    #[track_caller]
    pub fn ask(&mut self, command: &Cmd) -> Reply {
        let deadline = Instant::now() + 3 * PATIENCE;
        let (mut port, mut asking) = (self.ports[self.next], false);
        loop {
            let reply = self.ask_at(port, asking, command);
            self.was_asked = asking;
            let asked_to = redirected(&reply, "ASK ");
            asking = asked_to.is_some();
            if let Some(other) = moved_to(&reply).or(asked_to) {
                port = other;
            } else if is_passing(&reply) {
                self.next = (self.next + 1) % self.ports.len();
                port = self.ports[self.next];
                std::thread::sleep(Duration::from_millis(50));
            } else {
                return reply;
            }
            assert!(Instant::now() < deadline, "no node answers: {reply:?}");
        }
    }

    /// Whether the last reply came from a node that is importing the slot.
    pub fn was_asked(&self) -> bool {
        self.was_asked
    }

    fn ask_at(&mut self, port: u16, asking: bool, command: &Cmd) -> Reply {
        let connection = match self.connections.entry(port) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match connect(port, ProtocolVersion::RESP2, None) {
                Ok(connection) => entry.insert(connection),
                Err(error) => return Reply::Lost(error.to_string()),
            },
        };
        if asking {
            cmd("ASKING").reply(connection);
        }
        let reply = command.reply(connection);
        if matches!(reply, Reply::Lost(_)) {
            self.connections.remove(&port);
        }
        reply
    }
}

fn is_passing(reply: &Reply) -> bool {
    match reply {
        Reply::Lost(_) => true,
        Reply::Error(error) => PASSING.iter().any(|word| error.starts_with(word)),
        Reply::Value(_) => false,
    }
}

fn redirected(reply: &Reply, word: &str) -> Option<u16> {
    let Reply::Error(error) = reply else { return None };
    error.strip_prefix(word)?.rsplit_once(':')?.1.trim().parse().ok()
}
