//! Connections that have subscriptions: a RESP3 client goes on sending commands beside them. Since 8.1 Valkey lets no
//! such client wait, and says so to a module only when it tries.

use crate::commands::RED_RESULT;
use crate::support::galleries::{blob, enrol_photo};
use crate::support::*;
use redis::{Connection, cmd};

/// What a server answers to a call whose client must wait.
#[derive(Clone, Copy, PartialEq)]
enum Waiting {
    Allowed,
    Refused,
}

fn waiting(server: &Server) -> Waiting {
    let info = server.info_of("server");
    let Some(version) = info.get("valkey_version") else { return Waiting::Allowed };
    let numbers: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    if numbers[..2] >= [8, 1][..] { Waiting::Refused } else { Waiting::Allowed }
}

/// A RESP3 client with one subscription.
fn subscribed(server: &Server, how: &str) -> Connection {
    let mut client = server.client_resp3();
    let channel = if how == "PSUBSCRIBE" { "__keyevent@*__:image.*" } else { "news" };
    client.send_packed_command(&cmd(how).arg(channel).get_packed_command()).expect("it is sent");
    client.recv_response().expect("the subscription is confirmed");
    client
}

const SUBSCRIPTIONS: [&str; 3] = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"];

#[test]
fn a_subscribed_client_gets_its_result_or_is_told_that_it_cannot_wait() {
    let server = Server::with().config("notify-keyspace-events", "Ed").start();
    let expected = waiting(&server);
    for how in SUBSCRIPTIONS {
        let mut client = subscribed(&server, how);
        let small = photos::unique(&photos::red());
        let large = photos::padded(&photos::red(), 400_000);
        for (payload, read_only) in
            [(&small, false), (&small, true), (&large, false), (&large, true)]
        {
            let key = photos::key_of(payload);
            let call = if read_only { recognize_ro } else { recognize };
            match (call(key, payload).reply(&mut client), expected) {
                (reply @ Reply::Value(_), Waiting::Allowed) => assert_eq!(reply.text(), RED_RESULT),
                (Reply::Error(error), Waiting::Refused) => {
                    assert!(error.starts_with("NOWAITING "), "{how}: {error}");
                    assert!(
                        error.contains("NOWAIT ") && error.contains("subscriptions"),
                        "{error}"
                    );
                }
                (reply, _) => panic!("{how}: {reply:?}"),
            }
        }
    }
    assert_eq!(server.count("queue_bytes"), 0, "nothing was left behind");
    assert_eq!(server.count("waiting_clients"), 0);
}

#[test]
fn hits_nowait_and_plain_get_need_no_waiting() {
    let server = Server::start();
    let large = photos::padded(&photos::red(), 400_000);
    recognize("large", &large).text(&mut server.client());
    for how in SUBSCRIPTIONS {
        let mut client = subscribed(&server, how);
        assert_eq!(recognize("large", &large).text(&mut client), RED_RESULT);
        assert_eq!(recognize_ro("large", &large).text(&mut client), RED_RESULT);
        assert_eq!(get("large").text(&mut client), RED_RESULT);
        for payload in [photos::unique(&photos::red()), photos::padded(&photos::red(), 400_000)] {
            let key = photos::key_of(&payload);
            let accepted = recognize(&key, &payload).arg("NOWAIT").text(&mut client);
            assert_eq!(accepted, "ACCEPTED");
            wait_until("the result is stored", || {
                get(&key).reply(&mut client).text_if_any().as_deref() == Some(RED_RESULT)
            });
        }
    }
}

#[test]
fn a_get_that_would_wait_is_told_so() {
    let server = Server::with().setting("threads", 1).start();
    let expected = waiting(&server);
    let payload = photos::slow(300);
    let key = photos::key_of(&payload);
    let mut client = subscribed(&server, "SUBSCRIBE");
    recognize(&key, &payload).arg("NOWAIT").text(&mut client);
    let reply = get(&key).arg(&["WAIT", "30000"]).reply(&mut client);
    match expected {
        Waiting::Allowed => assert_eq!(reply.text(), RED_RESULT),
        Waiting::Refused => assert!(reply.error().starts_with("NOWAITING "), "{reply:?}"),
    }
    let result = get(&key).arg(&["WAIT", "30000"]).text(&mut server.client());
    assert_eq!(result, RED_RESULT, "another connection waits");
}

#[test]
fn a_full_queue_refuses_a_client_that_was_blocked_for_it() {
    let server = Server::with().setting("threads", 1).setting("queue-length", 1).start();
    let running = server.send(&recognize("running", &photos::slow(1500)));
    wait_until("the worker is busy", || server.count("workers_busy") == 1);
    let waiting = server.send(&recognize("waiting", &photos::unique(&photos::red())));
    wait_until("the queue is full", || server.count("queue_length") == 1);
    let mut client = server.client();
    for _ in 0..3 {
        let refused = recognize("refused", &photos::unique(&photos::red())).error(&mut client);
        assert!(refused.starts_with("QUEUEFULL "), "{refused}");
        assert_eq!(cmd("PING").text(&mut client), "PONG", "the connection goes on");
    }
    assert_eq!(running.reply().text(), RED_RESULT);
    assert_eq!(waiting.reply().text(), RED_RESULT);
    assert_eq!(server.count("waiting_clients"), 0);
}

#[test]
fn galleries_and_reloads_answer_subscribed_clients_too() {
    let server = Server::with().real_models().setting("gallery-model", "embed").start();
    let expected = waiting(&server);
    let photo = photos::red();
    let mut plain = server.client();
    enrol_photo("g", "red", &photo).value(&mut plain);
    for how in SUBSCRIPTIONS {
        let mut client = subscribed(&server, how);
        let vector = blob(&galleries::vector_of(7, 1280));
        let calls = [
            enrol_photo("g", "green", &photos::unique(&photos::green())),
            cmd("IMAGE.IDENTIFY").arg("g").arg(&photo).take(),
            cmd("IMAGE.IDENTIFY").arg("g").arg("VECTOR").arg(&vector).take(),
            cmd("IMAGE.VERIFY").arg("g").arg("red").arg(&photo).take(),
            cmd("IMAGE.MODELS").arg("RELOAD").take(),
            cmd("IMAGE.RELOAD"),
        ];
        for (number, call) in calls.iter().enumerate() {
            let reply = call.reply(&mut client);
            match (&reply, expected) {
                (Reply::Value(_), Waiting::Allowed) => (),
                (Reply::Error(error), Waiting::Refused) => {
                    assert!(error.starts_with("NOWAITING "), "{how} {number}: {error}");
                }
                _ => panic!("{how} {number}: {reply:?}"),
            }
        }
    }
    assert_eq!(server.count("gallery_calls"), 0);
}

/// As a program of a user's does it: valkey-glide has one connection, and its subscription is on it.
#[test]
fn a_client_of_valkey_glide_with_a_subscription_of_its_own_goes_on() {
    let program = repository().join("tests/programs/glide_subscription.py");
    let program = programs::python_at(&program);
    let server = Server::with().config("notify-keyspace-events", "Ed").start();
    let folder = programs::Folder::new();
    let photos = [1, 2]
        .map(|number| folder.write(&format!("{number}.png"), &photos::unique(&photos::red())));
    let client = programs::Running::start(program, &server, &photos);
    let [step, told] = &client.line()[..] else { panic!("two parts") };
    assert_eq!(step, "miss");
    match waiting(&server) {
        Waiting::Allowed => assert_eq!(told, RED_RESULT),
        Waiting::Refused => assert!(told.starts_with("NOWAITING "), "{told}"),
    }
    assert_eq!(client.line(), ["nowait", "ACCEPTED"]);
    assert_eq!(client.line(), ["event", "later"]);
    assert_eq!(client.line(), ["get", RED_RESULT]);
    client.end();
    assert_eq!(cmd("PING").text(&mut server.client()), "PONG");
}
