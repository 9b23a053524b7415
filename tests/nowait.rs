//! Requests that nobody waits for, and `GET … WAIT` for them.

use crate::commands::RED_RESULT;
use crate::support::*;
use redis::{Connection, Value, cmd};

/// Longer than the clients' patience: the reply must not need it.
const FOR_EVER: &[&str] = &["WAIT", "3600000"];

fn recognize_nowait(key: &str, payload: &[u8]) -> redis::Cmd {
    recognize(key, payload).arg("NOWAIT").take()
}

#[test]
fn a_request_is_accepted_and_its_result_waited_for() {
    let server = Server::start();
    let mut client = server.client();
    let slow = photos::slow(200);
    assert_eq!(
        recognize_nowait("k", &slow).value(&mut client),
        Value::SimpleString("ACCEPTED".into())
    );
    assert_eq!(get("k").arg(FOR_EVER).text(&mut client), RED_RESULT);
    assert_eq!(
        recognize_nowait("k", &slow).value(&mut client),
        Value::SimpleString("STORED".into())
    );
    assert!(get("nothing under way").arg(FOR_EVER).reply(&mut client).is_nil());
}

#[test]
fn a_pipeline_is_a_batch() {
    let server = Server::start();
    let mut client = server.client();
    // Small ones, and ones that are hashed on a thread of their own.
    let pictures: Vec<Vec<u8>> = (0..20)
        .map(|i| {
            if i % 2 == 0 {
                photos::unique(&photos::red())
            } else {
                photos::padded(&photos::red(), 400_000)
            }
        })
        .collect();
    let mut batch = redis::pipe();
    for picture in &pictures {
        batch.add_command(recognize_nowait(&photos::key_of(picture), picture));
    }
    for picture in &pictures {
        batch.add_command(get(photos::key_of(picture)).arg(FOR_EVER).take());
    }
    let replies: Vec<String> = batch.query(&mut client).expect("every reply");
    assert!(replies[..20].iter().all(|reply| reply == "ACCEPTED"), "{:?}", &replies[..20]);
    assert!(replies[20..].iter().all(|reply| reply == RED_RESULT), "{:?}", &replies[20..]);
}

#[test]
fn a_failure_is_told_to_who_waits_and_to_who_comes_late() {
    let server = Server::start();
    let mut client = server.client();
    for (key, payload, prefix) in [
        ("slow and bad", photos::slowed(b"no image", 200), "BADIMAGE "),
        ("bad", b"no image".to_vec(), "BADIMAGE "),
        ("panic", photos::panicking(), "FAILED "),
    ] {
        assert_eq!(recognize_nowait(key, &payload).text(&mut client), "ACCEPTED");
        let early = get(key).arg(FOR_EVER).error(&mut client);
        let late = get(key).arg(FOR_EVER).error(&mut client);
        assert!(early.starts_with(prefix), "{key}: {early}");
        assert_eq!(late, early);
        assert!(get(key).reply(&mut client).is_nil(), "without WAIT, {key} is only not there");
    }
    // A later success puts the failure out of mind.
    assert_eq!(recognize_nowait("bad", &photos::red()).text(&mut client), "ACCEPTED");
    assert_eq!(get("bad").arg(FOR_EVER).text(&mut client), RED_RESULT);
    cmd("DEL").arg("bad").number(&mut client);
    assert!(get("bad").arg(FOR_EVER).reply(&mut client).is_nil());
}

#[test]
fn a_wait_replies_the_last_request_even_where_its_result_is_not_stored() {
    let server = Server::start();
    let mut client = server.client();
    let slow = photos::slow(1000);
    assert_eq!(recognize_nowait("k", &slow).text(&mut client), "ACCEPTED");
    let waiting = server.send(get("k").arg(FOR_EVER));
    let impatient = get("k").arg(&["WAIT", "1"]).reply(&mut client);
    assert!(impatient.is_nil() || impatient.error().starts_with("TIMEOUT "), "{impatient:?}");
    cmd("SET").arg("k").arg("somebody's own").text(&mut client);
    assert_eq!(waiting.reply().text(), RED_RESULT);
    assert_eq!(cmd("GET").arg("k").text(&mut client), "somebody's own");
}

/// With nobody to answer, nothing but the store itself makes the server propagate it.
#[test]
fn a_result_that_nobody_waits_for_reaches_replica_and_append_only_file() {
    let mut master = Server::with().append_only().config("appendfsync", "always").start();
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    for i in 0..10 {
        let picture = photos::unique(&photos::red());
        recognize_nowait(&format!("k{i}"), &picture).arg(&["EX", "5000"]).text(&mut client);
    }
    wait_until("ten results", || cmd("DBSIZE").number(&mut client) == 10);
    replica.wait_for_sync(&master);
    master.kill();
    master.start_again();
    for server in [&master, &replica] {
        let mut client = server.client();
        for i in 0..10 {
            let key = format!("k{i}");
            assert_eq!(get(&key).text(&mut client), RED_RESULT);
            assert!((1..=5000).contains(&cmd("TTL").arg(&key).number(&mut client)));
        }
        assert_eq!(server.model_count("tiny", "computed"), 0);
    }
}

#[test]
fn keyspace_events_tell_the_outcome() {
    let server = Server::with().config("notify-keyspace-events", "KEd").start();
    let mut listener = server.client();
    let mut events = listener.as_pubsub();
    events.psubscribe("__key*@0__:*").expect("subscribed");
    let mut client = server.client();

    let mut next_two = || {
        let mut pair: Vec<(String, String)> = (0..2)
            .map(|_| events.get_message().expect("an event"))
            .map(|event| (event.get_channel_name().to_owned(), event.get_payload().expect("text")))
            .collect();
        pair.sort();
        pair
    };
    recognize_nowait("good", &photos::red()).text(&mut client);
    assert_eq!(next_two(), pair_of_events("image.recognized", "good"));
    recognize_nowait("bad", b"no image").text(&mut client);
    assert_eq!(next_two(), pair_of_events("image.failed", "bad"));
}

fn pair_of_events(event: &str, key: &str) -> Vec<(String, String)> {
    vec![
        (format!("__keyevent@0__:{event}"), key.to_owned()),
        (format!("__keyspace@0__:{key}"), event.to_owned()),
    ]
}

#[test]
fn where_nobody_may_wait_a_miss_says_so_and_a_hit_answers() {
    let server = Server::start();
    let mut client = server.client();
    let stored = photos::padded(&photos::red(), 400_000);
    recognize("stored", &stored).text(&mut client);
    let miss = photos::unique(&photos::red());

    cmd("FUNCTION").arg("LOAD").arg(FUNCTION).text(&mut client);
    let places: [Place; 3] = [in_transaction, in_script, in_function];
    for (place, call) in places.into_iter().enumerate() {
        let key = format!("nowait:{place}");
        assert_eq!(
            call(&mut client, &[b"IMAGE.RECOGNIZE", b"stored", &stored]).text(),
            RED_RESULT,
            "{place}"
        );
        assert_eq!(
            call(&mut client, &[b"IMAGE.GET", b"stored", b"WAIT", b"3600000"]).text(),
            RED_RESULT,
            "{place}"
        );
        let refused = call(&mut client, &[b"IMAGE.RECOGNIZE", b"missing", &miss]).error();
        assert!(refused.starts_with("NOWAITING "), "{place}: {refused}");
        assert_eq!(
            call(&mut client, &[b"IMAGE.RECOGNIZE", key.as_bytes(), &miss, b"NOWAIT"]).text(),
            "ACCEPTED"
        );
        assert_eq!(get(&key).arg(FOR_EVER).text(&mut client), RED_RESULT);
    }
    assert_eq!(cmd("EXISTS").arg("missing").number(&mut client), 0);
    wait_until("nothing is left in the queue", || server.count("queue_bytes") == 0);
}

/// Where a command may stand so that its client cannot be made to wait.
type Place = fn(&mut Connection, &[&[u8]]) -> Reply;

const FUNCTION: &str = "#!lua name=tests\nredis.register_function('call', function(keys, arguments) \
                        return redis.pcall(arguments[1], keys[1], unpack(arguments, 2)) end)";

fn in_transaction(client: &mut Connection, words: &[&[u8]]) -> Reply {
    cmd("MULTI").text(client);
    assert_eq!(redis::Cmd::new().arg(words).text(client), "QUEUED");
    match cmd("EXEC").reply(client) {
        Reply::Value(Value::Array(mut replies)) => Reply::from(Ok(replies.remove(0))),
        other => other,
    }
}

fn in_script(client: &mut Connection, words: &[&[u8]]) -> Reply {
    let script = "return redis.pcall(ARGV[1], KEYS[1], unpack(ARGV, 2))";
    cmd("EVAL").arg(script).arg(1).arg(words[1]).arg(words[0]).arg(&words[2..]).reply(client)
}

fn in_function(client: &mut Connection, words: &[&[u8]]) -> Reply {
    cmd("FCALL").arg("call").arg(1).arg(words[1]).arg(words[0]).arg(&words[2..]).reply(client)
}
