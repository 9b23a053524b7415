//! Keys that change while a request for them is at work.

use crate::commands::{RED_RESULT, stored_field};
use crate::support::*;
use redis::{Cmd, Connection, cmd};

/// Runs `between` while a request for `key` is at work; the request's reply.
fn with_a_request_at_work(
    server: &Server,
    request: &Cmd,
    between: impl FnOnce(&mut Connection),
) -> Reply {
    let waiting = server.send(request);
    wait_until("the request is at work", || server.count("workers_busy") == 1);
    let mut client = server.client();
    between(&mut client);
    waiting.reply()
}

type Change = fn(&mut Connection);

#[test]
fn a_key_that_vanishes_meanwhile_is_made_anew() {
    let server = Server::start();
    let mut client = server.client();
    let vanish: [(&str, Change); 4] = [
        ("DEL", |client| assert_eq!(cmd("DEL").arg("k").number(client), 1)),
        ("RENAME", |client| assert_eq!(cmd("RENAME").arg("k").arg("elsewhere").text(client), "OK")),
        ("FLUSHALL", |client| assert_eq!(cmd("FLUSHALL").text(client), "OK")),
        ("PEXPIRE", |client| assert_eq!(cmd("PEXPIRE").arg("k").arg(-1).number(client), 1)),
    ];
    for (how, change) in vanish {
        recognize("k", &photos::green()).text(&mut client);
        let slow = photos::slow(800);
        let reply = with_a_request_at_work(&server, &recognize("k", &slow), change);
        assert_eq!(reply.text(), RED_RESULT, "{how}");
        assert_eq!(
            cmd("HGET").arg("k").arg("sha256").text(&mut client),
            photos::digest(&slow),
            "{how}"
        );
        assert_eq!(get("k").text(&mut client), RED_RESULT, "{how}");
    }
    recognize("k", &photos::green()).text(&mut client);
    with_a_request_at_work(&server, &recognize("k", &photos::slow(800)), |client| {
        cmd("RENAME").arg("k").arg("elsewhere").text(client);
    });
    assert!(
        get("elsewhere").text(&mut client).contains("green"),
        "what was renamed is another key's"
    );
}

#[test]
fn a_key_that_becomes_somebody_elses_is_not_touched() {
    let server = Server::start();
    let mut client = server.client();
    let before = server.count("not_stored_foreign");
    let reply = with_a_request_at_work(&server, &recognize("k", &photos::slow(800)), |client| {
        cmd("SET").arg("k").arg("mine").text(client);
    });
    assert_eq!(reply.text(), RED_RESULT);
    assert_eq!(cmd("GET").arg("k").text(&mut client), "mine");
    cmd("DEL").arg("k").number(&mut client);
    let reply = with_a_request_at_work(&server, &recognize("k", &photos::slow(800)), |client| {
        cmd("HSET").arg("k").arg(&["name", "mine"]).number(client);
    });
    assert_eq!(reply.text(), RED_RESULT);
    assert_eq!(cmd("HGETALL").arg("k").list(&mut client), ["name", "mine"]);
    assert_eq!(server.count("not_stored_foreign"), before + 2);
}

#[test]
fn an_old_frame_never_overwrites_a_newer_one() {
    let server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    let camera = "camera:17";

    // The old frame is still at work when the newer one is stored.
    let old = server.send(&recognize(camera, &photos::slow(1500)));
    wait_until("the old frame is at work", || server.count("workers_busy") == 1);
    let newer = photos::green();
    assert!(recognize(camera, &newer).text(&mut client).contains("green"));
    assert_eq!(old.reply().text(), RED_RESULT, "who sent the old frame still gets its result");
    assert_eq!(cmd("HGET").arg(camera).arg("sha256").text(&mut client), photos::digest(&newer));
    assert!(get(camera).text(&mut client).contains("green"));

    // Also where the old frame's hash takes longer than the whole of the newer one.
    for _ in 0..20 {
        let (old, newer) =
            (photos::padded(&photos::red(), 8_000_000), photos::unique(&photos::green()));
        let mut pipeline = redis::pipe();
        pipeline.add_command(recognize(camera, &old).arg("NOWAIT").take());
        pipeline.add_command(recognize(camera, &newer).arg("NOWAIT").take());
        pipeline.query::<Vec<String>>(&mut client).expect("both accepted");
        assert!(
            get(camera).arg(&["WAIT", "20000"]).text(&mut client).contains("green"),
            "the last request is the green one"
        );
        wait_until("both are done", || server.count("queue_bytes") == 0);
        assert_eq!(cmd("HGET").arg(camera).arg("sha256").text(&mut client), photos::digest(&newer));
    }
}

/// Who only reads takes no part in what is newer.
#[test]
fn a_hit_of_a_reader_keeps_no_newer_picture_out() {
    for hash_inline in ["256mb", "0"] {
        let server = Server::with().setting("threads", 2).start();
        let mut client = server.client();
        recognize("camera:17", &photos::green()).text(&mut client);
        cmd("CONFIG").arg(&["SET", "image.hash-inline", hash_inline]).text(&mut client);
        let newer = server.send(&recognize("camera:17", &photos::slow(1000)));
        wait_until("the newer one is at work", || server.count("workers_busy") == 1);
        let read =
            cmd("IMAGE.RECOGNIZE_RO").arg("camera:17").arg(photos::green()).text(&mut client);
        assert!(read.contains("green"));
        assert_eq!(newer.reply().text(), RED_RESULT);
        assert_eq!(get("camera:17").text(&mut client), RED_RESULT);
        assert_eq!(server.count("not_stored_superseded"), 0);
    }
}

#[test]
fn identical_requests_are_computed_once_and_stored_for_each_key() {
    let server = Server::start();
    let mut client = server.client();
    let slow = photos::slow(1000);
    let waiting: Vec<Pending> = (0..8)
        .map(|i| server.send(recognize(format!("k{i}"), &slow).arg(&["EX", ["100", "900"][i % 2]])))
        .chain([server.send(&recognize_ro("read only", &slow))])
        .collect();
    for pending in waiting {
        assert_eq!(pending.reply().text(), RED_RESULT);
    }
    assert_eq!(server.model_count("tiny", "computed"), 1);
    for i in 0..8 {
        assert_eq!(get(format!("k{i}")).text(&mut client), RED_RESULT);
        let ttl = cmd("TTL").arg(format!("k{i}")).number(&mut client);
        assert!(if i % 2 == 0 { ttl <= 100 } else { (101..=900).contains(&ttl) }, "k{i}: {ttl}");
    }
    assert_eq!(cmd("DBSIZE").number(&mut client), 8, "who only reads stores nothing");
}

#[test]
fn a_result_that_somebody_stored_meanwhile_is_not_mixed_with_ours() {
    let server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    recognize("green", &photos::green()).text(&mut client);
    let slow = photos::slow(800);
    with_a_request_at_work(&server, &recognize("k", &slow), |client| {
        cmd("COPY").arg("green").arg("k").number(client);
        cmd("HSET").arg("k").arg(&["note", "mine"]).number(client);
    });
    assert_eq!(cmd("HGET").arg("k").arg("sha256").text(&mut client), photos::digest(&slow));
    assert_eq!(cmd("HGET").arg("k").arg("note").text(&mut client), "mine");
    cmd("HDEL").arg("k").arg("note").number(&mut client);
    let field = stored_field(&mut client, "k");
    assert_eq!(cmd("HGET").arg("k").arg(field).text(&mut client), RED_RESULT);
}
