//! The clients that people use: each runs its program out of `examples/`, as a user would, on one server, on a cluster whose
//! slots move, and on one whose node dies that the client knew first.

use crate::commands::RED_RESULT;
use crate::support::cluster::{Cluster, set_slot};
use crate::support::programs::*;
use crate::support::*;
use redis::cmd;
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Command;

/// What a client does not do as the others.
#[derive(Clone, Copy)]
struct Quirks {
    /// It does not know where keys lie, and sends a photo to any node first.
    asks_anybody: bool,
    /// It does not follow ASK: its photo waits until the slot has moved.
    lost_by_ask: bool,
}

const NONE: Quirks = Quirks { asks_anybody: false, lost_by_ask: false };
const ASKS_ANYBODY: Quirks = Quirks { asks_anybody: true, ..NONE };
const LOST_BY_ASK: Quirks = Quirks { lost_by_ask: true, ..NONE };
const BOTH: Quirks = Quirks { asks_anybody: true, lost_by_ask: true };

mod all {
    use super::*;

    pub fn redis_py() -> Command {
        python("redis_py.py")
    }
    pub fn redis_py_asyncio() -> Command {
        python("redis_py_asyncio.py")
    }
    pub fn valkey_py() -> Command {
        python("valkey_py.py")
    }
    pub fn valkey_glide() -> Command {
        python("valkey_glide.py")
    }
    pub fn coredis() -> Command {
        python("coredis_client.py")
    }
    pub fn node_redis() -> Command {
        node("node_redis.mjs", "redis")
    }
    pub fn node_redis_5() -> Command {
        node("node_redis.mjs", "redis5")
    }
    pub fn ioredis() -> Command {
        node("ioredis.mjs", "ioredis")
    }
    pub fn iovalkey() -> Command {
        node("ioredis.mjs", "iovalkey")
    }
    pub fn redis_rs() -> Command {
        built("redis_rs")
    }
    pub fn redis_rs_async() -> Command {
        built("redis_rs_async")
    }
    pub fn fred() -> Command {
        built_apart("fred")
    }
    pub fn rustis() -> Command {
        built_apart("rustis")
    }
    pub fn phpredis() -> Command {
        interpreted("php", &["-r", "exit(class_exists('RedisCluster') ? 0 : 1);"], "phpredis.php")
    }
    pub fn redis_rb() -> Command {
        interpreted("ruby", &["-e", "require 'redis'"], "redis_rb.rb")
    }
    pub fn redis_cli() -> Command {
        let mut program = Command::new("bash");
        program.arg(example("redis_cli.sh"));
        program
    }
}

/// A test for each program.
macro_rules! clients {
    ($run:ident: $($name:ident $quirks:expr),* $(,)?) => {
        $(#[test] fn $name() { super::$run(super::all::$name, $quirks); })*
    };
}

/// What a client is known not to do stands in docs/clients.md.
mod one_server {
    use super::NONE;
    clients! { on_one_server:
        redis_py NONE, redis_py_asyncio NONE, valkey_py NONE, valkey_glide NONE, coredis NONE,
        node_redis NONE, node_redis_5 NONE, ioredis NONE, iovalkey NONE, redis_rs NONE,
        redis_rs_async NONE, fred NONE, rustis NONE, phpredis NONE, redis_rb NONE, redis_cli NONE,
    }
}

mod slots_move {
    use super::{ASKS_ANYBODY, BOTH, LOST_BY_ASK, NONE};
    clients! { while_slots_move:
        redis_py NONE, redis_py_asyncio BOTH, valkey_py LOST_BY_ASK, valkey_glide NONE,
        coredis NONE, node_redis NONE, node_redis_5 NONE, ioredis NONE, iovalkey NONE,
        redis_rs NONE, redis_rs_async NONE, fred LOST_BY_ASK, rustis NONE, phpredis LOST_BY_ASK,
        redis_rb ASKS_ANYBODY, redis_cli ASKS_ANYBODY,
    }
}

/// Without those that do not come back from it: redis-cli, which knows the one node that it was told, and what
/// docs/clients.md names.
mod node_dies {
    use super::NONE;
    clients! { while_its_node_dies:
        redis_py NONE, redis_py_asyncio NONE, valkey_py NONE, valkey_glide NONE, coredis NONE,
        node_redis NONE, ioredis NONE, iovalkey NONE, redis_rs_async NONE, phpredis NONE,
        redis_rb NONE,
    }
}

/// A batch, a stored result, metadata, and an error.
fn tell_basics(client: &Running, names: &[String], first_digest: &str) {
    for name in names {
        assert_eq!(client.line(), ["batch", name, RED_RESULT]);
    }
    client.expect_bad("batch");
    assert_eq!(client.line(), ["get", &names[0], RED_RESULT]);
    assert_eq!(client.line(), ["meta", &names[0], "stored", first_digest]);
}

fn on_one_server(program: Program, _: Quirks) {
    let program = program();
    let server = Server::start();
    let folder = Folder::new();
    let payloads: Vec<Vec<u8>> = (0..8).map(|_| photos::unique(&photos::red())).collect();
    let names: Vec<String> = (0..8).map(|number| format!("{number}.png")).collect();
    let mut paths: Vec<PathBuf> =
        names.iter().zip(&payloads).map(|(name, payload)| folder.write(name, payload)).collect();
    let bad = folder.write("bad.jpg", b"no image");
    paths.push(bad.clone());
    let mut client = Running::start(program, &server, &paths);
    tell_basics(&client, &names, &photos::digest(&payloads[0]));
    let large = photos::padded(&photos::red(), 400_000);
    client.send(&folder.write("large.png", &large));
    assert_eq!(client.line(), ["photo", "large.png", RED_RESULT]);
    client.send(&bad);
    client.expect_bad("photo");
    client.end();
    assert_eq!(cmd("DBSIZE").number(&mut server.client()), 9);
    assert_eq!(server.model_count("tiny", "computed"), 9);
}

fn while_slots_move(program: Program, quirks: Quirks) {
    let program = program();
    let cluster = Cluster::start(3, Server::with);
    let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
    let pictures = Pictures::on(&cluster);
    let bad = pictures.folder.write("bad.jpg", b"no image");
    let batch = [&pictures.paths[..], std::slice::from_ref(&bad)].concat();
    let mut client = Running::start(program, first, &batch);
    tell_basics(&client, &pictures.names, &pictures.digests[0]);
    for (node, expected) in cluster.nodes.iter().zip(&pictures.on_node) {
        assert_eq!(cmd("DBSIZE").number(&mut node.client()), *expected);
        assert_eq!(node.model_count("tiny", "computed"), *expected);
        assert!(!asked_for_keys(node), "a photo was sent once more, to ask where its key is");
        if !quirks.asks_anybody {
            assert_eq!(errors(node, "MOVED"), 0, "a photo went to the wrong node first");
        }
    }

    // A slot goes from the first node to the second; no client has been told. First it is on its way.
    let (payload, slot) = pictures.in_a_slot_without_keys(&cluster);
    let slot = slot.to_string();
    if !quirks.lost_by_ask {
        set_slot(second, &slot, "IMPORTING", first);
        set_slot(first, &slot, "MIGRATING", second);
        client.send(&pictures.folder.write("asked.png", &payload));
        assert_eq!(client.line(), ["photo", "asked.png", RED_RESULT]);
        assert!(errors(first, "ASK") > 0, "it was sent on");
        assert_eq!(second.count("stored"), pictures.on_node[1] + 1, "and stored there");
    }
    for node in [second, first, third] {
        set_slot(node, &slot, "NODE", second);
    }
    let before = errors(first, "MOVED");
    client.send(&pictures.folder.write("moved.png", &payload));
    assert_eq!(client.line(), ["photo", "moved.png", RED_RESULT]);
    assert!(errors(first, "MOVED") > before || quirks.asks_anybody, "it was sent on");
    assert_eq!(get(photos::key_of(&payload)).text(&mut second.client()), RED_RESULT);

    client.send(&bad);
    client.expect_bad("photo");
    client.end();
}

/// The node that the client was told dies amid 300 photos; its replica takes over.
fn while_its_node_dies(program: Program, _: Quirks) {
    let program = program();
    const BEFORE: usize = 100;
    const PHOTOS: usize = 300;
    let mut cluster = Cluster::start(3, Server::with);
    cluster.add_replica(Server::with);
    let folder = Folder::new();
    let payloads: Vec<Vec<u8>> = (0..PHOTOS).map(|_| photos::unique(&photos::red())).collect();
    let paths: Vec<PathBuf> = payloads
        .iter()
        .enumerate()
        .map(|(number, payload)| folder.write(&format!("{number}.png"), payload))
        .collect();
    let mut client = Running::start(program, &cluster.nodes[0], &paths[..1]);
    for step in ["batch", "get", "meta"] {
        assert_eq!(client.line()[0], step);
    }
    for (number, path) in paths.iter().enumerate() {
        if number == BEFORE {
            // What was told so far is on the replica, too: it is not replication that is tested here.
            let [first, .., replica] = &cluster.nodes[..] else { panic!("four nodes") };
            replica.wait_for_sync(first);
            cluster.nodes[0].kill();
        }
        client.send(path);
        let line = client.line();
        assert_eq!(line[..2], ["photo".to_owned(), format!("{number}.png")]);
        assert_eq!(line[2], RED_RESULT, "{number}");
    }
    client.end();
    // Everything that the living have been asked for is stored; what the dead one knew, its replica knows.
    let mut follower = follow::Follower::of_some(&cluster.nodes[1..]);
    for payload in &payloads {
        let stored = follower.ask(&get(photos::key_of(payload))).text_if_any();
        assert_eq!(stored.as_deref(), Some(RED_RESULT));
    }
    for node in &cluster.nodes[1..] {
        assert!(!asked_for_keys(node), "a photo was sent once more, to ask where its key is");
    }
}

/// Files that show the same and lie on all three nodes.
struct Pictures {
    folder: Folder,
    paths: Vec<PathBuf>,
    names: Vec<String>,
    digests: Vec<String>,
    slots: HashSet<i64>,
    /// How many belong to each node.
    on_node: [i64; 3],
}

impl Pictures {
    fn on(cluster: &Cluster) -> Pictures {
        let mut pictures = Pictures {
            folder: Folder::new(),
            paths: Vec::new(),
            names: Vec::new(),
            digests: Vec::new(),
            slots: HashSet::new(),
            on_node: [0; 3],
        };
        while pictures.on_node.iter().any(|count| *count < 2) {
            let payload = photos::unique(&photos::red());
            let slot = slot_of(&cluster.nodes[0], &payload);
            let name = format!("{}.png", pictures.names.len());
            pictures.paths.push(pictures.folder.write(&name, &payload));
            pictures.names.push(name);
            pictures.digests.push(photos::digest(&payload));
            pictures.on_node[cluster.owner(slot)] += 1;
            pictures.slots.insert(slot);
        }
        pictures
    }

    fn in_a_slot_without_keys(&self, cluster: &Cluster) -> (Vec<u8>, i64) {
        loop {
            let payload = photos::unique(&photos::red());
            let slot = slot_of(&cluster.nodes[0], &payload);
            if cluster.owner(slot) == 0 && !self.slots.contains(&slot) {
                return (payload, slot);
            }
        }
    }
}

/// How often this node has replied an error of that word.
fn errors(node: &Server, word: &str) -> i64 {
    let errors = node.info_of("errorstats");
    errors
        .get(&format!("errorstat_{word}"))
        .map_or(0, |text| text.trim_start_matches("count=").parse().expect("a number"))
}

fn asked_for_keys(node: &Server) -> bool {
    node.info_of("commandstats").contains_key("cmdstat_command|getkeys")
}
