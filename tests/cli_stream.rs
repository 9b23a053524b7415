//! `redis-image watch --stream`: camera frames, each recognised and told before it is acknowledged.

use crate::cli_recognize::url;
use crate::support::cluster::Cluster;
use crate::support::galleries::{enrol, enrol_photo, vector};
use crate::support::tool::{run, tool};
use crate::support::*;
use redis::{Connection, cmd};
use std::collections::BTreeMap;
use std::process::{Child, Stdio};

/// A consumer of `frames`; killed when it goes out of scope.
pub struct Consumer(Child);

impl Consumer {
    pub fn start(server: &Server, name: &str, more: &[&str]) -> Consumer {
        let mut command = tool();
        command.args(["watch", "--url", &url(server), "--stream", "frames", "--group", "g"]);
        command.args(["--consumer", name, "--results", "found"]).args(more);
        Consumer(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts"))
    }

    pub fn signal(&mut self, signal: i32) -> Option<i32> {
        // SAFETY: a signal to a child of ours that has not been waited for.
        unsafe { libc::kill(self.0.id() as i32, signal) };
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn add(client: &mut Connection, fields: &[(&str, &[u8])]) -> String {
    let mut command = cmd("XADD");
    command.arg("frames").arg("*");
    for (name, value) in fields {
        command.arg(name).arg(*value);
    }
    command.text(client)
}

/// The entries of `found`, by the id of their frame.
fn found(client: &mut Connection) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let entries = cmd("XRANGE").arg(&["found", "-", "+"]).value(client);
    let entries: Vec<(String, BTreeMap<String, String>)> =
        redis::from_redis_value(entries).expect("entries");
    let mut by_frame: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
    for (_, fields) in entries {
        by_frame.entry(fields["id"].clone()).or_default().push(fields);
    }
    by_frame
}

/// How many frames were delivered and not acknowledged; -1 if there is no group.
pub fn pending(client: &mut Connection) -> i64 {
    let Reply::Value(redis::Value::Array(summary)) =
        cmd("XPENDING").arg(&["frames", "g"]).reply(client)
    else {
        return -1;
    };
    redis::from_redis_value(summary[0].clone()).expect("a number")
}

#[test]
fn frames_are_told_and_acknowledged() {
    let server = Server::start();
    let mut client = server.client();
    let one = add(&mut client, &[("image", &photos::red()), ("camera", b"door")]);
    let mut consumer = Consumer::start(&server, "c", &["--maxlen", "1000"]);
    let two =
        add(&mut client, &[("image", &photos::green()), ("key", b"camera:17"), ("model", b"tiny")]);
    let again = add(&mut client, &[("image", &photos::red()), ("camera", b"gate")]);
    let no_image = add(&mut client, &[("image", b"no image"), ("camera", b"door")]);
    let empty = add(&mut client, &[("camera", b"door")]);
    let no_model = add(&mut client, &[("image", &photos::blue()), ("model", b"nowhere")]);
    wait_until("all are told", || found(&mut client).len() == 6 && pending(&mut client) == 0);
    let found = found(&mut client);
    assert!(found.values().all(|entries| entries.len() == 1), "{found:#?}");
    let of = |id: &str| &found[id][0];
    assert_eq!(of(&one)["result"], crate::commands::RED_RESULT);
    assert_eq!(of(&one)["camera"], "door");
    assert_eq!(of(&one)["sha256"], photos::digest(&photos::red()));
    assert_eq!(of(&one)["key"], photos::key_of(&photos::red()));
    assert!(of(&two)["result"].contains("green") && of(&two)["key"] == "camera:17");
    assert_eq!(
        cmd("HGET").arg(&["camera:17", "sha256"]).text(&mut client),
        photos::digest(&photos::green())
    );
    assert_eq!(of(&again)["result"], of(&one)["result"]);
    assert_eq!(server.model_count("tiny", "computed"), 2, "a duplicate is no computation");
    for (id, word) in [(&no_image, "BADIMAGE"), (&empty, "image"), (&no_model, "NOMODEL")] {
        assert!(of(id)["error"].contains(word), "{:?}", of(id));
        assert!(!of(id).contains_key("result"));
    }
    assert_eq!(consumer.signal(libc::SIGTERM), Some(0));
}

#[test]
fn a_consumer_killed_at_any_moment_loses_no_frame() {
    let server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    let colours = [photos::red(), photos::green(), photos::blue()];
    let frames: Vec<(String, usize)> = (0..120)
        .map(|i| {
            let picture = photos::slowed(&photos::unique(&colours[i % 3]), 15);
            (add(&mut client, &[("image", &picture)]), i % 3)
        })
        .collect();
    let told = |client: &mut Connection| found(client).len();
    for death in 1..=5 {
        let mut consumer = Consumer::start(&server, "c", &["--concurrency", "4"]);
        let before = told(&mut client);
        wait_until("some frames", || told(&mut client) >= before + 3 * death);
        consumer.signal(libc::SIGKILL);
    }
    assert!(told(&mut client) < 120, "the deaths came too late");
    // What it left behind another one takes over; a third joins.
    let _others = ["d", "e"].map(|name| Consumer::start(&server, name, &["--claim-after", "1"]));
    wait_until("every frame is acknowledged", || {
        told(&mut client) == 120 && pending(&mut client) == 0
    });
    let found = found(&mut client);
    for (id, colour) in &frames {
        for entry in &found[id] {
            let label = ["\"red\"", "\"green\"", "\"blue\""][*colour];
            assert!(
                entry["result"].starts_with("{\"task\":\"classify\",\"labels\":[{\"label\":"),
                "{entry:?}"
            );
            assert!(entry["result"].find(label) < entry["result"].find("\"id\""), "{entry:?}");
        }
    }
    assert_eq!(server.model_count("tiny", "computed"), 120, "duplicates came from the store");
}

#[test]
fn a_node_killed_amid_the_frames_loses_none() {
    let mut server =
        Server::with().setting("threads", 2).append_only().config("appendfsync", "always").start();
    let mut client = server.client();
    let frames: Vec<String> = (0..80)
        .map(|_| {
            let picture = photos::slow(15);
            add(&mut client, &[("image", &picture)])
        })
        .collect();
    let _consumer = Consumer::start(&server, "c", &["--concurrency", "4", "--retry-for", "1"]);
    for share in [15, 40] {
        wait_until("some frames", || found(&mut server.client()).len() >= share);
        server.kill();
        server.start_again();
    }
    wait_until("every frame is acknowledged", || {
        let client = &mut server.client();
        found(client).len() == 80 && pending(client) == 0
    });
    let found = found(&mut server.client());
    for id in &frames {
        assert!(found[id].iter().all(|entry| entry["result"] == crate::commands::RED_RESULT));
    }
}

#[test]
fn the_stream_of_results_is_bounded() {
    let server = Server::start();
    let mut client = server.client();
    for _ in 0..400 {
        add(&mut client, &[("image", &photos::red())]);
    }
    let _consumer = Consumer::start(&server, "c", &["--maxlen", "100", "--batch", "5"]);
    wait_until("every frame is acknowledged", || {
        let groups = cmd("XINFO").arg(&["GROUPS", "frames"]).reply(&mut client);
        format!("{groups:?}").contains("lag") && pending(&mut client) == 0 && {
            let length = cmd("XINFO").arg(&["STREAM", "found"]).reply(&mut client);
            matches!(length, Reply::Value(_)) && added(&mut client) == 400
        }
    });
    assert!(cmd("XLEN").arg("found").number(&mut client) <= 200, "whole nodes of the stream go");
}

/// Entries that were ever added to `found`.
fn added(client: &mut Connection) -> i64 {
    let info = cmd("XINFO").arg(&["STREAM", "found"]).value(client);
    let info: BTreeMap<String, redis::Value> = redis::from_redis_value(info).expect("a map");
    redis::from_redis_value(info["entries-added"].clone()).expect("a number")
}

/// It was evicted, or is brought back from a backup: no frame is given up for that.
#[test]
fn frames_wait_for_a_gallery_that_is_away() {
    let server = Server::with().real_models().setting("threads", 1).start();
    let mut client = server.client();
    let photo = photos::photo("obama.jpg");
    let comes = enrol_photo("people", "obama", &photo);
    comes.value(&mut client);
    let _consumer = Consumer::start(&server, "c", &["--gallery", "people"]);
    wait_until("it listens", || pending(&mut client) == 0);
    cmd("DEL").arg("people").number(&mut client);
    let id = add(&mut client, &[("image", &photo)]);
    wait_until("its result is there", || server.model_count("faces", "computed") == 2);
    assert_eq!(pending(&mut client), 1);
    comes.value(&mut client);
    wait_until("the frame is acknowledged", || pending(&mut client) == 0);
    let told = &found(&mut client)[&id];
    assert!(told.len() == 1 && told[0]["people"].contains("\"obama\""), "{told:?}");
    // What the frame itself asks for is its own fault.
    let id = add(&mut client, &[("image", &photo), ("model", b"embed")]);
    wait_until("it is told", || found(&mut client).contains_key(&id));
    assert!(found(&mut client)[&id][0]["error"].contains("dimensions"));
}

#[test]
fn both_streams_of_a_cluster_lie_in_one_slot() {
    let cluster = Cluster::start(1, Server::with);
    let url = url(&cluster.nodes[0]);
    let told = run([
        "watch",
        "--url",
        &url,
        "--stream",
        "frames",
        "--group",
        "g",
        "--consumer",
        "c",
        "--results",
        "found",
    ]);
    assert!(told.status == 2 && told.err.contains("one slot"), "{told:?}");
}

#[test]
fn what_could_never_work_is_refused_at_the_start() {
    let server = Server::start();
    let url = url(&server);
    let watch = |results: &str, more: &[&str]| {
        let mut arguments = vec!["watch", "--url", &url, "--stream", "frames", "--group", "g"];
        arguments.extend(["--consumer", "c", "--results", results]);
        arguments.extend(more);
        run(arguments)
    };
    let told = watch("frames", &[]);
    assert!(told.status == 2 && told.err.contains("another stream"), "{told:?}");
    let told = watch("found", &["--gallery", "people"]);
    assert!(told.status == 2 && told.err.contains("NOGALLERY"), "{told:?}");
    enrol("people", "alice", &vector(1)).value(&mut server.client());
    let told = watch("found", &["--gallery", "people", "--model", "tiny"]);
    assert!(told.status == 2 && told.err.contains("faces, not tiny"), "{told:?}");
    let told = watch("found", &["--gallery", "people"]);
    assert!(told.status == 2 && told.err.contains("NOMODEL"), "{told:?}");
    assert_eq!(cmd("EXISTS").arg(&["frames", "found"]).number(&mut server.client()), 0);
}
