//! What a client is told that asks late, or for another picture than the one that is under way.

use crate::commands::RED_RESULT;
use crate::support::crowd::assert_settled;
use crate::support::*;
use redis::{Cmd, Connection, Value, cmd};
use std::collections::BTreeMap;

const CAMERA: &str = "camera:17";

fn no_wait(key: &str, payload: &[u8]) -> Cmd {
    recognize(key, payload).arg("NOWAIT").take()
}

/// Waits longer than the clients' patience: the reply must not need it.
fn get_wait(key: &str) -> Cmd {
    get(key).arg(&["WAIT", "3600000"]).take()
}

fn get_wait_for(key: &str, payload: &[u8]) -> Cmd {
    get_wait(key).arg("SHA256").arg(photos::digest(payload)).take()
}

fn bad() -> Vec<u8> {
    photos::unique(b"no image")
}

#[track_caller]
fn accept(client: &mut Connection, key: &str, payload: &[u8]) {
    assert_eq!(no_wait(key, payload).text(client), "ACCEPTED");
}

fn config_set(server: &Server, name: &str, value: &str) {
    assert_eq!(cmd("CONFIG").arg(&["SET", name, value]).text(&mut server.client()), "OK");
}

#[test]
fn a_picture_refused_under_anothers_name_is_no_failure_of_the_other() {
    let server = Server::start();
    let mut client = server.client();
    let named = photos::red();
    let key = photos::key_of(&named);
    // Its digest is not known at once.
    let other = photos::padded(&photos::green(), 400_000);
    for stored in [None, Some(RED_RESULT)] {
        let refused = recognize(&key, &other).error(&mut client);
        assert!(refused.starts_with("ERR "), "{refused}");
        for late in [get_wait(&key), get_wait_for(&key, &named)] {
            assert_eq!(late.reply(&mut client).text_if_any().as_deref(), stored);

            // Asked while nobody knows yet that the call is wrong.
            accept(&mut client, &key, &other);
            assert_eq!(late.reply(&mut client).text_if_any().as_deref(), stored);
            wait_until("the wrong call is over", || server.count("requests") == 0);
            assert_eq!(late.reply(&mut client).text_if_any().as_deref(), stored);
        }
        assert_eq!(recognize(&key, &named).text(&mut client), RED_RESULT);
    }
}

#[test]
fn an_older_failure_does_not_hide_a_newer_result() {
    let server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    let (small, large) = (photos::red(), photos::padded(&photos::red(), 400_000));
    // Each is computed first, and then found stored.
    for newer in [&small, &small, &large, &large] {
        accept(&mut client, CAMERA, &photos::slowed(&bad(), 1000));
        assert_eq!(recognize(CAMERA, newer).text(&mut client), RED_RESULT);
        wait_until("the older request has failed", || server.count("requests") == 0);
        assert_eq!(get_wait(CAMERA).text(&mut client), RED_RESULT);
        assert_eq!(get_wait_for(CAMERA, newer).text(&mut client), RED_RESULT);
    }
    assert_eq!(server.count("bad_images"), 4);
}

#[test]
fn an_older_result_does_not_hide_a_newer_failure() {
    let server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    let (older, newer) = (photos::slow(1000), bad());
    accept(&mut client, CAMERA, &older);
    accept(&mut client, CAMERA, &newer);
    let early = get_wait_for(CAMERA, &newer).error(&mut client);
    assert!(early.starts_with("BADIMAGE "), "{early}");
    assert_eq!(get_wait_for(CAMERA, &older).text(&mut client), RED_RESULT);
    wait_until("both are over", || server.count("requests") == 0);
    assert_eq!(get_wait_for(CAMERA, &newer).error(&mut client), early);
    assert_eq!(get_wait(CAMERA).error(&mut client), early, "the newer request failed");
    assert_eq!(get_wait_for(CAMERA, &older).text(&mut client), RED_RESULT);
}

#[test]
fn who_names_a_picture_gets_its_result_whatever_a_newer_request_becomes() {
    let server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    for picture in [photos::green(), bad()] {
        let (older, newer) = (photos::slow(1000), photos::padded(&picture, 30_000_000));
        // The newer one is hashed when the last command comes.
        let mut batch = redis::pipe();
        batch.add_command(no_wait(CAMERA, &older));
        batch.add_command(no_wait(CAMERA, &newer));
        batch.add_command(get_wait_for(CAMERA, &older));
        let replies: Vec<String> = batch.query(&mut client).expect("every reply");
        assert_eq!(replies, ["ACCEPTED", "ACCEPTED", RED_RESULT]);
        wait_until("both are over", || server.count("requests") == 0);
    }
}

#[test]
fn in_a_transaction_a_wait_replies_what_is_stored_while_more_is_under_way() {
    let server = Server::start();
    let mut client = server.client();
    let payload = photos::slow(1000);
    recognize("stored", &payload).text(&mut client);
    let refresh = no_wait("stored", &payload).arg("REFRESH").take();
    assert_eq!(refresh.text(&mut client), "ACCEPTED");
    accept(&mut client, "missing", &photos::slow(1000));
    let mut in_multi = |command: Cmd| {
        cmd("MULTI").text(&mut client);
        assert_eq!(command.text(&mut client), "QUEUED");
        match cmd("EXEC").reply(&mut client) {
            Reply::Value(Value::Array(mut replies)) => Reply::from(Ok(replies.remove(0))),
            other => other,
        }
    };
    assert_eq!(in_multi(get_wait("stored")).text(), RED_RESULT);
    assert_eq!(in_multi(get_wait_for("stored", &payload)).text(), RED_RESULT);
    let refused = in_multi(get_wait("missing")).error();
    assert!(refused.starts_with("NOWAITING "), "{refused}");
}

#[test]
fn an_outcome_is_told_while_its_store_is_put_off() {
    let mut server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    let good = photos::slow(1000);
    accept(&mut client, "good", &good);
    accept(&mut client, "bad", &photos::slowed(&bad(), 1000));
    cmd("CLIENT").arg(&["PAUSE", "600000", "WRITE"]).text(&mut client);
    wait_until("both are put off", || server.count("waiting_stores") == 2);

    assert!(get("good").reply(&mut client).is_nil(), "it is not stored yet");
    assert_eq!(get_wait("good").text(&mut client), RED_RESULT);
    assert_eq!(get_wait_for("good", &good).text(&mut client), RED_RESULT);
    assert!(get_wait_for("good", &photos::red()).reply(&mut client).is_nil());
    assert!(get_wait("bad").error(&mut client).starts_with("BADIMAGE "));

    cmd("CLIENT").arg("UNPAUSE").text(&mut client);
    assert_settled(&mut server);
    assert_eq!(get("good").text(&mut client), RED_RESULT);
    assert_eq!(cmd("DBSIZE").number(&mut client), 1);
}

/// Asks while writes are paused, and again when they are allowed.
fn before_and_after_the_store(server: &mut Server, put_off: i64, ask: impl Fn(&mut Connection)) {
    let mut client = server.client();
    cmd("CLIENT").arg(&["PAUSE", "600000", "WRITE"]).text(&mut client);
    wait_until("all are put off", || server.count("waiting_stores") == put_off);
    ask(&mut client);
    cmd("CLIENT").arg("UNPAUSE").text(&mut client);
    assert_settled(server);
    ask(&mut client);
}

#[test]
fn an_old_result_whose_store_is_put_off_does_not_hide_a_newer_one_that_is_stored() {
    let mut server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    accept(&mut client, CAMERA, &photos::slow(1000));
    assert!(recognize(CAMERA, &photos::green()).text(&mut client).contains("green"));
    before_and_after_the_store(&mut server, 1, |client| {
        assert_ne!(get_wait(CAMERA).text(client), RED_RESULT, "the newer one is green");
    });
}

#[test]
fn an_old_result_whose_store_is_put_off_does_not_hide_a_newer_failure() {
    let mut server = Server::with().setting("threads", 2).start();
    let mut client = server.client();
    accept(&mut client, CAMERA, &photos::slow(1000));
    accept(&mut client, CAMERA, &photos::slowed(&bad(), 1000));
    before_and_after_the_store(&mut server, 2, |client| {
        let failed = get_wait(CAMERA).error(client);
        assert!(failed.starts_with("BADIMAGE "), "{failed}");
    });
}

#[test]
fn a_large_payload_that_was_stored_already_is_announced_to_who_did_not_wait() {
    let server = Server::with().config("notify-keyspace-events", "KEd").start();
    let mut client = server.client();
    let large = photos::padded(&photos::red(), 400_000);
    recognize("k", &large).text(&mut client);
    let mut listener = server.client();
    let mut events = listener.as_pubsub();
    events.psubscribe("__keyspace@0__:*").expect("subscribed");
    accept(&mut client, "k", &large);
    let event = events.get_message().expect("an event");
    assert_eq!(event.get_channel_name(), "__keyspace@0__:k");
    assert_eq!(event.get_payload::<String>().expect("text"), "image.recognized");
    assert_eq!(server.model_count("tiny", "computed"), 1);
}

#[test]
fn what_is_not_stored_is_for_nobody_when_its_client_has_lost_patience() {
    for hash_inline in ["256mb", "0"] {
        let mut server =
            Server::with().setting("threads", 1).setting("hash-inline", hash_inline).start();
        let mut client = server.client();
        accept(&mut client, "busy", &photos::slow(1500));
        wait_until("the worker is busy", || server.count("workers_busy") == 1);
        let picture = photos::unique(&photos::red());
        for request in [recognize_ro("read", &bad()), recognize("written", &picture)] {
            let error = request.clone().arg(&["TIMEOUT", "50"]).error(&mut client);
            assert!(error.starts_with("TIMEOUT "), "{error}");
        }
        assert_settled(&mut server);
        assert_eq!(server.count("dropped"), 1);
        assert_eq!(server.count("bad_images"), 0);
        assert_eq!(server.model_count("tiny", "computed"), 2);
        assert_eq!(get("written").text(&mut client), RED_RESULT);
    }
}

#[test]
fn a_refused_store_leaves_the_key_as_it_was() {
    let models = [("tiny", tiny::Model::new()), ("other", tiny::Model::new())];
    let folder = tiny::folder(&models);
    let server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    for (model, _) in &models {
        recognize(CAMERA, &photos::red()).arg(&["MODEL", model]).text(&mut client);
    }
    let stored = |client: &mut Connection| -> BTreeMap<String, String> {
        redis::from_redis_value(cmd("HGETALL").arg(CAMERA).value(client)).expect("a hash")
    };
    let before = stored(&mut client);
    assert_eq!(before.len(), 3);
    config_set(&server, "maxmemory", "100kb");
    assert!(recognize(CAMERA, &photos::green()).text(&mut client).contains("green"));
    assert_eq!(server.count("not_stored_memory"), 1);
    assert_eq!(stored(&mut client), before);

    config_set(&server, "maxmemory", "0");
    recognize(CAMERA, &photos::green()).text(&mut client);
    assert_eq!(stored(&mut client).len(), 2);
}
