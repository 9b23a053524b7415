//! A gallery call whose gallery, client or server changes while it is under way.

use crate::support::crowd::role;
use crate::support::galleries::*;
use crate::support::*;
use redis::cmd;
use std::collections::BTreeSet;

fn server() -> Server {
    Server::with()
        .real_models()
        .setting("threads", 1)
        .setting("timeout", 120_000)
        // Its own job each: no picture is remembered.
        .setting("identify-cache", 0)
        .start()
}

/// The photo, over which the worker sleeps.
fn slow(name: &str, milliseconds: u64) -> Vec<u8> {
    photos::slowed(&photos::unique(&photos::photo(name)), milliseconds)
}

/// Sends a command and waits until a worker is at its picture.
fn at_work(server: &Server, command: &redis::Cmd) -> Pending {
    wait_until("the worker is idle", || server.count("workers_busy") == 0);
    let pending = server.send(command);
    wait_until("the worker is busy", || server.count("workers_busy") == 1);
    pending
}

#[test]
fn a_gallery_that_changes_under_a_call_ends_it_with_stale() {
    let server = server();
    let mut client = server.client();
    enrol_photo("g", "obama", &photos::photo("obama.jpg")).value(&mut client);
    let original = dump(&server, "g");
    let reset = |client: &mut redis::Connection| {
        cmd("RESTORE").arg("g").arg(0).arg(&original).arg("REPLACE").text(client);
    };
    let changes: [(&str, &[&str]); 3] =
        [("vanished", &["DEL", "g"]), ("moved", &["RENAME", "g", "h"]), ("flushed", &["FLUSHALL"])];
    for hash_inline in ["268435456", "0"] {
        cmd("CONFIG").arg(&["SET", "image.hash-inline", hash_inline]).text(&mut client);
        for (what, change) in changes {
            for asks in [
                enrol_photo("g", "obama", &slow("obama2.jpg", 600)),
                identify_photo("g", &slow("obama2.jpg", 600)),
            ] {
                reset(&mut client);
                let pending = at_work(&server, &asks);
                cmd(change[0]).arg(&change[1..]).reply(&mut client);
                let error = pending.reply().error();
                assert!(error.starts_with("STALE "), "{what}: {error}");
                assert_eq!(cmd("EXISTS").arg("g").number(&mut client), 0, "{what}");
            }
        }
        // Another value under the same name, were it the same to the last byte.
        reset(&mut client);
        let pending = at_work(&server, &enrol_photo("g", "obama", &slow("obama2.jpg", 600)));
        reset(&mut client);
        assert!(pending.reply().error().starts_with("STALE "));
        assert_eq!(total(&server, "g", "samples"), 1);
    }
    wait_until("no call is open", || server.count("gallery_calls") == 0);
    assert_eq!(server.count("queue_bytes"), 0);
}

#[test]
fn a_new_gallery_may_come_into_being_meanwhile_if_it_is_bound_alike() {
    let server = server();
    let mut client = server.client();
    let pending = at_work(&server, &enrol_photo("g", "obama", &slow("obama.jpg", 600)));
    let second = server.send(&enrol_photo("g", "biden", &photos::photo("biden.jpg")));
    for reply in [pending.reply(), second.reply()] {
        assert!(entry::<i64>(&reply, "sample") > 0);
    }
    assert_eq!(total(&server, "g", "subjects"), 2);
    let pending = at_work(&server, &enrol_photo("other", "obama", &slow("obama.jpg", 600)));
    enrol("other", "x", &vector(1)).value(&mut client);
    assert!(pending.reply().error().starts_with("WRONGTYPE "));
    assert_eq!(total(&server, "other", "samples"), 1);
}

#[test]
fn who_is_forgotten_meanwhile_is_not_named() {
    let server = server();
    let mut client = server.client();
    for (subject, photo) in [("obama", "obama.jpg"), ("biden", "biden.jpg")] {
        enrol_photo("g", subject, &photos::photo(photo)).value(&mut client);
    }
    let identify = at_work(&server, &identify_photo("g", &slow("obama2.jpg", 600)));
    forget("g", "obama").value(&mut client);
    let answer = identify.reply().text();
    assert!(!answer.contains("obama") && answer.contains("biden"), "{answer}");
    let mut command = cmd("IMAGE.VERIFY").arg("g").arg("biden").arg(slow("obama3.jpg", 600)).take();
    let verify = at_work(&server, command.arg(&["TIMEOUT", "60000"]));
    forget("g", "biden").value(&mut client);
    let error = verify.reply().error();
    assert!(error.starts_with("NOSUBJECT ") || error.starts_with("STALE "), "{error}");
}

#[test]
fn nothing_is_enrolled_for_a_client_that_does_not_wait() {
    let server = server();
    let mut client = server.client();
    let mut command = enrol_photo("g", "obama", &slow("obama.jpg", 800));
    let error = command.arg(&["TIMEOUT", "100"]).error(&mut client);
    assert!(error.starts_with("TIMEOUT ") && error.contains("nothing was enrolled"), "{error}");
    let gone = at_work(&server, &enrol_photo("g", "obama", &slow("obama2.jpg", 500)));
    drop(gone);
    wait_until("the worker is idle", || server.count("workers_busy") == 0);
    wait_until("nothing is under way", || server.count("requests") == 0);
    wait_until("no call is open", || server.count("gallery_calls") == 0);
    assert_eq!(cmd("EXISTS").arg("g").number(&mut client), 0);
    assert_eq!(server.count("queue_bytes"), 0);
}

#[test]
fn enrolments_wait_for_a_pause_of_writes_to_end() {
    let server = server();
    let mut client = server.client();
    let replica = Server::with().replica_of(&server).start();
    replica.wait_for_sync(&server);
    let pending = at_work(&server, &enrol_photo("g", "obama", &slow("obama.jpg", 500)));
    cmd("CLIENT").arg(&["PAUSE", "60000", "WRITE"]).text(&mut client);
    wait_until("the enrolment waits", || server.count("gallery_calls") == 1);
    let impatient =
        server.send(identify_photo("g", &photos::photo("obama2.jpg")).arg(&["TIMEOUT", "60000"]));
    assert!(impatient.reply().error().starts_with("NOGALLERY "), "reading goes on");
    assert_eq!(server.count("gallery_calls"), 1);
    cmd("CLIENT").arg("UNPAUSE").text(&mut client);
    assert_eq!(entry::<i64>(&pending.reply(), "sample"), 1);
    replica.wait_for_sync(&server);
    assert_eq!(digest(&replica, "g"), digest(&server, "g"));

    // A time-out ends the wait, and the enrolment with it.
    let mut command = enrol_photo("g", "obama", &slow("obama2.jpg", 500));
    let pending = at_work(&server, command.arg(&["TIMEOUT", "1500"]));
    cmd("CLIENT").arg(&["PAUSE", "60000", "WRITE"]).text(&mut client);
    let error = pending.reply().error();
    assert!(error.contains("nothing was enrolled"), "{error}");
    cmd("CLIENT").arg("UNPAUSE").text(&mut client);
    assert_eq!(total(&server, "g", "samples"), 1);
}

#[test]
fn a_demoted_master_enrols_nobody() {
    let (server, other) = (server(), Server::start());
    let mut client = server.client();
    enrol_photo("g", "obama", &photos::photo("obama.jpg")).value(&mut client);
    let pending = at_work(&server, &enrol_photo("g", "obama", &slow("obama2.jpg", 500)));
    cmd("REPLICAOF").arg("127.0.0.1").arg(other.port).text(&mut client);
    let error = pending.reply().error();
    assert!(error.starts_with("UNBLOCKED "), "{error}");
    cmd("REPLICAOF").arg(&["NO", "ONE"]).text(&mut client);
    wait_until("the worker is idle", || server.count("workers_busy") == 0);
    wait_until("no call is open", || server.count("gallery_calls") == 0);
}

/// Six photos on their way when the roles change: who gets a sample is enrolled, who is sent away is not,
/// and asks the new master.
#[test]
fn photos_on_their_way_at_a_failover_are_enrolled_once() {
    let (old, new) = (server(), server());
    enrol_photo("g", "first", &photos::photo("biden.jpg")).value(&mut old.client());
    cmd("REPLICAOF").arg("127.0.0.1").arg(old.port).text(&mut new.client());
    new.wait_for_sync(&old);
    let asks: Vec<_> = (0..6)
        .map(|number| enrol_photo("g", &format!("s{number}"), &slow("obama.jpg", 150)))
        .collect();
    let pending: Vec<_> = asks.iter().map(|ask| Pending::send(old.client(), ask)).collect();
    wait_until("some are enrolled, some under way", || total(&old, "g", "samples") >= 3);
    let port = new.port.to_string();
    cmd("FAILOVER").arg(&["TO", "127.0.0.1", &port]).text(&mut old.client());
    wait_until("the roles are changed", || role(&new) == "master" && role(&old) == "slave");
    let mut enrolled = 0;
    for (ask, pending) in asks.iter().zip(pending) {
        match pending.reply() {
            Reply::Error(error) => {
                let sent_away = ["UNBLOCKED ", "READONLY ", "STALE "];
                assert!(sent_away.iter().any(|word| error.starts_with(word)), "{error}");
                ask.value(&mut new.client());
            }
            reply => {
                assert!(entry::<i64>(&reply, "sample") > 0);
                enrolled += 1;
            }
        }
    }
    assert!((2..6).contains(&enrolled), "the failover came in the middle: {enrolled}");
    let names: Vec<_> = (0..6).map(|number| format!("s{number}")).chain(["first".into()]).collect();
    let subjects = subjects(&new, "g");
    assert_eq!(subjects.keys().cloned().collect::<BTreeSet<_>>(), names.into_iter().collect());
    assert!(subjects.values().all(|samples| samples.len() == 1), "{subjects:?}");
    old.wait_for_sync(&new);
    assert_eq!(digest(&old, "g"), digest(&new, "g"));
    for node in [old, new] {
        wait_until("no call is open", || node.count("gallery_calls") == 0);
        assert_eq!(node.count("queue_bytes"), 0);
    }
}

#[test]
fn memory_that_ran_out_meanwhile_refuses_the_enrolment() {
    let server = server();
    let mut client = server.client();
    let pending = at_work(&server, &enrol_photo("g", "obama", &slow("obama.jpg", 500)));
    cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).text(&mut client);
    let error = pending.reply().error();
    assert!(error.starts_with("OOM "), "{error}");
    assert_eq!(cmd("EXISTS").arg("g").number(&mut client), 0);
}

#[test]
fn a_panic_costs_one_call() {
    let server = server();
    let mut client = server.client();
    let bad = photos::followed_by(&photos::photo("obama.jpg"), "#test:panic#");
    assert!(enrol_photo("g", "obama", &bad).error(&mut client).starts_with("FAILED "));
    enrol_photo("g", "obama", &photos::photo("obama.jpg")).value(&mut client);
    assert!(identify_photo("g", &bad).error(&mut client).starts_with("FAILED "));
    assert_eq!(
        who(&identify_photo("g", &photos::photo("obama2.jpg")), &mut client).as_deref(),
        Some("obama")
    );
}

/// One inference serves a recognition, an enrolment and an identification of the same picture.
#[test]
fn calls_join_other_requests_for_the_same_picture() {
    let server = server();
    let mut client = server.client();
    enrol_photo("g", "obama", &photos::photo("obama.jpg")).value(&mut client);
    let computed = server.model_count("faces", "computed");
    let payload = slow("obama2.jpg", 1000);
    let recognition = at_work(&server, recognize("k", &payload).arg(&["MODEL", "faces"]));
    let identification = server.send(&identify_photo("g", &payload));
    let enrolment = server.send(&enrol_photo("g", "obama", &payload));
    assert!(recognition.reply().text().contains("embedding"));
    assert!(identification.reply().text().contains("obama"));
    assert_eq!(entry::<i64>(&enrolment.reply(), "sample"), 2);
    assert_eq!(server.model_count("faces", "computed"), computed + 1);
    assert_eq!(server.model_count("faces", "joined"), 2);
}

/// Redis refuses writes from some moment on. A result can be computed again and is kept; an enrolment is refused.
#[test]
fn what_is_under_way_when_replicas_are_missing_is_stored_if_a_result_and_refused_if_an_enrolment() {
    let server = server();
    let mut client = server.client();
    enrol_photo("g", "obama", &photos::photo("obama.jpg")).value(&mut client);
    for with_gallery in [true, false] {
        let ask = if with_gallery {
            enrol_photo("g", "joe", &slow("biden.jpg", 600))
        } else {
            recognize("photo", &slow("biden.jpg", 600)).arg(&["MODEL", "faces"]).take()
        };
        let pending = at_work(&server, &ask);
        cmd("CONFIG").arg(&["SET", "min-replicas-to-write", "1"]).text(&mut client);
        let reply = pending.reply();
        if with_gallery {
            let error = reply.error();
            assert!(error.starts_with("NOREPLICAS "), "{error}");
            assert_eq!(total(&server, "g", "samples"), 1);
        } else {
            assert!(reply.text().contains("faces"));
            assert!(get("photo").arg(&["MODEL", "faces"]).text(&mut client).contains("faces"));
        }
        let refused = recognize("other", &photos::red()).error(&mut client);
        assert!(refused.starts_with("NOREPLICAS "), "{refused}");
        cmd("CONFIG").arg(&["SET", "min-replicas-to-write", "0"]).text(&mut client);
    }
}
