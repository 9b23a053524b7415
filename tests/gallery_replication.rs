//! Galleries on replicas: the same after any sequence of commands, and serving.

use crate::support::crowd::{data_digest, role, signal};
use crate::support::galleries::*;
use crate::support::watch::Watch;
use crate::support::*;
use redis::{Connection, cmd};
use std::time::Instant;

/// A small generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Does something to one of a few keys. Whether it is refused does not matter.
fn step(dice: &mut Dice, client: &mut Connection) {
    let key = format!("g{}", dice.roll(4));
    let other = format!("g{}", dice.roll(4));
    let subject = format!("s{}", dice.roll(12));
    let number = dice.roll(500);
    match dice.roll(20) {
        0..9 => drop(enrol(&key, &subject, &vector(number)).reply(client)),
        9 => {
            let id = (dice.roll(60) + 1).to_string();
            enrol(&key, &subject, &vector(number)).arg(&["SAMPLE", &id]).reply(client);
        }
        10 | 11 => drop(forget(&key, &subject).reply(client)),
        12 | 13 => {
            let id = (dice.roll(40) + 1).to_string();
            forget(&key, &subject).arg(id).reply(client);
        }
        14 => drop(cmd("COPY").arg(&[&key, &other]).arg("REPLACE").reply(client)),
        15 => drop(cmd("RENAME").arg(&[&key, &other]).reply(client)),
        16 => drop(cmd("PEXPIRE").arg(&key).arg(dice.roll(40) + 1).reply(client)),
        17 => drop(cmd("PERSIST").arg(&key).reply(client)),
        18 => {
            cmd("MULTI").text(client);
            enrol(&key, &subject, &vector(number)).text(client);
            forget(&other, &subject).text(client);
            enrol(&other, &subject, &vector(number)).text(client);
            cmd("EXEC").reply(client);
        }
        _ => {
            if dice.roll(4) == 0 {
                cmd("UNLINK").arg(&key).reply(client);
            }
        }
    }
}

#[test]
fn a_replica_is_the_same_after_any_sequence_of_commands() {
    let master = Server::with().append_only().config("appendfsync", "no").start();
    let replica = Server::with().append_only().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    for seed in 0..6 {
        let mut dice = Dice(seed);
        for _ in 0..400 {
            step(&mut dice, &mut client);
        }
        for key in 0..4 {
            cmd("PERSIST").arg(format!("g{key}")).reply(&mut client);
        }
        replica.wait_for_sync(&master);
        assert_eq!(data_digest(&replica), data_digest(&master), "seed {seed}");
    }
    // What is known only by its file, on either side.
    let digest = data_digest(&master);
    for mut server in [master, replica] {
        server.kill();
        server.start_again();
        assert_eq!(data_digest(&server), digest);
        assert!(!server.log().contains("BUG REPORT"));
    }
}

#[test]
fn a_replica_serves_and_refuses_to_be_written() {
    let master = Server::start();
    let mut client = master.client();
    for number in 0..200 {
        enrol("g", &format!("s{number}"), &vector(number)).value(&mut client);
    }
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let watch = Watch::monitor(&replica);
    for number in 200..220 {
        enrol("g", &format!("s{number}"), &vector(number)).value(&mut client);
    }
    forget("g", "s7").value(&mut client);
    replica.wait_for_sync(&master);
    assert_eq!(digest(&replica, "g"), digest(&master, "g"));
    let mut reader = replica.client();
    for number in 0..220 {
        let expected = (number != 7).then(|| format!("s{number}"));
        assert_eq!(who(&identify("g", &vector(number)), &mut reader), expected);
        let query = identify("g", &vector(number));
        assert_eq!(query.text(&mut reader), query.text(&mut client));
    }
    assert_eq!(subjects(&replica, "g"), subjects(&master, "g"));
    assert!(enrol("g", "x", &vector(1)).error(&mut reader).starts_with("READONLY "));
    assert!(forget("g", "s1").error(&mut reader).starts_with("READONLY "));
    let heard = watch.until_now(&replica);
    assert!(heard.contains("IMAGE.ENROLL") && heard.contains("IMAGE.FORGET"), "{heard}");
    assert!(!holds(heard.as_bytes(), &vector(201)), "redacted there, too");
}

#[test]
fn who_was_enrolled_is_there_after_a_failover() {
    let master = Server::start();
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let port = replica.port.to_string();
    let enrolled = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = master.client();
            let mut count = 0;
            let deadline = Instant::now() + PATIENCE;
            loop {
                assert!(Instant::now() < deadline, "no failover comes");
                let subject = format!("s{count}");
                match enrol("g", &subject, &vector(count)).reply(&mut client) {
                    Reply::Value(_) => count += 1,
                    Reply::Error(error) if error.starts_with("READONLY ") => return count,
                    other => panic!("{other:?}"),
                }
            }
        });
        wait_until("some are enrolled", || {
            cmd("EXISTS").arg("g").number(&mut master.client()) == 1
                && total(&master, "g", "samples") > 100
        });
        cmd("FAILOVER").arg(&["TO", "127.0.0.1", &port]).text(&mut master.client());
        writer.join().expect("no panic")
    });
    wait_until("the roles are changed", || role(&replica) == "master" && role(&master) == "slave");
    master.wait_for_sync(&replica);
    assert_eq!(total(&replica, "g", "samples"), enrolled as i64);
    assert_eq!(digest(&master, "g"), digest(&replica, "g"));
    enrol("g", "after", &vector(100_000)).value(&mut replica.client());
    master.wait_for_sync(&replica);
    assert_eq!(
        who(&identify("g", &vector(100_000)), &mut master.client()).as_deref(),
        Some("after")
    );
}

/// A replica that lags keeps nobody who was forgotten once it has caught up.
#[test]
fn a_replica_that_was_away_catches_up() {
    let master = Server::start();
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    enrol("g", "alice", &vector(1)).value(&mut client);
    replica.wait_for_sync(&master);
    signal(&replica, libc::SIGSTOP);
    forget("g", "alice").value(&mut client);
    enrol("g", "bob", &vector(2)).value(&mut client);
    signal(&replica, libc::SIGCONT);
    replica.wait_for_sync(&master);
    assert_eq!(digest(&replica, "g"), digest(&master, "g"));
    assert!(!holds(&dump(&replica, "g"), &vector(1)));
}

/// What a master or a file says is done, however full the server is.
#[test]
fn memory_limits_refuse_no_replay() {
    let mut master = Server::with().append_only().config("appendfsync", "always").start();
    let replica = Server::with().config("maxmemory", 500_000).replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    for number in 0..50 {
        enrol("g", &format!("s{number}"), &vector(number)).value(&mut client);
    }
    replica.wait_for_sync(&master);
    let before = digest(&master, "g");
    assert_eq!(digest(&replica, "g"), before);
    cmd("CONFIG").arg(&["SET", "maxmemory", "500000"]).text(&mut client);
    cmd("CONFIG").arg("REWRITE").text(&mut client);
    assert!(enrol("g", "x", &vector(1)).error(&mut client).starts_with("OOM "));
    master.kill();
    master.start_again();
    assert_eq!(digest(&master, "g"), before);
}
