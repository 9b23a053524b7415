//! `redis-image status`: it finds every node, and says what is wrong.

use crate::support::cluster::Cluster;
use crate::support::galleries::{enrol, vector};
use crate::support::sentinel::Sentinel;
use crate::support::tiny::{Flaw, Model};
use crate::support::tool::{Told, run};
use crate::support::*;
use serde_json::Value;

fn status(server: &Server) -> Told {
    run(["status", "--url", &format!("redis://127.0.0.1:{}", server.port)])
}

fn status_json(server: &Server) -> (Value, i32) {
    let url = format!("redis://127.0.0.1:{}", server.port);
    let told = run(["status", "--output", "json", "--url", &url]);
    (told.json(), told.status)
}

fn address(server: &Server) -> String {
    format!("127.0.0.1:{}", server.port)
}

#[track_caller]
fn node<'a>(status: &'a Value, server: &Server) -> &'a Value {
    let nodes = status["nodes"].as_array().expect("nodes");
    let found = nodes.iter().find(|node| node["address"] == address(server));
    found.unwrap_or_else(|| panic!("no {} in {status:#}", address(server)))
}

#[track_caller]
fn problems(status: &Value) -> Vec<&str> {
    let problems = status["problems"].as_array().expect("problems");
    problems.iter().map(|problem| problem.as_str().expect("text")).collect()
}

#[test]
fn a_master_and_its_replica_are_shown_whichever_is_named() {
    let master = Server::start();
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    for _ in 0..3 {
        recognize("k", &photos::red()).text(&mut client);
    }
    recognize("k", b"no image").error(&mut client);

    for named in [&master, &replica] {
        let (status, code) = status_json(named);
        assert_eq!(code, 0, "{status:#}");
        assert_eq!(status["nodes"].as_array().expect("nodes").len(), 2, "{status:#}");
        let (one, other) = (node(&status, &master), node(&status, &replica));
        assert_eq!((&one["role"], &other["role"]), (&"master".into(), &"replica".into()));
        assert_eq!(other["link"], "up");
        assert_eq!(other["master"], address(&master));
        let module = &one["module"];
        assert_eq!(module["version"], master.info()["version"]);
        assert_eq!(module["default_model"], "tiny");
        let model = &module["models"][0];
        assert_eq!(model["name"], "tiny");
        assert_eq!(model["version"], other["module"]["models"][0]["version"]);
        for field in ["hits", "misses", "computed", "failed"] {
            assert_eq!(model[field], master.model_count("tiny", field), "{field}");
        }
        assert_eq!((&model["hits"], &model["computed"]), (&2.into(), &1.into()));
        assert!(model["compute_ms"]["p50"].as_f64().expect("a number") > 0.0);
    }
    let told = status(&replica);
    assert_eq!(told.status, 0, "{told:?}");
    for words in [address(&master), address(&replica), "tiny".into(), "all 2".into()] {
        assert!(told.out.contains(&words), "{words}: {}", told.out);
    }
}

#[test]
fn every_node_of_a_cluster_is_shown_and_a_lost_one_is_named() {
    let mut cluster = Cluster::start(3, Server::with);
    for master in 0..3 {
        cluster.add_replica_of(master, Server::with);
    }
    let (status, code) = status_json(&cluster.nodes[4]);
    assert_eq!(code, 0, "{status:#}");
    let nodes = status["nodes"].as_array().expect("nodes");
    let of_role = |role: &str| nodes.iter().filter(|node| node["role"] == role).count();
    assert_eq!((of_role("master"), of_role("replica")), (3, 3), "{status:#}");
    for server in &cluster.nodes {
        assert_eq!(node(&status, server)["cluster_ok"], true);
    }

    cluster.nodes[5].kill();
    let (status, code) = status_json(&cluster.nodes[0]);
    assert_eq!(code, 1, "{status:#}");
    let lost = address(&cluster.nodes[5]);
    let problems = problems(&status);
    assert!(
        problems.iter().any(|text| text.starts_with(&lost) && text.contains("unreachable")),
        "{problems:?}"
    );
    assert!(!node(&status, &cluster.nodes[5])["unreachable"].is_null());
}

#[test]
fn a_replica_that_only_the_sentinels_remember_is_missed() {
    let master = Server::start();
    let mut replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let sentinel = Sentinel::of(&master);
    wait_until("the Sentinel knows the replica", || {
        let replicas =
            redis::cmd("SENTINEL").arg(&["REPLICAS", "images"]).value(&mut sentinel.client());
        matches!(replicas, redis::Value::Array(list) if list.len() == 1)
    });
    let sentinels = format!("127.0.0.1:{}", sentinel.port);
    let look = || {
        let told =
            run(["status", "--output", "json", "--sentinel", &sentinels, "--master", "images"]);
        (told.json(), told.status)
    };
    let (status, code) = look();
    assert_eq!((code, status["nodes"].as_array().expect("nodes").len()), (0, 2), "{status:#}");

    replica.kill();
    wait_until("the master has lost it", || {
        master.info_of("replication").get("connected_slaves").is_some_and(|count| count == "0")
    });
    let (status, code) = look();
    assert_eq!(code, 1, "{status:#}");
    assert_eq!(node(&status, &master)["role"], "master");
    let [problem] = problems(&status)[..] else { panic!("{status:#}") };
    assert!(
        problem.starts_with(&address(&replica)) && problem.contains("unreachable"),
        "{problem}"
    );
}

#[test]
fn two_versions_of_a_model_are_told_loudly() {
    let other = tiny::folder(&[("tiny", Model::new().replace("top = 3", "top = 2"))]);
    let master = Server::start();
    let replica =
        Server::with().models(other.path()).setting("model", "tiny").replica_of(&master).start();
    replica.wait_for_sync(&master);

    let (status, code) = status_json(&master);
    assert_eq!(code, 1, "{status:#}");
    let versions = [&master, &replica]
        .map(|server| node(&status, server)["module"]["models"][0]["version"].clone());
    assert_ne!(versions[0], versions[1]);
    let [problem] = problems(&status)[..] else { panic!("{status:#}") };
    for (server, version) in [&master, &replica].into_iter().zip(&versions) {
        let words = format!("{} on {}", version.as_str().expect("text"), address(server));
        assert!(problem.contains(&words), "{problem}");
    }
    let told = status_of_table(&master);
    assert!(told.lines().any(|line| line.starts_with("WRONG") && line.contains("tiny")), "{told}");
}

fn status_of_table(server: &Server) -> String {
    let told = status(server);
    assert_eq!(told.status, 1, "{told:?}");
    told.out
}

#[test]
fn a_node_without_the_module_is_named() {
    let master = Server::start();
    let replica = Server::with().without_module().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let (status, code) = status_json(&master);
    assert_eq!(code, 1);
    let [problem] = problems(&status)[..] else { panic!("{status:#}") };
    assert!(problem.starts_with(&address(&replica)), "{problem}");
    assert!(problem.contains("no module") && problem.contains("loadmodule"), "{problem}");
    assert!(node(&status, &replica)["module"].is_null());
}

#[test]
fn a_model_that_failed_is_told_with_its_reason() {
    let folder =
        tiny::folder(&[("tiny", Model::new()), ("broken", Model::flawed(Flaw::FourScores))]);
    let with_default = |name: &str| {
        let server = Server::with().models(folder.path()).setting("model", name).start();
        status_json(&server)
    };
    let (status, code) = with_default("broken");
    assert_eq!(code, 1);
    assert!(problems(&status)[0].contains("model broken failed"), "{status:#}");
    // One that nobody asks for by default is worth a note.
    let (status, code) = with_default("tiny");
    assert_eq!((code, problems(&status).len()), (0, 0), "{status:#}");
    let note = status["notes"][0].as_str().expect("text");
    assert!(note.contains("model broken failed") && note.contains('4'), "{note}");

    let (status, code) = with_default("nowhere");
    assert_eq!(code, 1);
    assert!(problems(&status)[0].contains("nowhere"), "{status:#}");
}

#[test]
fn a_server_that_is_not_there_is_said_at_once() {
    let mut server = Server::start();
    server.kill();
    let told = status(&server);
    assert_eq!((told.status, told.out.as_str()), (2, ""), "{told:?}");
    assert!(told.err.contains(&address(&server)), "{told:?}");
}

#[test]
fn what_the_user_may_not_ask_is_said() {
    let server = Server::start();
    let rules = ["SETUSER", "looker", "on", ">secret", "-@all", "+info", "+role", "+image.models"];
    redis::cmd("ACL").arg(&rules).text(&mut server.client());
    let url = format!("redis://looker:secret@127.0.0.1:{}", server.port);
    let told = run(["status", "--output", "json", "--url", &url]);
    let status = told.json();
    assert_eq!(told.status, 0, "{status:#}");
    let note = status["notes"][0].as_str().expect("text");
    assert!(note.contains("CONFIG GET") && note.contains("NOPERM"), "{note}");
}

fn notes(status: &Value) -> Vec<&str> {
    let notes = status["notes"].as_array().expect("notes");
    notes.iter().map(|note| note.as_str().expect("text")).collect()
}

fn set(server: &Server, name: &str, value: &str) {
    redis::cmd("CONFIG").arg(&["SET", name, value]).text(&mut server.client());
}

#[test]
fn galleries_that_can_be_evicted_are_wrong() {
    let server = Server::with().append_only().config("maxmemory-policy", "allkeys-lru").start();
    set(&server, "maxmemory", "100mb");
    let told = status(&server);
    assert_eq!((told.status, told.out.contains("all 1 node(s) are well")), (0, true), "{told:?}");

    enrol("people", "joe", &vector(1)).value(&mut server.client());
    let told = status_of_table(&server);
    let wrong: Vec<&str> = told.lines().filter(|line| line.starts_with("WRONG")).collect();
    let [line] = wrong[..] else { panic!("{told}") };
    assert!(line.contains(&address(&server)) && line.contains("allkeys-lru"), "{line}");
    assert!(!told.contains("are well"), "{told}");

    set(&server, "maxmemory", "0");
    let (shown, code) = status_json(&server);
    let [note] = notes(&shown)[..] else { panic!("{shown:#}") };
    assert!(code == 0 && note.contains("allkeys-lru") && note.contains("maxmemory is 0"), "{note}");

    set(&server, "maxmemory", "100mb");
    set(&server, "maxmemory-policy", "volatile-lru");
    let told = status(&server);
    assert_eq!((told.status, told.out.contains("all 1 node(s) are well")), (0, true), "{told:?}");
}

#[test]
fn galleries_that_are_not_on_disk_are_wrong_and_saves_alone_are_a_note() {
    let server = Server::start();
    assert_eq!(status(&server).status, 0, "results can be computed again");
    enrol("people", "joe", &vector(1)).value(&mut server.client());
    let (shown, code) = status_json(&server);
    let [problem] = problems(&shown)[..] else { panic!("{shown:#}") };
    assert!(code == 1 && problem.contains("on disk"), "{problem}");

    set(&server, "save", "3600 1 300 100");
    let told = status(&server);
    assert_eq!((told.status, told.out.contains("are well")), (0, false), "{told:?}");
    let note = told.out.lines().find(|line| line.starts_with("note")).expect("a note");
    assert!(note.contains("save 3600 1 300 100") && note.contains("who was forgotten"), "{note}");

    set(&server, "appendonly", "yes");
    let told = status(&server);
    assert_eq!((told.status, told.out.contains("all 1 node(s) are well")), (0, true), "{told:?}");
}

#[test]
fn a_replica_does_not_stand_in_for_its_masters_disk() {
    let master = Server::start();
    let replica = Server::with().append_only().replica_of(&master).start();
    replica.wait_for_sync(&master);
    enrol("people", "joe", &vector(1)).value(&mut master.client());
    wait_until("the replica has it", || replica.count("galleries") == 1);
    let (shown, code) = status_json(&master);
    let [problem] = problems(&shown)[..] else { panic!("{shown:#}") };
    assert!(code == 1 && problem.starts_with(&address(&master)), "{problem}");
    assert!(problem.contains("its replicas are emptied"), "{problem}");

    set(&master, "appendonly", "yes");
    set(&replica, "appendonly", "no");
    let (shown, code) = status_json(&master);
    let [note] = notes(&shown)[..] else { panic!("{shown:#}") };
    assert!(code == 0 && note.starts_with(&address(&replica)), "{note}");
    assert!(note.contains("after a failover"), "{note}");
}

#[test]
fn where_config_is_renamed_it_is_not_called_well() {
    let server = Server::with().config("rename-command CONFIG", "configure").start();
    enrol("people", "joe", &vector(1)).value(&mut server.client());
    let told = status(&server);
    assert_eq!((told.status, told.out.contains("are well")), (0, false), "{told:?}");
    let note = told.out.lines().find(|line| line.contains("CONFIG GET save")).expect("a note");
    assert!(note.starts_with("note") && note.contains("not told"), "{note}");
}

#[test]
fn watching_shows_it_again_and_again() {
    use std::io::{BufRead, BufReader};
    let server = Server::start();
    let url = format!("redis://127.0.0.1:{}", server.port);
    let mut watching = tool::tool()
        .args(["status", "--watch", "1", "--output", "json", "--url", &url])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(watching.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("another look").expect("UTF-8");
        serde_json::from_str(&line).expect("JSON")
    };
    let hits = |status: &Value| status["nodes"][0]["module"]["models"][0]["hits"].as_i64();
    assert_eq!(hits(&next()), Some(0));
    let mut client = server.client();
    recognize("k", &photos::red()).text(&mut client);
    recognize("k", &photos::red()).text(&mut client);
    wait_until("the hit is seen", || hits(&next()) == Some(1));
    watching.kill().expect("killed");
    watching.wait().expect("ended");
}
