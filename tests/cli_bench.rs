//! `redis-image bench`: what it says it sent is what the servers counted, and nothing of it is left.

use crate::support::cluster::Cluster;
use crate::support::tool::{Told, run, told, tool};
use crate::support::*;
use redis::cmd;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Stdio};

fn bench(server: &Server, more: &[&str]) -> Told {
    let url = format!("redis://127.0.0.1:{}", server.port);
    run([&["bench", "--output", "json", "--url", &url], more].concat())
}

/// A folder with a few pictures, one in each of three formats.
fn some_photos() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let formats = [
        ("red.png", photos::RED, image::ImageFormat::Png),
        ("green.jpg", photos::GREEN, image::ImageFormat::Jpeg),
        ("blue.bmp", photos::BLUE, image::ImageFormat::Bmp),
    ];
    for (name, colour, format) in formats {
        let bytes = photos::picture(colour, 40, 30, format);
        std::fs::write(folder.path().join(name), bytes).expect("written");
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn interrupt(running: &Child) {
    // SAFETY: a signal to a child of ours that has not been waited for.
    unsafe { libc::kill(running.id() as libc::pid_t, libc::SIGINT) };
}

#[track_caller]
fn of_kind<'a>(figures: &'a Value, kind: &str) -> &'a Value {
    let kinds = figures["kinds"].as_array().expect("kinds");
    kinds.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {figures:#}"))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn its_counts_are_the_servers() {
    let server = Server::with().setting("threads", 2).start();
    let folder = some_photos();
    let mix = ["--mix", "hits=6,misses=3,gets=1", "--requests", "200", "--concurrency", "4"];
    let told = bench(&server, &[&mix[..], &["--photos", text(folder.path())]].concat());
    assert_eq!(told.status, 0, "{told:?}");
    let report = told.json();
    assert_eq!(
        (number(&report["requests"]), report["errors"].as_object().expect("a map").len()),
        (200, 0)
    );
    let (hits, misses, gets) =
        (of_kind(&report, "hits"), of_kind(&report, "misses"), of_kind(&report, "gets"));
    assert_eq!(hits["sources"], serde_json::json!({ "stored": 120 }));
    assert_eq!(misses["sources"], serde_json::json!({ "computed": 60 }));
    assert_eq!(gets["sources"], serde_json::json!({ "stored": 20 }));
    assert_eq!(server.model_count("tiny", "hits"), 140);
    let prepared = number(&report["prepared"]);
    assert_eq!(server.model_count("tiny", "computed"), 60 + prepared);
    assert_eq!(server.count("stored"), 60 + prepared);
    for kind in [hits, misses, gets] {
        let ms = &kind["ms"];
        let [p50, p95, p99, max] =
            ["p50", "p95", "p99", "max"].map(|name| ms[name].as_f64().expect("a number"));
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 <= max, "{ms}");
    }
    assert_eq!(number(&report["removed"]), 60 + prepared);
    assert_eq!(cmd("DBSIZE").number(&mut server.client()), 0, "nothing is left");
}

#[test]
fn it_touches_no_key_but_its_own_which_expire() {
    let server = Server::start();
    let mut client = server.client();
    cmd("SET").arg(&["bench:mine", "stays"]).text(&mut client);
    // Held, so that the keys can be looked at.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.png"), photos::red()).expect("written");
    let url = format!("redis://127.0.0.1:{}", server.port);
    let mut command = tool();
    command.args(["bench", "--mix", "misses=1", "--duration", "60", "--concurrency", "1"]);
    command.args(["--url", &url, "--output", "json", "--photos", text(folder.path())]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let keys = wait_for("keys of the run", || {
        let keys = cmd("KEYS").arg("*").list(&mut client);
        (keys.len() > 20).then_some(keys)
    });
    for key in keys.iter().filter(|key| *key != "bench:mine") {
        assert!(key.starts_with("bench:"), "{key}");
        assert!(cmd("TTL").arg(key).number(&mut client) > 600, "{key}");
    }
    // Ctrl-C ends it well.
    interrupt(&running);
    let told = told(running.wait_with_output().expect("it ends"));
    assert_eq!(told.status, 130, "{told:?}");
    assert!(number(&told.json()["requests"]) > 0);
    assert_eq!(cmd("KEYS").arg("*").list(&mut client), ["bench:mine"]);
}

#[test]
fn each_node_of_a_cluster_is_measured() {
    let cluster = Cluster::start(3, || Server::with().setting("threads", 1));
    let folder = some_photos();
    let options =
        ["--requests", "300", "--mix", "hits=2,misses=1", "--photos", text(folder.path())];
    let told = bench(&cluster.nodes[1], &options);
    assert_eq!(told.status, 0, "{told:?}");
    let report = told.json();
    let nodes = report["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 3, "{report:#}");
    let mut computed = 0;
    for node in nodes {
        let address = node["node"].as_str().expect("text");
        let port = address.rsplit_once(':').expect("an address").1.parse().expect("a port");
        let server = cluster.on(port);
        assert_eq!(number(&of_kind(node, "hits")["answered"]), server.model_count("tiny", "hits"));
        assert!(number(&of_kind(node, "misses")["answered"]) > 10, "{node:#}");
        computed += server.model_count("tiny", "computed");
        assert_eq!(cmd("DBSIZE").number(&mut server.client()), 0);
    }
    let prepared = number(&report["prepared"]);
    assert_eq!(number(&of_kind(&report, "misses")["answered"]) + prepared, computed);
    assert_eq!(number(&of_kind(&report, "hits")["answered"]), 200);
}

#[test]
fn errors_are_counted_by_their_word() {
    // One worker, and room for one more.
    let server = Server::with().setting("threads", 1).setting("queue-length", 1).start();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.png"), photos::red()).expect("written");
    std::fs::write(folder.path().join("b.png"), b"no image").expect("written");
    let url = format!("redis://127.0.0.1:{}", server.port);
    let mut command = tool();
    command.args(["bench", "--mix", "misses=1", "--duration", "60", "--concurrency", "4"]);
    command.args(["--url", &url, "--output", "json", "--photos", text(folder.path())]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    wait_until("it sends", || server.model_count("tiny", "computed") > 20);
    // While the worker is held, one of its four waits and the others are refused.
    let mut refused_here = 0;
    wait_until("it is refused", || {
        let held = server.send(&recognize("held", &photos::slow(500))).reply();
        refused_here += i64::from(matches!(held, Reply::Error(_)));
        server.count("refused") > refused_here
    });
    interrupt(&running);
    let told = told(running.wait_with_output().expect("it ends"));
    let report = told.json();
    assert!(report["errors"]["QUEUEFULL"].as_i64().expect("counted") > 0, "{report:#}");
    assert!(told.err.contains("b.png is left out"), "{told:?}");
}

#[test]
fn a_node_that_dies_costs_its_own_requests_and_no_others() {
    let mut cluster = Cluster::start(3, || {
        // The others go on serving their slots.
        Server::with().config("cluster-require-full-coverage", "no")
    });
    let folder = some_photos();
    let url = format!("redis://127.0.0.1:{}", cluster.nodes[0].port);
    let mut command = tool();
    command.args(["bench", "--mix", "hits=1,misses=1", "--duration", "60", "--url", &url]);
    command.args(["--output", "json", "--photos", text(folder.path())]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    wait_until("hits", || cluster.nodes[2].model_count("tiny", "hits") > 10);
    cluster.nodes[2].kill();
    let computed = |cluster: &Cluster| cluster.nodes[0].model_count("tiny", "computed");
    let before = computed(&cluster);
    wait_until("the load goes on", || computed(&cluster) > before + 20);

    interrupt(&running);
    let told = told(running.wait_with_output().expect("it ends"));
    assert_eq!(told.status, 130, "{told:?}");
    let report = told.json();
    assert!(report["errors"]["LOST"].as_i64().expect("counted") > 0, "{report:#}");
    assert!(told.err.contains("could not be removed, they will expire"), "{told:?}");
    for node in &cluster.nodes[..2] {
        assert_eq!(cmd("DBSIZE").number(&mut node.client()), 0);
    }
}

#[test]
fn what_cannot_work_is_said_before_any_load() {
    let server = Server::start();
    let empty = tempfile::tempdir().expect("a folder");
    let refused = bench(&server, &["--photos", text(empty.path())]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.err.contains("holds no photo"), "{refused:?}");
    let refused = bench(&server, &["--mix", "hits=0"]);
    assert_eq!(refused.status, 2, "{refused:?}");
    let refused = bench(&server, &["--model", "nowhere"]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.err.contains("NOMODEL"), "{refused:?}");
    let bare = Server::with().without_module().start();
    let refused = bench(&bare, &[]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.err.contains("loadmodule"), "{refused:?}");
}

#[test]
fn without_photos_it_makes_a_picture() {
    let server = Server::start();
    let told = bench(&server, &["--requests", "20"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert_eq!(number(&told.json()["requests"]), 20);
}
