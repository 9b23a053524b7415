//! `redis-image recognize` where nodes fail: a cluster, Sentinel, one server with an append-only file.

use crate::cli_recognize::{assert_all_right, folder_of, folder_of_pictures, lines, url};
use crate::support::cluster::{Cluster, id};
use crate::support::crowd::signal;
use crate::support::sentinel::Sentinel;
use crate::support::tool::{Told, run, told, tool};
use crate::support::*;
use redis::cmd;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};

/// The tool under way, its output read line by line.
struct Running {
    process: Child,
    reader: BufReader<std::process::ChildStdout>,
    out: String,
}

impl Running {
    fn start(folder: &Path, servers: &[&str]) -> Running {
        let mut command = tool();
        command.args(["recognize", "--output", "json"]).args(servers).arg(folder);
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let reader = BufReader::new(process.stdout.take().expect("piped"));
        Running { process, reader, out: String::new() }
    }

    /// Until so many photos were told.
    fn read_lines(&mut self, count: usize) {
        while self.out.lines().count() < count {
            let read = self.reader.read_line(&mut self.out).expect("UTF-8");
            assert!(read > 0, "it ended early: {}", self.out);
        }
    }

    fn end(mut self) -> Told {
        self.reader.read_to_string(&mut self.out).expect("UTF-8");
        let mut told = told(self.process.wait_with_output().expect("it ends"));
        told.out = self.out;
        told
    }
}

fn address(server: &Server) -> String {
    format!("127.0.0.1:{}", server.port)
}

#[test]
fn a_master_killed_amid_five_hundred_costs_no_result() {
    let node = || Server::with().setting("threads", 1);
    let mut cluster = Cluster::start(3, node);
    for master in 0..3 {
        cluster.add_replica_of(master, node);
    }
    let folder = folder_of(500);
    let nodes = [address(&cluster.nodes[0]), address(&cluster.nodes[1])].join(",");
    let mut running = Running::start(folder.path(), &["--cluster", &nodes, "--concurrency", "6"]);
    running.read_lines(100);
    cluster.nodes[1].kill();
    let told = running.end();
    assert_eq!(told.status, 0, "{}", told.err);
    assert_all_right(&told.out, 500, None);

    let owners: Vec<&Server> = cluster
        .nodes
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != 1)
        .map(|(_, server)| server)
        .filter(|server| server.info_of("replication")["role"] == "master")
        .collect();
    assert_eq!(owners.len(), 3);
    let sizes = owners.iter().map(|owner| cmd("DBSIZE").number(&mut owner.client()));
    assert_eq!(sizes.sum::<i64>(), 500);
    for line in lines(&told.out) {
        let key = format!("image:{}", line["sha256"].as_str().expect("text"));
        let fields = owners.iter().find_map(|owner| {
            let reply = cmd("HGETALL").arg(&key).reply(&mut owner.client());
            matches!(reply, Reply::Value(_)).then(|| reply.list())
        });
        let fields = fields.expect("an owner has the slot");
        assert_eq!(fields.len(), 4, "the digest and one result: {fields:?}");
    }

    // All of it is there: the next run sends nothing, though one of its nodes is dead.
    let again = run([
        "recognize",
        folder.path().to_str().expect("UTF-8"),
        "--output",
        "json",
        "--cluster",
        &[address(&cluster.nodes[1]), address(&cluster.nodes[2])].join(","),
    ]);
    assert_eq!(again.status, 0, "{}", again.err);
    assert_all_right(&again.out, 500, Some("stored"));
}

#[test]
fn any_node_of_a_cluster_will_do() {
    let cluster = Cluster::start(3, Server::with);
    let folder = folder_of(30);
    let told = Running::start(folder.path(), &["--url", &url(&cluster.nodes[2])]).end();
    assert_eq!(told.status, 0, "{}", told.err);
    assert_all_right(&told.out, 30, Some("computed"));
    for node in &cluster.nodes {
        assert!(node.model_count("tiny", "computed") > 0);
        // It knew where to send them.
        assert!(!node.info_of("errorstats").contains_key("errorstat_MOVED"));
    }
}

#[test]
fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start(2, || Server::with().setting("threads", 1));
    let folder = folder_of_pictures((0..40).map(|i| {
        photos::slowed(
            &photos::unique(&[photos::red(), photos::green(), photos::blue()][i % 3]),
            30,
        )
    }));
    let mut running =
        Running::start(folder.path(), &["--url", &url(&cluster.nodes[0]), "--concurrency", "2"]);
    running.read_lines(5);
    let (old, new) = (&cluster.nodes[0], &cluster.nodes[1]);
    let (old_id, new_id) = (id(old), id(new));
    // The keys that are there go along, so that none is where nobody looks; the first half stays on its way (ASK).
    let (mut from, mut to) = (old.client(), new.client());
    let set_slot = |client: &mut redis::Connection, slot: i64, state: &str, node: &str| {
        cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(&[state, node]).text(client);
    };
    for slot in 0..8192 {
        set_slot(&mut to, slot, "IMPORTING", &old_id);
        set_slot(&mut from, slot, "MIGRATING", &new_id);
        let keys = cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(100).list(&mut from);
        if !keys.is_empty() {
            let mut migrate = cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(new.port).arg("").arg(0).arg(5000).arg("KEYS").arg(keys);
            migrate.text(&mut from);
        }
        if slot >= 4096 {
            set_slot(&mut to, slot, "NODE", &new_id);
            set_slot(&mut from, slot, "NODE", &new_id);
        }
    }
    let told = running.end();
    assert_eq!(told.status, 0, "{}", told.err);
    assert_all_right(&told.out, 40, None);
}

#[test]
fn the_node_without_the_module_is_named() {
    let mut cluster = Cluster::start(2, Server::with);
    // The third has a third of nothing, until it is given slots.
    cluster.nodes.push(Server::with().without_module().cluster().start());
    let bare = cluster.nodes.pop().expect("just added");
    let port = bare.port.to_string();
    let bus = cmd("CONFIG").arg(&["GET", "cluster-port"]).list(&mut bare.client())[1].clone();
    cmd("CLUSTER").arg(&["MEET", "127.0.0.1", &port, &bus]).text(&mut cluster.nodes[0].client());
    let id = id(&bare);
    wait_until("all know the new node", || {
        cluster
            .nodes
            .iter()
            .all(|node| cmd("CLUSTER").arg("NODES").text(&mut node.client()).contains(&id))
    });
    for node in cluster.nodes.iter().chain([&bare]) {
        cmd("CLUSTER").arg("SETSLOT").arg(0).arg(&["NODE", &id]).text(&mut node.client());
    }
    let folder = folder_of(5);
    wait_until("the first node knows the new owner", || {
        let slots = cmd("CLUSTER").arg("NODES").text(&mut cluster.nodes[0].client());
        slots.lines().any(|line| line.contains(&id) && line.trim_end().ends_with(" 0"))
    });
    let told = Running::start(folder.path(), &["--url", &url(&cluster.nodes[0])]).end();
    assert_eq!(told.status, 2, "{told:?}");
    assert!(
        told.err.contains(&format!("node {} has not loaded the module", address(&bare))),
        "{told:?}"
    );
}

#[test]
fn what_was_told_is_there_after_a_power_cut() {
    let mut server =
        Server::with().setting("threads", 2).append_only().config("appendfsync", "always").start();
    let folder = folder_of(300);
    let mut running = Running::start(folder.path(), &["--url", &url(&server)]);
    running.read_lines(60);
    server.kill();
    let told_before = running.out.clone();
    server.start_again();
    let mut client = server.client();
    for line in lines(&told_before) {
        let key = format!("image:{}", line["sha256"].as_str().expect("text"));
        let stored = get(&key).text(&mut client);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&stored).expect("JSON"),
            line["result"]
        );
    }
    let told = running.end();
    assert_eq!(told.status, 0, "{}", told.err);
    assert_all_right(&told.out, 300, None);
    assert_eq!(cmd("DBSIZE").number(&mut client), 300);
}

#[test]
fn a_server_that_stays_away_costs_one_wait() {
    let mut server = Server::with().setting("threads", 1).start();
    let folder = folder_of_pictures((0..60).map(|_| photos::slow(30)));
    let mut running = Running::start(folder.path(), &["--url", &url(&server), "--retry-for", "1"]);
    running.read_lines(5);
    server.kill();
    let told = running.end();
    assert_eq!(told.status, 1, "{told:?}");
    assert_eq!(lines(&told.out).len(), 60);
    assert!(
        told.err.contains(&address(&server)) && told.err.contains("--retry-for"),
        "{}",
        told.err
    );
}

/// One that accepts everything and says nothing is asked by one at a time; the others learn from it.
#[test]
fn a_server_that_hangs_costs_one_wait() {
    let server = Server::with().setting("threads", 1).start();
    let folder = folder_of_pictures((0..200).map(|_| photos::slow(20)));
    let options = ["--url", &url(&server), "--retry-for", "3", "--timeout", "1"];
    let mut running = Running::start(folder.path(), &options);
    running.read_lines(5);
    signal(&server, libc::SIGSTOP);
    let told = running.end();
    assert_eq!((told.status, lines(&told.out).len()), (1, 200), "{told:?}");
    let waited = told.out.split("given up after ").skip(1);
    let waited: Vec<u64> =
        waited.map(|text| text.split(' ').next().expect("a word").parse().expect("s")).collect();
    assert!(waited.len() > 100 && waited.iter().all(|seconds| *seconds < 60), "{waited:?}");
}

#[test]
fn sentinels_have_a_login_of_their_own() {
    let master = Server::start();
    let sentinel = Sentinel::of(&master);
    let sentinels = format!("127.0.0.1:{}", sentinel.port);
    let rules = ["SETUSER", "finder", "on", ">secret", "+@all"];
    cmd("ACL").arg(&rules).text(&mut sentinel.client());
    cmd("ACL").arg(&["SETUSER", "default", "off"]).text(&mut sentinel.client());
    let folder = folder_of(3);
    let ask = |more: &[&str]| {
        let of_master = ["--sentinel", &sentinels, "--master", "images", "--retry-for", "1"];
        Running::start(folder.path(), &[&of_master, more].concat()).end()
    };
    for refused in [ask(&[]), ask(&["--sentinel-user", "finder", "--sentinel-password", "wrong"])] {
        assert_eq!(refused.status, 2, "{refused:?}");
        assert!(
            refused.err.contains("SENTINEL") && refused.err.contains(&sentinels),
            "{refused:?}"
        );
    }
    let let_in = ask(&["--sentinel-user", "finder", "--sentinel-password", "secret"]);
    assert_eq!(let_in.status, 0, "{let_in:?}");
    assert_all_right(&let_in.out, 3, None);
}

#[test]
fn a_sentinel_s_failover_is_followed() {
    let mut master = Server::with().setting("threads", 1).start();
    let replica = Server::with().setting("threads", 1).replica_of(&master).start();
    replica.wait_for_sync(&master);
    let sentinel = Sentinel::of(&master);
    wait_until("the Sentinel knows the replica", || {
        let replicas = cmd("SENTINEL").arg(&["REPLICAS", "images"]).value(&mut sentinel.client());
        format!("{replicas:?}").contains(&replica.port.to_string())
    });
    let folder = folder_of_pictures((0..60).map(|i| {
        photos::slowed(
            &photos::unique(&[photos::red(), photos::green(), photos::blue()][i % 3]),
            20,
        )
    }));
    let sentinels = format!("127.0.0.1:{}", sentinel.port);
    let of_master = ["--sentinel", &sentinels, "--master", "images"];
    let mut running = Running::start(folder.path(), &of_master);
    running.read_lines(10);
    master.kill();
    let told = running.end();
    assert_eq!(told.status, 0, "{told:?}");
    assert_all_right(&told.out, 60, None);
    assert_eq!(cmd("DBSIZE").number(&mut replica.client()), 60);

    let of_nobody = ["--sentinel", &sentinels, "--master", "nobody"];
    let refused = Running::start(folder.path(), &of_nobody).end();
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.err.contains("--master"), "{refused:?}");
}
