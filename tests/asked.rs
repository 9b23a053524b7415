//! Photos that come by `ASK`: a slot is on its way to this node, and what is computed here is stored here.

use crate::commands::{RED_RESULT, stored_field};
use crate::support::cluster::{Cluster, set_slot};
use crate::support::crowd::assert_settled;
use crate::support::follow::Follower;
use crate::support::*;
use redis::{Cmd, Connection, cmd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, RwLock};

struct Moving {
    cluster: Cluster,
    slot: i64,
    tag: String,
}

impl Moving {
    /// The slot of `{tag}` is on its way from the first node to the second.
    fn start() -> Moving {
        let cluster = Cluster::start(2, || Server::with().append_only());
        let (old, new) = (&cluster.nodes[0], &cluster.nodes[1]);
        let mut client = old.client();
        let slot_of = |key: &str, client: &mut Connection| {
            cmd("CLUSTER").arg(&["KEYSLOT", key]).number(client)
        };
        let tag = (0..)
            .map(|i| format!("t{i}"))
            .find(|key| slot_of(key, &mut client) < 8192)
            .expect("a slot");
        let slot = slot_of(&tag, &mut client);
        set_slot(new, &slot.to_string(), "IMPORTING", old);
        set_slot(old, &slot.to_string(), "MIGRATING", new);
        Moving { cluster, slot, tag }
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.tag)
    }

    fn end(&self) {
        let (old, new) = (&self.cluster.nodes[0], &self.cluster.nodes[1]);
        for node in [new, old] {
            set_slot(node, &self.slot.to_string(), "NODE", new);
        }
    }
}

fn ask(client: &mut Connection, command: &Cmd) -> Reply {
    cmd("ASKING").text(client);
    command.reply(client)
}

#[test]
fn a_result_is_stored_where_ask_led_to_and_stays_when_the_slot_has_moved() {
    let mut moving = Moving::start();
    moving.cluster.add_replica_of(1, || Server::with().append_only());
    let [old, new, replica] = &moving.cluster.nodes[..] else { panic!("three nodes") };
    let mut client = new.client();
    let small = photos::unique(&photos::red());
    let large = photos::padded(&photos::red(), 400_000);
    for (name, payload) in [("small", &small), ("large", &large)] {
        let key = moving.key(name);
        let sent_on = recognize(&key, payload).error(&mut old.client());
        assert!(sent_on.starts_with("ASK "), "{sent_on}");
        let first = ask(&mut client, recognize(&key, payload).arg(&["EX", "5000"]));
        assert_eq!(first.text(), RED_RESULT);
        let computed = new.model_count("tiny", "computed");
        assert_eq!(ask(&mut client, &recognize(&key, payload)).text(), RED_RESULT);
        assert_eq!(new.model_count("tiny", "computed"), computed, "a hit");
        assert_eq!(ask(&mut client, &get(&key)).text(), RED_RESULT);
    }
    let waited = moving.key("nowait");
    let accepted =
        ask(&mut client, recognize(&waited, &photos::unique(&photos::red())).arg("NOWAIT"));
    assert_eq!(accepted.text(), "ACCEPTED");
    assert_eq!(ask(&mut client, get(&waited).arg(&["WAIT", "30000"])).text(), RED_RESULT);
    // Another picture takes the key: nothing of the old one is left.
    let camera = moving.key("camera");
    for payload in [photos::green(), photos::unique(&photos::red())] {
        ask(&mut client, &recognize(&camera, &payload)).text();
    }
    assert_eq!(new.count("stored"), 5);
    assert_eq!(new.count("not_stored_slot"), 0);

    moving.end();
    for name in ["small", "large", "nowait", "camera"] {
        let key = moving.key(name);
        assert_eq!(get(&key).text(&mut client), RED_RESULT, "{name}");
        stored_field(&mut client, &key);
        let ttl = cmd("TTL").arg(&key).number(&mut client);
        let expires = ["small", "large"].contains(&name);
        assert_eq!(ttl > 4900, expires, "{name}: {ttl}");
    }
    // What was written without a command has reached replica and append-only file.
    replica.wait_for_sync(new);
    let digest = |server: &Server| cmd("DEBUG").arg("DIGEST").text(&mut server.client());
    assert_eq!(digest(replica), digest(new));
    let before = digest(new);
    let new = &mut moving.cluster.nodes[1];
    new.kill();
    new.start_again();
    assert_eq!(digest(new), before);
}

/// A slot goes forth and back while photos of it come without a pause: what was computed on the node to which ASK led is
/// there afterwards, all of it.
#[test]
fn nothing_that_came_by_ask_is_lost_while_a_slot_goes_forth_and_back_under_load() {
    let mut moving = Moving::start();
    let over = AtomicBool::new(false);
    let asked = AtomicU64::new(0);
    let keys: Mutex<Vec<String>> = Mutex::default();
    // Photos are under way while a slot arrives, but not while it begins to leave: what is computed then where its key is
    // no more is told and not stored.
    let leaving = RwLock::new(());
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let (moving, over, asked, keys) = (&moving, &over, &asked, &keys);
            let leaving = &leaving;
            scope.spawn(move || {
                let mut follower = Follower::of(&moving.cluster);
                for number in 0.. {
                    if over.load(Relaxed) {
                        break;
                    }
                    let bytes = if worker == 0 { 300_000 } else { 900 };
                    let payload = photos::padded(&photos::red(), bytes);
                    let key = moving.key(&format!("{worker}:{number}"));
                    let _under_way = leaving.read().expect("no panic");
                    assert_eq!(follower.ask(&recognize(&key, &payload)).text(), RED_RESULT);
                    if follower.was_asked() {
                        asked.fetch_add(1, Relaxed);
                        keys.lock().expect("no panic").push(key);
                    }
                }
            });
        }
        let [old, new] = &moving.cluster.nodes[..] else { panic!("two nodes") };
        for round in 0..6 {
            let (from, to) = if round % 2 == 0 { (old, new) } else { (new, old) };
            if round > 0 {
                let _nothing_under_way = leaving.write().expect("no panic");
                set_slot(to, &moving.slot.to_string(), "IMPORTING", from);
                set_slot(from, &moving.slot.to_string(), "MIGRATING", to);
            }
            let goal = asked.load(Relaxed) + 40;
            wait_until("photos come by ASK", || asked.load(Relaxed) >= goal);
            moving.cluster.move_slot(moving.slot, from, to);
        }
        over.store(true, Relaxed);
    });
    let mut follower = Follower::of(&moving.cluster);
    let keys = keys.into_inner().expect("no panic");
    assert!(keys.len() >= 240, "{}", keys.len());
    for key in &keys {
        assert_eq!(follower.ask(&get(key)).text_if_any().as_deref(), Some(RED_RESULT), "{key}");
    }
    moving.cluster.nodes.iter_mut().for_each(assert_settled);
}

#[test]
fn a_slot_that_is_not_imported_is_still_refused() {
    let mut moving = Moving::start();
    let [old, new] = &moving.cluster.nodes[..] else { panic!("two nodes") };
    let key = moving.key("late");
    let mut client = new.client();
    cmd("ASKING").text(&mut client);
    let slow = photos::slow(1000);
    let accepted = recognize(&key, &slow).arg("NOWAIT").text(&mut client);
    assert_eq!(accepted, "ACCEPTED");
    // The move is called off while the photo is recognised.
    for node in [new, old] {
        cmd("CLUSTER")
            .arg(&["SETSLOT", &moving.slot.to_string(), "STABLE"])
            .text(&mut node.client());
    }
    wait_until("the job has ended", || new.count("requests") == 0);
    assert_eq!(new.count("not_stored_slot"), 1);
    assert_eq!(cmd("DBSIZE").number(&mut client), 0);
    // Neither is a key whose slot is on its way away stored where it is no more.
    set_slot(new, &moving.slot.to_string(), "IMPORTING", old);
    let waiting = old.send(&recognize(&key, &photos::slow(800)));
    wait_until("it is under way", || old.count("requests") == 1);
    set_slot(old, &moving.slot.to_string(), "MIGRATING", new);
    assert_eq!(waiting.reply().text(), RED_RESULT);
    assert_eq!(old.count("not_stored_slot"), 1);
    assert_eq!(cmd("DBSIZE").number(&mut old.client()), 0);
    moving.cluster.nodes.iter_mut().for_each(assert_settled);
}
