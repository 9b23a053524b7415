//! A small cluster of real nodes.

use super::crowd::role;
use super::server::Builder;
use super::{Ask, Reply, Server, wait_until};
use redis::{Cmd, cmd};
use std::time::{Duration, Instant};

pub struct Cluster {
    pub nodes: Vec<Server>,
}

const SLOTS: usize = 16384;

impl Cluster {
    /// Starts masters that share the slots evenly.
    pub fn start(masters: usize, node: impl Fn() -> Builder) -> Cluster {
        let nodes: Vec<Server> = (0..masters).map(|_| node().cluster().start()).collect();
        for (i, server) in nodes.iter().enumerate() {
            let (first, last) = (SLOTS * i / masters, SLOTS * (i + 1) / masters - 1);
            cmd("CLUSTER")
                .arg(&["ADDSLOTSRANGE", &first.to_string(), &last.to_string()])
                .text(&mut server.client());
            cmd("CLUSTER")
                .arg(&["SET-CONFIG-EPOCH", &(i + 1).to_string()])
                .text(&mut server.client());
        }
        let cluster = Cluster { nodes };
        cluster.introduce();
        cluster
    }

    /// Adds a replica of the first node.
    pub fn add_replica(&mut self, node: impl Fn() -> Builder) {
        self.add_replica_of(0, node);
    }

    pub fn add_replica_of(&mut self, master: usize, node: impl Fn() -> Builder) {
        self.nodes.push(node().cluster().start());
        self.introduce();
        let master = &self.nodes[master];
        let id = id(master);
        let replica = self.nodes.last().expect("just added");
        wait_until("the replica knows its master", || {
            cmd("CLUSTER").arg(&["REPLICATE", &id]).reply(&mut replica.client())
                == Reply::Value(redis::Value::Okay)
        });
        replica.wait_for_sync(master);
        let is_known = |line: &str| line.contains("slave") && line.contains(&id);
        for server in &self.nodes {
            wait_until("the node knows the replica", || {
                cmd("CLUSTER").arg("NODES").text(&mut server.client()).lines().any(is_known)
            });
        }
    }

    fn introduce(&self) {
        for server in &self.nodes[1..] {
            let (port, bus) = (server.port.to_string(), bus_port(server));
            cmd("CLUSTER")
                .arg(&["MEET", "127.0.0.1", &port, &bus])
                .text(&mut self.nodes[0].client());
        }
        for server in &self.nodes {
            wait_until("the node knows the others", || {
                let text = cmd("CLUSTER").arg("INFO").text(&mut server.client());
                let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
                text.contains("cluster_state:ok") && text.contains(&known)
            });
        }
    }

    /// Moves a slot and its keys, one key at a time.
    pub fn move_slot(&self, slot: i64, from: &Server, to: &Server) {
        let (slot, port) = (slot.to_string(), to.port.to_string());
        set_slot(to, &slot, "IMPORTING", from);
        set_slot(from, &slot, "MIGRATING", to);
        let mut client = from.client();
        loop {
            let keys = cmd("CLUSTER").arg(&["GETKEYSINSLOT", &slot, "1000"]).list(&mut client);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                cmd("MIGRATE").arg(&["127.0.0.1", &port, &key, "0", "5000"]).text(&mut client);
            }
        }
        for node in [to, from] {
            set_slot(node, &slot, "NODE", to);
        }
    }

    /// Sends the command to the first node, and follows one `MOVED`.
    pub fn ask(&self, command: &Cmd) -> Reply {
        let reply = command.reply(&mut self.nodes[0].client());
        match moved_to(&reply) {
            Some(port) => command.reply(&mut self.on(port).client()),
            None => reply,
        }
    }

    /// The index in `nodes` of the master that was given `slot`. Only for clusters without replicas.
    pub fn owner(&self, slot: i64) -> usize {
        let masters = self.nodes.len();
        (0..masters).find(|i| (SLOTS * (i + 1) / masters) as i64 > slot).expect("an owner")
    }

    pub fn on(&self, port: u16) -> &Server {
        self.nodes.iter().find(|server| server.port == port).expect("a node of ours")
    }
}

pub fn is_promoted(node: &Server) -> bool {
    role(node) == "master"
}

/// Makes a replica take over from its master. On a busy machine the vote may come too late; then it is tried again.
#[track_caller]
pub fn promote(replica: &Server) {
    let mut asked: Option<Instant> = None;
    wait_until("the replica is promoted", || {
        if is_promoted(replica) {
            return true;
        }
        if asked.is_none_or(|at| at.elapsed() > Duration::from_secs(8)) {
            cmd("CLUSTER").arg("FAILOVER").reply(&mut replica.client());
            asked = Some(Instant::now());
        }
        false
    });
}

pub fn set_slot(node: &Server, slot: &str, state: &str, other: &Server) {
    cmd("CLUSTER").arg(&["SETSLOT", slot, state, &id(other)]).text(&mut node.client());
}

/// The node's ID in its cluster.
pub fn id(node: &Server) -> String {
    cmd("CLUSTER").arg("MYID").text(&mut node.client())
}

/// The port in the reply `MOVED slot address`.
pub fn moved_to(reply: &Reply) -> Option<u16> {
    let Reply::Error(error) = reply else { return None };
    error.strip_prefix("MOVED ")?.rsplit_once(':')?.1.trim().parse().ok()
}

fn bus_port(server: &Server) -> String {
    cmd("CONFIG").arg(&["GET", "cluster-port"]).list(&mut server.client())[1].clone()
}
