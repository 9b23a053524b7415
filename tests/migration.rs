//! Slots on the move: results go with them, and what is computed meanwhile is stored or counted.

use crate::commands::RED_RESULT;
use crate::support::cluster::{Cluster, id, set_slot};
use crate::support::crowd::{assert_settled, outcomes};
use crate::support::follow::Follower;
use crate::support::galleries::{enrol, identify, vector};
use crate::support::*;
use redis::cmd;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const MIGRATE_SLOTS: &str = "CLUSTER|MIGRATESLOTS";

/// How an operator moves so many slots from a node to another one.
type Move = fn(&Server, &Server, usize);

fn key_by_key(from: &Server, to: &Server, slots: usize) {
    let output = Command::new("redis-cli")
        .args(["--cluster", "reshard", &format!("127.0.0.1:{}", from.port)])
        .args(["--cluster-from", &id(from), "--cluster-to", &id(to)])
        .args(["--cluster-slots", &slots.to_string(), "--cluster-yes"])
        .output()
        .expect("redis-cli is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains("ERR"), "{said}");
}

/// Atomic slot migration, as Valkey 9 has it.
fn as_a_whole(from: &Server, to: &Server, slots: usize) {
    let nodes = cmd("CLUSTER").arg("NODES").text(&mut from.client());
    let myself = nodes.lines().find(|line| line.contains("myself")).expect("a line of its own");
    let first: usize = myself
        .split_whitespace()
        .skip(8)
        .filter_map(|range| range.split_once('-'))
        .filter_map(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)))
        .find(|(first, last): &(usize, usize)| first + slots <= last + 1)
        .expect("a range of that many slots")
        .0;
    move_range(from, to, first, first + slots - 1);
}

fn move_range(from: &Server, to: &Server, first: usize, last: usize) {
    let mut client = from.client();
    cmd("CLUSTER")
        .arg(&["MIGRATESLOTS", "SLOTSRANGE", &first.to_string(), &last.to_string()])
        .arg(&["NODE", &id(to)])
        .text(&mut client);
    wait_until("the slots have moved", || {
        let states = cmd("CLUSTER").arg("GETSLOTMIGRATIONS").value(&mut client);
        let states = format!("{states:?}").to_lowercase();
        assert!(!states.contains("failed") && !states.contains("cancelled"), "{states}");
        let nodes = cmd("CLUSTER").arg("NODES").text(&mut to.client());
        let myself = nodes.lines().find(|line| line.contains("myself")).expect("a line of its own");
        !states.contains("snapshotting") && owns(myself, first) && owns(myself, last)
    });
}

/// Whether a line of `CLUSTER NODES` names the slot.
fn owns(line: &str, slot: usize) -> bool {
    line.split_whitespace().skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().is_ok_and(|first| slot >= first)
            && last.parse().is_ok_and(|last| slot <= last)
    })
}

/// Waits until the nodes agree on who has which slots.
fn wait_for_agreement(cluster: &Cluster) {
    for node in &cluster.nodes {
        wait_until("the nodes agree", || {
            let port = format!("127.0.0.1:{}", node.port);
            let check = Command::new("redis-cli").args(["--cluster", "check", &port]).output();
            check.expect("redis-cli is installed").status.success()
        });
    }
}

fn sum(cluster: &Cluster, count: impl Fn(&Server) -> i64) -> i64 {
    cluster.nodes.iter().map(count).sum()
}

#[test]
fn slots_go_forth_and_back_under_load_and_no_result_is_wrong_or_lost() {
    let cluster = Cluster::start(3, || Server::with().setting("threads", 2));
    forth_and_back_under_load(cluster, key_by_key);
}

#[test]
fn slots_go_forth_and_back_as_a_whole_under_load_and_no_result_is_wrong_or_lost() {
    let cluster = Cluster::start(3, || Server::with().setting("threads", 2));
    needs::command(&cluster.nodes[0], MIGRATE_SLOTS);
    forth_and_back_under_load(cluster, as_a_whole);
}

fn forth_and_back_under_load(mut cluster: Cluster, move_slots: Move) {
    let over = AtomicBool::new(false);
    let seen: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let (cluster, over, seen) = (&cluster, &over, &seen);
            scope.spawn(move || {
                let mut follower = Follower::of(cluster);
                let mut keys = Vec::new();
                while !over.load(Relaxed) {
                    let bytes = if worker == 0 { 300_000 } else { 900 };
                    let payload = photos::padded(&photos::red(), bytes);
                    let key = photos::key_of(&payload);
                    let reply = follower.ask(&recognize(&key, &payload)).text();
                    assert_eq!(reply, RED_RESULT);
                    if follower.was_asked() {
                        let stored = follower.ask(&get(&key)).text_if_any();
                        assert_eq!(stored.as_deref(), Some(RED_RESULT), "{key} came by ASK");
                    }
                    // Stored, or counted as not stored.
                    match follower.ask(&get(&key)).text_if_any() {
                        Some(stored) => assert_eq!(stored, RED_RESULT),
                        None => continue,
                    }
                    keys.push(key);
                }
                seen.lock().expect("no panic").extend(keys);
            });
        }
        let progress = |more: i64| {
            let goal = sum(&cluster, |node| node.count("stored")) + more;
            wait_until("work goes on", || sum(&cluster, |node| node.count("stored")) >= goal);
        };
        let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
        for (from, to) in [(first, second), (second, third), (third, first), (second, first)] {
            progress(20);
            move_slots(from, to, 200);
        }
        progress(20);
        over.store(true, Relaxed);
    });
    wait_for_agreement(&cluster);
    cluster.nodes.iter_mut().for_each(assert_settled);

    // What once was there is there, on the node that owns the slot now.
    let mut follower = Follower::of(&cluster);
    let seen = seen.into_inner().expect("no panic");
    assert!(seen.len() >= 100, "{}", seen.len());
    for key in &seen {
        assert_eq!(follower.ask(&get(key)).text_if_any().as_deref(), Some(RED_RESULT), "{key}");
    }
    let stored = sum(&cluster, |node| node.count("stored"));
    let keys = sum(&cluster, |node| cmd("DBSIZE").number(&mut node.client()));
    assert_eq!(keys, stored, "each result lies on one node, once");
    let computed = sum(&cluster, |node| node.model_count("tiny", "computed"));
    assert_eq!(sum(&cluster, outcomes), computed);
    let not_here = sum(&cluster, |node| node.count("not_stored_slot"));
    assert_eq!(stored + not_here, computed, "nothing else came in the way");
}

/// A key whose slot is on its way to the other node: who is sent there is served there.
#[test]
fn a_request_that_is_sent_after_its_slot_is_answered_where_it_goes() {
    let mut cluster = Cluster::start(2, || Server::with().setting("threads", 2));
    let (old, new) = (&cluster.nodes[0], &cluster.nodes[1]);
    let slot_of = |key: &str| cmd("CLUSTER").arg(&["KEYSLOT", key]).number(&mut old.client());
    let tag = (0..).map(|i| format!("t{i}")).find(|key| slot_of(key) < 8192).expect("a slot");
    let slot = slot_of(&tag).to_string();
    let stays = format!("{{{tag}}}:stays");
    let red = photos::red();
    recognize(&stays, &red).text(&mut old.client());
    set_slot(new, &slot, "IMPORTING", old);
    set_slot(old, &slot, "MIGRATING", new);

    // What is stored is served by the old node until it has gone.
    assert_eq!(get(&stays).text(&mut old.client()), RED_RESULT);
    let another = photos::unique(&red);
    assert_eq!(recognize(&stays, &another).text(&mut old.client()), RED_RESULT, "and replaced");
    assert_eq!(old.count("stored"), 2);

    let mut follower = Follower::of(&cluster);
    let moves = format!("{{{tag}}}:moves");
    let slow = photos::slow(500);
    assert_eq!(follower.ask(&recognize(&moves, &slow)).text(), RED_RESULT);
    assert_eq!(new.model_count("tiny", "computed"), 1, "ASK led to the new node");
    assert_eq!((new.count("stored"), new.count("not_stored_slot")), (1, 0));
    assert_eq!(follower.ask(&get(&moves)).text(), RED_RESULT);

    let port = new.port.to_string();
    cmd("MIGRATE").arg(&["127.0.0.1", &port, &stays, "0", "5000"]).text(&mut old.client());
    for node in [new, old] {
        set_slot(node, &slot, "NODE", new);
    }
    assert_eq!(follower.ask(&get(&stays)).text(), RED_RESULT);
    assert_eq!(follower.ask(&recognize(&moves, &slow)).text(), RED_RESULT);
    assert_eq!(get(&moves).text(&mut new.client()), RED_RESULT);
    cluster.nodes.iter_mut().for_each(assert_settled);
}

/// A gallery, results and a job under way, in a slot that moves as a whole while subjects are enrolled.
#[test]
fn a_slot_that_moves_as_a_whole_takes_its_gallery_along_and_what_is_enrolled_meanwhile() {
    let mut cluster = Cluster::start(2, || Server::with().setting("threads", 2));
    let (old, new) = (&cluster.nodes[0], &cluster.nodes[1]);
    needs::command(old, MIGRATE_SLOTS);
    let slot_of = |key: &str| cmd("CLUSTER").arg(&["KEYSLOT", key]).number(&mut old.client());
    let tag = (0..).map(|i| format!("t{i}")).find(|key| slot_of(key) < 8192).expect("a slot");
    let slot = slot_of(&tag) as usize;
    let gallery = format!("{{{tag}}}:people");
    let (stays, moves) = (format!("{{{tag}}}:stays"), format!("{{{tag}}}:moves"));
    let red = photos::red();
    recognize(&stays, &red).arg(&["EX", "3600"]).text(&mut old.client());
    let slow = photos::slow(2000);
    let waits = Pending::send(old.client(), &recognize(&moves, &slow));
    wait_until("the job is under way", || old.count("requests") == 1);

    let over = AtomicBool::new(false);
    let enrolled = std::thread::scope(|scope| {
        let enrolling = scope.spawn(|| {
            let mut follower = Follower::of(&cluster);
            let mut subjects = 0;
            while !over.load(Relaxed) {
                let subject = format!("subject {subjects}");
                let reply = follower.ask(&enrol(&gallery, &subject, &vector(subjects)));
                assert!(matches!(reply, Reply::Value(_)), "{reply:?}");
                subjects += 1;
            }
            subjects
        });
        wait_until("a gallery is there", || old.count("gallery_subjects") >= 100);
        move_range(old, new, slot, slot);
        wait_until("enrolments go on there", || {
            new.count("gallery_subjects") > old.count("gallery_subjects")
        });
        over.store(true, Relaxed);
        enrolling.join().expect("every enrolment is answered")
    });

    let mut client = new.client();
    assert_eq!(new.count("gallery_subjects"), enrolled as i64, "each that was acknowledged, once");
    wait_until("the old node lets go", || old.count("galleries") == 0);
    for number in 0..enrolled {
        let answer = identify(&gallery, &vector(number)).text(&mut client);
        assert!(answer.contains(&format!(r#""subject":"subject {number}""#)), "{answer}");
    }
    assert_eq!(get(&stays).text(&mut client), RED_RESULT);
    assert!(cmd("TTL").arg(&stays).number(&mut client) > 3000);
    assert_eq!(waits.reply().text(), RED_RESULT, "the old node's client has its result");
    assert_eq!(old.count("not_stored_slot"), 1);
    assert_eq!(recognize(&moves, &slow).text(&mut client), RED_RESULT);
    cluster.nodes.iter_mut().for_each(assert_settled);
}
