//! Results beyond the server that computed them: RDB, append-only file, replicas, servers without the module.

use crate::commands::RED_RESULT;
use crate::support::crowd::{assert_settled, assert_stored, data_digest, existing, signal};
use crate::support::watch::Watch;
use crate::support::*;
use redis::cmd;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// Stores results of every kind: with and without a time to live, replaced, in another database, computed for nobody.
fn fill(server: &Server) -> Vec<String> {
    let mut client = server.client();
    let mut keys = Vec::new();
    for i in 0..20 {
        let payload = photos::padded(&photos::red(), if i % 2 == 0 { 1_000 } else { 300_000 });
        let key = photos::key_of(&payload);
        let options: &[&str] = [&[] as &[&str], &["EX", "5000"], &["PX", "7000000"]][i % 3];
        let mut request = recognize(&key, &payload);
        if i % 4 == 0 {
            request.arg("NOWAIT").arg(options).text(&mut client);
            get(&key).arg(&["WAIT", "60000"]).text(&mut client);
        } else {
            request.arg(options).text(&mut client);
        }
        keys.push(key);
    }
    for picture in [photos::green(), photos::unique(&photos::red())] {
        recognize("camera:17", &picture).text(&mut client);
    }
    keys.push("camera:17".into());
    cmd("SELECT").arg(7).text(&mut client);
    recognize("elsewhere", &photos::blue()).text(&mut client);
    keys
}

fn computed(server: &Server) -> i64 {
    server.model_count("tiny", "computed")
}

#[test]
fn results_are_there_after_save_and_restart() {
    let mut server = Server::start();
    let keys = fill(&server);
    let digest = data_digest(&server);
    cmd("SAVE").text(&mut server.client());
    server.kill();
    server.start_again();
    assert_eq!(data_digest(&server), digest);
    assert_stored(&server, &keys);
    assert_eq!(computed(&server), 0);
    assert_settled(&mut server);
}

/// Stored in the background, and still what the client that was answered waits for.
#[test]
fn wait_counts_the_copies_of_a_result_that_was_told() {
    let master = Server::with().append_only().start();
    let replica = Server::with().append_only().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    signal(&replica, libc::SIGSTOP);
    assert_eq!(recognize("a", &photos::red()).text(&mut client), RED_RESULT);
    assert_eq!(cmd("WAIT").arg(&["1", "200"]).number(&mut client), 0);
    signal(&replica, libc::SIGCONT);
    assert_eq!(cmd("WAIT").arg(&["1", "60000"]).number(&mut client), 1);
    assert_stored(&replica, &["a".into()]);
}

/// The same of copies on disks.
#[test]
fn waitaof_counts_the_disks_that_a_told_result_is_on() {
    let master = Server::with().append_only().start();
    needs::command(&master, "WAITAOF");
    let replica = Server::with().append_only().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    let wait_for_disks = |replicas: &str, milliseconds: &str, client: &mut _| -> Vec<i64> {
        let asked = cmd("WAITAOF").arg(&["1", replicas, milliseconds]).value(client);
        redis::from_redis_value(asked).expect("two numbers")
    };
    signal(&replica, libc::SIGSTOP);
    recognize("a", &photos::red()).text(&mut client);
    assert_eq!(wait_for_disks("0", "60000", &mut client), [1, 0]);
    assert_eq!(wait_for_disks("1", "200", &mut client), [1, 0]);
    signal(&replica, libc::SIGCONT);
    assert_eq!(wait_for_disks("1", "60000", &mut client), [1, 1]);
    assert_stored(&replica, &["a".into()]);
}

/// What `WAIT` says nothing about, and what makes it say something (docs/durability.md).
#[test]
fn wait_behind_a_write_of_ones_own_covers_results_that_others_stored() {
    let master = Server::start();
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    signal(&replica, libc::SIGSTOP);
    let payload = photos::unique(&photos::red());
    recognize("a", &payload).text(&mut client);
    // A hit on a connection that has written nothing.
    let mut reader = master.client();
    assert_eq!(recognize("a", &payload).text(&mut reader), RED_RESULT);
    cmd("SET").arg(&["marker", "1"]).text(&mut reader);
    assert_eq!(cmd("WAIT").arg(&["1", "200"]).number(&mut reader), 0);
    signal(&replica, libc::SIGCONT);
    assert_eq!(cmd("WAIT").arg(&["1", "60000"]).number(&mut reader), 1);
    assert_stored(&replica, &["a".into()]);
}

#[test]
fn an_acknowledged_result_survives_a_power_cut() {
    let mut server =
        Server::with().setting("threads", 4).append_only().config("appendfsync", "always").start();
    let acknowledged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = server.client();
                for i in 0.. {
                    let payload =
                        photos::padded(&photos::red(), if i % 5 == 0 { 300_000 } else { 900 });
                    let key = photos::key_of(&payload);
                    match recognize(&key, &payload).reply(&mut client) {
                        Reply::Lost(_) => break,
                        reply => assert_eq!(reply.text(), RED_RESULT),
                    }
                    acknowledged.lock().expect("no panic").push(key);
                }
            });
        }
        wait_until("many results", || acknowledged.lock().expect("no panic").len() > 500);
        let pid = server.pid().to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill").success());
    });
    server.kill();
    server.start_again();
    let keys = acknowledged.into_inner().expect("no panic");
    assert_stored(&server, &keys);
    assert_eq!(computed(&server), 0);
}

#[test]
fn a_replica_has_every_result_and_computes_none_of_them() {
    let mut master = Server::start();
    let mut replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let watch = Watch::monitor(&replica);
    let keys = fill(&master);
    replica.wait_for_sync(&master);
    assert_eq!(data_digest(&replica), data_digest(&master));
    assert_stored(&replica, &keys);
    for key in &keys {
        let expiry = |server: &Server| cmd("PEXPIRETIME").arg(key).number(&mut server.client());
        assert_eq!(expiry(&replica), expiry(&master), "{key}");
    }
    assert_eq!(computed(&replica), 0);

    let mut client = replica.client();
    let green = photos::green();
    recognize("green", &green).text(&mut master.client());
    replica.wait_for_sync(&master);
    assert_eq!(computed(&replica), 0);
    assert_eq!(recognize_ro("green", &green).text(&mut client), get("green").text(&mut client));
    assert_eq!(computed(&replica), 0, "a hit");
    for bytes in [1_000, 300_000] {
        let new = photos::padded(&photos::red(), bytes);
        assert_eq!(recognize_ro("new", &new).text(&mut client), RED_RESULT);
        let refused = recognize("new", &new).error(&mut client);
        assert!(refused.starts_with("READONLY "), "{refused}");
    }
    assert_eq!(computed(&replica), 2);
    assert_eq!((existing(&replica, &["new".into()]), replica.count("stored")), (0, 0));
    assert_settled(&mut replica);
    assert_settled(&mut master);

    // From the master came effects only.
    let heard = watch.until_now(&replica);
    let from_master: Vec<&str> = heard
        .lines()
        .filter(|line| !line.contains(" 127.0.0.1:") || line.contains(&master_address(&replica)))
        .collect();
    let count = |word: &str| from_master.iter().filter(|line| line.contains(word)).count();
    assert!(count("\"HSET\"") >= keys.len(), "{heard}");
    assert_eq!(count("\"PEXPIREAT\""), 13, "{heard}");
    assert_eq!(count("\"HDEL\""), 1, "{heard}");
    assert_eq!(count("IMAGE.") + count("\"EXPIRE\"") + count("\"PEXPIRE\""), 0, "{from_master:#?}");
}

/// How MONITOR shows the connection to the master.
fn master_address(replica: &Server) -> String {
    let clients = cmd("CLIENT").arg(&["LIST", "TYPE", "master"]).text(&mut replica.client());
    let address = clients.split(' ').find_map(|entry| entry.strip_prefix("addr="));
    address.expect("the master is a client").to_owned()
}

#[test]
fn a_server_without_the_module_reads_plain_hashes() {
    let mut server = Server::with().append_only().config("appendfsync", "always").start();
    let keys = fill(&server);
    let digest = data_digest(&server);
    cmd("SAVE").text(&mut server.client());
    server.kill();

    for (file, append_only) in [("dump.rdb", "no"), ("appendonlydir", "yes")] {
        let mut plain = Server::with().without_module().config("appendonly", append_only).start();
        plain.kill();
        let target = plain.folder().join(file);
        let _ = std::fs::remove_dir_all(&target);
        copy(&server.folder().join(file), &target);
        plain.start_again();
        assert_eq!(data_digest(&plain), digest, "{file}");
        let mut client = plain.client();
        for key in &keys {
            let hash: BTreeMap<String, String> =
                redis::from_redis_value(cmd("HGETALL").arg(key).value(&mut client))
                    .expect("a hash");
            assert_eq!(hash.len(), 2, "{key}");
            let (field, result) =
                hash.iter().find(|(field, _)| *field != "sha256").expect("a result");
            assert!(field.starts_with("tiny@"), "{field}");
            assert_eq!(result, RED_RESULT, "{key}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().expect("cp").success());
}

/// A replica that was away is brought up to date like any other, and so is one that joins while results are stored.
#[test]
fn a_replica_that_comes_late_or_again_catches_up() {
    let mut master = Server::with().setting("threads", 2).start();
    let mut first = Server::with().replica_of(&master).start();
    first.wait_for_sync(&master);
    let mut keys = Vec::new();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = master.client();
            let payloads: Vec<Vec<u8>> = (0..100).map(|_| photos::slow(10)).collect();
            for payload in &payloads {
                recognize(photos::key_of(payload), payload).text(&mut client);
            }
            payloads.iter().map(|payload| photos::key_of(payload)).collect::<Vec<_>>()
        });
        first.kill();
        let late = Server::with().replica_of(&master).start();
        first.start_again();
        keys = load.join().expect("every result");
        for replica in [&first, &late] {
            replica.wait_for_sync(&master);
            assert_eq!(data_digest(replica), data_digest(&master));
            assert_eq!(computed(replica), 0);
        }
    });
    assert_stored(&first, &keys);
    assert_settled(&mut master);
    assert_settled(&mut first);
}
