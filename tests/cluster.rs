//! Several masters: which form of the command is taken, where it goes, where the results lie.

use crate::commands::RED_RESULT;
use crate::support::cluster::{Cluster, moved_to, set_slot};
use crate::support::crowd::assert_settled;
use crate::support::*;
use redis::cmd;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn every_node_takes_its_own_pictures() {
    let mut cluster = Cluster::start(3, || Server::with().setting("threads", 2));

    // Without a key: refused everywhere, with the form to use.
    let red = photos::red();
    for node in &cluster.nodes {
        let error = cmd("IMAGE.RECOGNIZE_AUTO").arg(&red).error(&mut node.client());
        assert!(error.starts_with("ERR ") && error.contains(&photos::key_of(&red)), "{error}");
        assert!(error.contains("IMAGE.RECOGNIZE image:"), "{error}");
        // Not even a payload that looks like a key with a hash tag sends a client away.
        let error = cmd("IMAGE.RECOGNIZE_AUTO").arg("{user}:1").error(&mut node.client());
        assert!(error.starts_with("ERR "), "{error}");
    }

    // With a key: one node takes it, the others name that one.
    let mut stored = vec![0; 3];
    for i in 0..60 {
        let payload = photos::padded(&photos::red(), if i % 5 == 0 { 300_000 } else { 900 });
        let key = photos::key_of(&payload);
        let slot = cmd("CLUSTER").arg(&["KEYSLOT", &key]).number(&mut cluster.nodes[0].client());
        let owner = (0..3).find(|i| (16384 * (i + 1) / 3) as i64 > slot).expect("an owner");
        let owner_port = cluster.nodes[owner].port;
        for (i, node) in cluster.nodes.iter().enumerate() {
            let mut client = node.client();
            for command in [recognize(&key, &payload), get(&key)] {
                let reply = command.reply(&mut client);
                if i == owner {
                    assert_eq!(reply.text(), RED_RESULT);
                } else {
                    assert_eq!(moved_to(&reply), Some(owner_port), "{reply:?}");
                }
            }
        }
        stored[owner] += 1;
        assert_eq!(cluster.ask(&get(&key)).text(), RED_RESULT);
    }
    for (node, stored) in cluster.nodes.iter().zip(&stored) {
        assert!(*stored > 5, "the slots are spread: {stored:?}");
        assert_eq!(cmd("DBSIZE").number(&mut node.client()), *stored);
        assert_eq!(node.model_count("tiny", "computed"), *stored);
    }
    cluster.nodes.iter_mut().for_each(assert_settled);
}

#[test]
fn a_cluster_client_finds_the_way() {
    let cluster = Cluster::start(3, Server::with);
    let port = cluster.nodes[0].port.to_string();
    for _ in 0..10 {
        let payload = photos::unique(&photos::red());
        let mut client = Command::new("redis-cli")
            .args(["-c", "-p", &port, "-x", "IMAGE.RECOGNIZE", &photos::key_of(&payload)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-cli is installed");
        client.stdin.take().expect("piped").write_all(&payload).expect("redis-cli reads");
        let output = client.wait_with_output().expect("redis-cli ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(RED_RESULT), "{text}");
    }
    let sizes = cluster.nodes.iter().map(|node| cmd("DBSIZE").number(&mut node.client()));
    assert_eq!(sizes.sum::<i64>(), 10);
}

#[test]
fn a_slot_that_moves_takes_no_result_with_it() {
    let mut cluster = Cluster::start(2, || Server::with().setting("threads", 1));
    let (old, new) = (&cluster.nodes[0], &cluster.nodes[1]);
    let mut client = old.client();
    let slot_of = |key: &str| cmd("CLUSTER").arg(&["KEYSLOT", key]).number(&mut old.client());
    let key = (0..).map(|i| format!("k{i}")).find(|key| slot_of(key) < 8192).expect("every second");
    let slot = slot_of(&key).to_string();
    // While it moves a new key belongs to the other side already.
    for (state, not_stored) in [("MIGRATING", 1), ("NODE", 2)] {
        let waiting = old.send(&recognize(&key, &photos::slow(1500)));
        wait_until("it is at work", || old.count("workers_busy") == 1);
        if state == "NODE" {
            set_slot(new, &slot, "NODE", new);
        }
        set_slot(old, &slot, state, new);
        assert_eq!(waiting.reply().text(), RED_RESULT, "who waits gets the result all the same");
        assert_eq!(old.count("not_stored_slot"), not_stored, "{state}: {:#?}", old.info());
        assert_eq!(cmd("DBSIZE").number(&mut client), 0);
        let sent_on = recognize(&key, &photos::red()).error(&mut client);
        let (word, port) = (if state == "NODE" { "MOVED " } else { "ASK " }, new.port.to_string());
        assert!(sent_on.starts_with(word) && sent_on.trim().ends_with(&port), "{sent_on}");
        if state == "MIGRATING" {
            cmd("CLUSTER").arg(&["SETSLOT", &slot, "STABLE"]).text(&mut client);
        }
    }
    let payload = photos::unique(&photos::red());
    assert_eq!(moved_to(&recognize(&key, &payload).reply(&mut client)), Some(new.port));
    assert_eq!(recognize(&key, &payload).text(&mut new.client()), RED_RESULT);
    cluster.nodes.iter_mut().for_each(assert_settled);
}
