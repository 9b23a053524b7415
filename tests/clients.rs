//! The clients that people use, on a cluster: each runs its program out of `examples/`, as a user would.

use crate::commands::RED_RESULT;
use crate::support::cluster::{Cluster, set_slot};
use crate::support::*;
use redis::cmd;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

#[test]
fn redis_py_finds_its_way() {
    let mut program = Command::new(installed("venv/bin/python"));
    program.arg(example("redis_py.py"));
    let cluster = story(program, Knows::TheKey);
    for node in &cluster.nodes {
        let asked = node.info_of("commandstats").contains_key("cmdstat_command|getkeys");
        assert!(!asked, "redis-py has sent photos once more, to ask where their key is");
    }
}

#[test]
fn node_redis_finds_its_way() {
    with_node("node_redis.mjs");
}

#[test]
fn ioredis_finds_its_way() {
    with_node("ioredis.mjs");
}

#[test]
fn redis_rs_finds_its_way() {
    story(Command::new(built("redis_rs")), Knows::TheKey);
}

#[test]
fn redis_rs_finds_its_way_with_tokio() {
    story(Command::new(built("redis_rs_async")), Knows::TheKey);
}

#[test]
fn redis_cli_finds_its_way() {
    let mut program = Command::new("bash");
    program.arg(example("redis_cli.sh"));
    story(program, Knows::OneNode);
}

/// What a client knows when it sends a command.
#[derive(PartialEq)]
enum Knows {
    TheKey,
    OneNode,
}

/// A batch, results, an error, metadata, and a slot that moves while the client works.
fn story(program: Command, knows: Knows) -> Cluster {
    let cluster = Cluster::start(3, Server::with);
    let pictures = Pictures::on(&cluster);
    let bad = pictures.write("bad.jpg", b"no image");
    let mut client = Client::start(
        program,
        &cluster,
        &[&pictures.paths[..], std::slice::from_ref(&bad)].concat(),
    );

    for name in &pictures.names {
        assert_eq!(client.line(), ["batch", name, RED_RESULT]);
    }
    client.expect_bad("batch");
    assert_eq!(client.line(), ["get", &pictures.names[0], RED_RESULT]);
    assert_eq!(client.line(), ["meta", &pictures.names[0], "stored", &pictures.digests[0]]);
    for (node, expected) in cluster.nodes.iter().zip(&pictures.on_node) {
        assert_eq!(cmd("DBSIZE").number(&mut node.client()), *expected);
        assert_eq!(node.model_count("tiny", "computed"), *expected);
        if knows == Knows::TheKey {
            assert_eq!(moved(node), 0, "a photo went to the wrong node first");
        }
    }

    // A slot without keys goes from the first node to the second. No client has been told.
    let (payload, slot) = pictures.in_a_slot_without_keys(&cluster);
    for i in [1, 0, 2] {
        set_slot(&cluster.nodes[i], &slot.to_string(), "NODE", &cluster.nodes[1]);
    }
    let before = moved(&cluster.nodes[0]);
    client.ask(&pictures.write("moved.png", &payload));
    assert_eq!(client.line(), ["photo", "moved.png", RED_RESULT]);
    assert!(moved(&cluster.nodes[0]) > before, "it was sent on");
    let stored = get(photos::key_of(&payload)).text(&mut cluster.nodes[1].client());
    assert_eq!(stored, RED_RESULT);

    client.ask(&bad);
    client.expect_bad("photo");
    client.end();
    cluster
}

fn with_node(name: &str) {
    let folder = clients();
    if !folder.join("node").exists() {
        eprintln!("SKIPPED: {name}: `make clients` could not fetch node or its clients");
        return;
    }
    // Where its imports are found.
    std::fs::copy(example(name), folder.join(name)).expect("the example is copied");
    let mut program = Command::new(folder.join("node"));
    program.arg(folder.join(name));
    story(program, Knows::TheKey);
}

/// Files that show the same and lie on all three nodes.
struct Pictures {
    folder: tempfile::TempDir,
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
            folder: tempfile::tempdir().expect("a folder"),
            paths: Vec::new(),
            names: Vec::new(),
            digests: Vec::new(),
            slots: HashSet::new(),
            on_node: [0; 3],
        };
        while pictures.on_node.iter().any(|count| *count < 2) {
            let payload = photos::unique(&photos::red());
            let slot = slot_of(cluster, &payload);
            let name = format!("{}.png", pictures.names.len());
            pictures.paths.push(pictures.write(&name, &payload));
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
            let slot = slot_of(cluster, &payload);
            if cluster.owner(slot) == 0 && !self.slots.contains(&slot) {
                return (payload, slot);
            }
        }
    }

    fn write(&self, name: &str, payload: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, payload).expect("the picture is written");
        path
    }
}

fn slot_of(cluster: &Cluster, payload: &[u8]) -> i64 {
    let key = photos::key_of(payload);
    cmd("CLUSTER").arg(&["KEYSLOT", &key]).number(&mut cluster.nodes[0].client())
}

/// How often this node has replied MOVED.
fn moved(node: &Server) -> i64 {
    let errors = node.info_of("errorstats");
    errors
        .get("errorstat_MOVED")
        .map_or(0, |text| text.trim_start_matches("count=").parse().expect("a number"))
}

/// A running program of a user: photos' names go in, lines of what was found come out.
struct Client {
    process: Child,
    lines: Receiver<String>,
}

impl Client {
    fn start(mut program: Command, cluster: &Cluster, paths: &[PathBuf]) -> Client {
        let mut process = program
            .arg(format!("127.0.0.1:{}", cluster.nodes[0].port))
            .args(paths)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client's program starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Client { process, lines }
    }

    #[track_caller]
    fn line(&self) -> Vec<String> {
        let line = self.lines.recv_timeout(3 * PATIENCE).expect("a line of the client");
        line.split('\t').map(str::to_owned).collect()
    }

    #[track_caller]
    fn expect_bad(&self, step: &str) {
        let line = self.line();
        assert_eq!(line[..2], [step, "bad.jpg"]);
        assert!(line[2].starts_with("BADIMAGE "), "{line:?}");
    }

    fn ask(&mut self, path: &std::path::Path) {
        let input = self.process.stdin.as_mut().expect("piped");
        writeln!(input, "{}", path.display()).expect("the client reads");
        input.flush().expect("the client reads");
    }

    #[track_caller]
    fn end(mut self) {
        drop(self.process.stdin.take());
        let status =
            wait_for("the end of the client", || self.process.try_wait().expect("a child"));
        assert!(status.success(), "{status}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// An example in Rust, beside the test itself.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let path = test.ancestors().nth(2).expect("target/debug/deps/").join("examples").join(name);
    assert!(path.is_file(), "no {}: `make test` builds it", path.display());
    path
}

fn clients() -> PathBuf {
    repository().join("target/clients")
}

fn installed(program: &str) -> PathBuf {
    let path = clients().join(program);
    assert!(path.exists(), "no {}: `make clients` fetches it", path.display());
    path
}
