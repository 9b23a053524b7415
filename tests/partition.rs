//! A replica that lags, is stopped or cut off from its master: afterwards both hold the same.

use crate::commands::RED_RESULT;
use crate::support::crowd::{assert_settled, assert_stored, data_digest, signal};
use crate::support::server::Builder;
use crate::support::*;
use redis::cmd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Who does not hear from the other for two seconds ends the connection.
fn impatient() -> Builder {
    Server::with()
        .setting("threads", 2)
        .config("repl-timeout", 2)
        .config("repl-ping-replica-period", 1)
        .config("repl-backlog-size", 16_384)
}

/// Stores results of every kind until `trouble` is over, and gives the keys of those that last.
fn under_load(master: &Server, trouble: impl FnOnce()) -> Vec<String> {
    let over = AtomicBool::new(false);
    let keys: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = master.client();
                for i in 0.. {
                    if over.load(Relaxed) {
                        break;
                    }
                    let payload = photos::unique(&photos::red());
                    let key = photos::key_of(&payload);
                    let options: &[&str] = match i % 3 {
                        0 => &["PX", "50"],
                        _ => &[],
                    };
                    let reply = recognize(&key, &payload).arg(options).text(&mut client);
                    assert_eq!(reply, RED_RESULT);
                    // One key that changes its picture again and again.
                    recognize("camera:17", &payload).text(&mut client);
                    if options.is_empty() {
                        keys.lock().expect("no panic").push(key);
                    }
                }
            });
        }
        wait_until("it has begun", || keys.lock().expect("no panic").len() > 10);
        trouble();
        over.store(true, Relaxed);
    });
    keys.into_inner().expect("no panic")
}

fn count_links(master: &Server) -> i64 {
    master.info_of("stats")["sync_full"].parse::<i64>().expect("a number")
        + master.info_of("stats")["sync_partial_ok"].parse::<i64>().expect("a number")
}

fn is_linked(master: &Server) -> bool {
    master.info_of("replication")["connected_slaves"] == "1"
}

#[track_caller]
fn assert_same(master: &Server, replica: &Server, keys: &[String]) {
    replica.wait_for_sync(master);
    // What has expired on the master vanishes from the replica a moment later.
    wait_until("both hold the same", || {
        cmd("ECHO").arg("x").text(&mut master.client());
        data_digest(replica) == data_digest(master)
    });
    assert_stored(replica, keys);
    assert_stored(master, keys);
    assert_eq!(replica.model_count("tiny", "computed"), 0);
}

#[test]
fn a_replica_that_sleeps_catches_up() {
    let mut master = Server::with().setting("threads", 2).start();
    let mut replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let keys = under_load(&master, || {
        for _ in 0..3 {
            cmd("DEBUG").arg(&["SLEEP", "0.5"]).text(&mut replica.client());
        }
    });
    assert_same(&master, &replica, &keys);
    assert_settled(&mut master);
    assert_settled(&mut replica);
}

#[test]
fn a_replica_that_is_cut_off_catches_up() {
    let mut master = impatient().start();
    let mut replica = impatient().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let links = count_links(&master);
    let mut keys = under_load(&master, || {
        for _ in 0..3 {
            cmd("CLIENT").arg(&["KILL", "TYPE", "replica"]).number(&mut master.client());
            wait_until("it is back", || is_linked(&master));
        }
    });
    assert_same(&master, &replica, &keys);

    // Stopped until the master gives it up.
    keys.extend(under_load(&master, || {
        signal(&replica, libc::SIGSTOP);
        wait_until("the master has given it up", || !is_linked(&master));
        signal(&replica, libc::SIGCONT);
        wait_until("it is back", || is_linked(&master));
    }));
    assert_same(&master, &replica, &keys);
    assert!(count_links(&master) > links + 3, "the link was broken each time");
    assert_settled(&mut master);
    assert_settled(&mut replica);
}

#[test]
fn without_its_master_a_replica_goes_on_reading() {
    let mut master = impatient().start();
    let mut replica = impatient().replica_of(&master).start();
    recognize("k", &photos::red()).text(&mut master.client());
    replica.wait_for_sync(&master);
    let waiting = master.send(&recognize("slow", &photos::slow(300)));
    wait_until("it is under way", || master.count("requests") == 1);
    signal(&master, libc::SIGSTOP);
    wait_until("the replica has noticed", || {
        replica.info_of("replication")["master_link_status"] == "down"
    });
    let mut client = replica.client();
    assert_eq!(get("k").text(&mut client), RED_RESULT);
    assert_eq!(recognize_ro("k", &photos::red()).text(&mut client), RED_RESULT);
    assert_eq!(recognize_ro("new", &photos::unique(&photos::red())).text(&mut client), RED_RESULT);
    assert!(recognize("k", &photos::red()).error(&mut client).starts_with("READONLY "));
    signal(&master, libc::SIGCONT);
    assert_eq!(waiting.reply().text(), RED_RESULT);
    replica.wait_for_sync(&master);
    assert_eq!(data_digest(&replica), data_digest(&master));
    assert_stored(&replica, &["slow".into(), "k".into()]);
    assert_settled(&mut master);
    assert_settled(&mut replica);
}

/// WAIT counts what was stored for the client's last request, although the store is no part of its command.
#[test]
fn wait_after_a_result_waits_for_its_replication() {
    let master = Server::with().setting("threads", 2).start();
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let wait = |milliseconds: i64| cmd("WAIT").arg(1).arg(milliseconds).take();
    let mut client = master.client();
    recognize("warm", &photos::red()).text(&mut client);
    assert_eq!(wait(20_000).number(&mut client), 1);
    for (key, bytes) in [("small", 900), ("large", 300_000)] {
        wait_until("the replica has acknowledged everything", || {
            let info = master.info_of("replication");
            info["slave0"].contains(&format!("offset={},", info["master_repl_offset"]))
        });
        signal(&replica, libc::SIGSTOP);
        let mut client = master.client();
        recognize(key, &photos::padded(&photos::red(), bytes)).text(&mut client);
        assert_eq!(wait(300).number(&mut client), 0, "the replica cannot have {key}");
        recognize(format!("{key}:nowait"), &photos::padded(&photos::red(), bytes))
            .arg("NOWAIT")
            .text(&mut client);
        get(format!("{key}:nowait")).arg(&["WAIT", "60000"]).text(&mut client);
        assert_eq!(wait(300).number(&mut client), 0);
        signal(&replica, libc::SIGCONT);
        assert_eq!(wait(20_000).number(&mut client), 1);
        assert_stored(&replica, &[key.to_owned(), format!("{key}:nowait")]);
    }
}
