//! `IMAGE.WAIT`: one connection that waits for what has become of many keys.

use crate::commands::RED_RESULT;
use crate::support::*;
use redis::{Cmd, Connection, cmd};
use std::collections::BTreeMap;

fn wait(keys: &[&str], timeout_ms: i64) -> Cmd {
    cmd("IMAGE.WAIT").arg(keys).arg("tiny").arg(timeout_ms).take()
}

/// State and text of each key, in the order that was asked for.
#[track_caller]
fn states(command: &Cmd, client: &mut Connection) -> Vec<(String, Option<String>)> {
    redis::from_redis_value(command.value(client)).expect("pairs of a state and a text")
}

fn names(states: &[(String, Option<String>)]) -> Vec<&str> {
    states.iter().map(|(state, _)| state.as_str()).collect()
}

#[test]
fn eight_misses_of_one_connection_keep_all_workers_busy_beside_gets_that_answer_at_once() {
    let server = Server::with().setting("threads", 2).start();
    let (mut shared, mut waiting) = (server.client(), server.client());
    recognize("stored", &photos::red()).text(&mut shared);
    let photos: Vec<Vec<u8>> = (0..8).map(|_| photos::slow(400)).collect();
    let keys: Vec<String> = photos.iter().map(|photo| photos::key_of(photo)).collect();
    for (key, photo) in keys.iter().zip(&photos) {
        assert_eq!(recognize(key, photo).arg("NOWAIT").text(&mut shared), "ACCEPTED");
    }
    wait_until("all workers are busy", || server.count("workers_busy") == 2);
    let mut pending: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut calls = 0;
    while !pending.is_empty() {
        // The shared connection is free: this would not come through behind a request that waits.
        assert_eq!(get("stored").text(&mut shared), RED_RESULT);
        let told = states(&wait(&pending, 30_000), &mut waiting);
        calls += 1;
        let mut left = Vec::new();
        for (key, (state, text)) in pending.iter().zip(&told) {
            match state.as_str() {
                "result" => assert_eq!(text.as_deref(), Some(RED_RESULT)),
                "pending" => left.push(*key),
                other => panic!("{key}: {other} {text:?}"),
            }
        }
        assert!(left.len() < pending.len(), "a call ends when there is something to tell");
        pending = left;
    }
    assert!(calls >= 2, "the first results were told while others were under way");
    assert_eq!(server.model_count("tiny", "computed"), 9);
    assert_eq!(server.count("waiting_clients"), 0);
    wait_until("nothing is left", || server.count("queue_bytes") == 0);
}

#[test]
fn a_batch_of_five_hundred_is_collected_on_one_connection() {
    let server = Server::with().setting("threads", 2).start();
    let (mut shared, mut waiting) = (server.client(), server.client());
    let mut batch = BTreeMap::new();
    for number in 0..500 {
        let photo = match number {
            77 => photos::unique(b"no picture"),
            number if number % 50 == 3 => photos::padded(&photos::red(), 300_000),
            _ => photos::unique(&photos::red()),
        };
        let key = photos::key_of(&photo);
        assert_eq!(recognize(&key, &photo).arg("NOWAIT").text(&mut shared), "ACCEPTED");
        batch.insert(key, number);
    }
    let mut told = BTreeMap::new();
    while !batch.is_empty() {
        let keys: Vec<&str> = batch.keys().map(String::as_str).collect();
        let answers = states(&wait(&keys, 30_000), &mut waiting);
        let ended: Vec<(String, (String, Option<String>))> = keys
            .iter()
            .map(|key| (*key).to_owned())
            .zip(answers)
            .filter(|(_, (state, _))| state != "pending")
            .collect();
        for (key, answer) in ended {
            let number = batch.remove(&key).expect("it was asked for");
            told.insert(number, answer);
        }
    }
    assert_eq!(told.len(), 500);
    for (number, (state, text)) in told {
        let text = text.expect("a text");
        if number == 77 {
            assert_eq!(state, "error");
            assert!(text.starts_with("BADIMAGE "), "{text}");
        } else {
            assert_eq!((state.as_str(), text.as_str()), ("result", RED_RESULT));
        }
    }
    assert_eq!(cmd("DBSIZE").number(&mut shared), 499);
}

#[test]
fn each_key_has_its_state_in_the_order_asked_for() {
    let server = Server::with().setting("threads", 1).start();
    let mut client = server.client();
    recognize("stored", &photos::red()).text(&mut client);
    recognize("bad", b"no picture").arg("NOWAIT").text(&mut client);
    get("bad").arg(&["WAIT", "30000"]).error(&mut client);
    let slow = photos::slow(1500);
    recognize("slow", &slow).arg("NOWAIT").text(&mut client);
    cmd("SET").arg("text").arg("x").text(&mut client);

    let keys = ["slow", "stored", "nobody", "bad", "text", "stored"];
    for mut client in [server.client(), server.client_resp3()] {
        let told = states(&wait(&keys, 30_000), &mut client);
        assert_eq!(names(&told), ["pending", "result", "unknown", "error", "error", "result"]);
        assert_eq!(told[0].1, None);
        assert_eq!(told[1].1.as_deref(), Some(RED_RESULT));
        assert_eq!(told[2].1, None);
        assert!(told[3].1.as_deref().expect("an error").starts_with("BADIMAGE "));
        assert!(told[4].1.as_deref().expect("an error").starts_with("WRONGTYPE "));
    }
    let only_pending = states(&wait(&["slow"], 0), &mut client);
    assert_eq!(names(&only_pending), ["pending"], "0 does not wait");
    let timed_out = states(&wait(&["slow", "slow"], 20), &mut client);
    assert_eq!(names(&timed_out), ["pending", "pending"]);
    let told = states(&wait(&["slow", "slow"], 30_000), &mut client);
    assert_eq!(names(&told), ["result", "result"]);
    assert_eq!(server.count("timed_out"), 0, "what is pending is no failure");
}

#[test]
fn a_result_that_is_not_stored_is_told_to_who_waits() {
    let server = Server::with().setting("threads", 1).start();
    let slow = photos::slow(800);
    let asker = server.send(&recognize_ro("k", &slow));
    wait_until("the request is under way", || server.count("workers_busy") == 1);
    let told = states(&wait(&["k"], 30_000), &mut server.client());
    assert_eq!(told, [("result".to_owned(), Some(RED_RESULT.to_owned()))]);
    assert_eq!(asker.reply().text(), RED_RESULT);
    let now = states(&wait(&["k"], 30_000), &mut server.client());
    assert_eq!(names(&now), ["unknown"]);
}

#[test]
fn a_job_goes_on_for_one_who_waits_and_ends_with_the_last() {
    let server = Server::with().setting("threads", 1).start();
    let running = server.send(&recognize("running", &photos::slow(1200)));
    wait_until("the worker is busy", || server.count("workers_busy") == 1);
    let payloads = [photos::unique(&photos::red()), photos::unique(&photos::green())];
    let [kept, dropped] = payloads.each_ref().map(|payload| photos::key_of(payload));
    let askers = payloads
        .each_ref()
        .map(|payload| server.send(&recognize(photos::key_of(payload), payload)));
    wait_until("both are queued", || server.count("queue_length") == 2);
    let waiting = server.send(&wait(&[&kept], 30_000));
    let leaving = server.send(&wait(&[&dropped], 30_000));
    wait_until("all five wait", || server.count("waiting_clients") == 5);
    drop(askers);
    wait_until("the askers have gone", || server.count("waiting_clients") == 3);
    assert_eq!(server.count("queue_length"), 2, "somebody waits for each");
    drop(leaving);
    wait_until("one job is dropped", || server.count("dropped") == 1);
    assert_eq!(running.reply().text(), RED_RESULT);
    let told: Vec<(String, Option<String>)> =
        redis::from_redis_value(waiting.reply().value()).expect("pairs");
    assert_eq!(told, [("result".to_owned(), Some(RED_RESULT.to_owned()))]);
    wait_until("nothing is left", || server.count("queue_bytes") == 0);
}

#[test]
fn where_nobody_can_wait_what_is_known_is_told_and_else_nowaiting() {
    let server = Server::with().setting("threads", 1).start();
    let mut client = server.client();
    recognize("stored", &photos::red()).text(&mut client);
    recognize("slow", &photos::slow(1000)).arg("NOWAIT").text(&mut client);
    let script = "return redis.pcall('IMAGE.WAIT', KEYS[1], KEYS[2], 'tiny', ARGV[1])";
    let eval = |first: &str, timeout: &str| {
        cmd("EVAL").arg(script).arg(2).arg(&[first, "slow", timeout]).take()
    };
    assert_eq!(names(&states(&eval("stored", "5000"), &mut client)), ["result", "pending"]);
    assert_eq!(names(&states(&eval("slow", "0"), &mut client)), ["pending", "pending"]);
    let refused = eval("slow", "5000").error(&mut client);
    assert!(refused.contains("NOWAITING "), "{refused}");
}

#[test]
fn wrong_calls_are_told_what_is_wrong() {
    let server = Server::start();
    let mut client = server.client();
    for words in [&["k"] as &[&str], &["k", "tiny"]] {
        let error = cmd("IMAGE.WAIT").arg(words).error(&mut client);
        assert!(error.contains("wrong number of arguments"), "{words:?}: {error}");
    }
    for timeout in ["-1", "x", "", "1.5", "86400001"] {
        let error = cmd("IMAGE.WAIT").arg(&["k", "tiny", timeout]).error(&mut client);
        assert!(error.starts_with("ERR ") && error.contains("timeout"), "{timeout}: {error}");
    }
    let error = cmd("IMAGE.WAIT").arg(&["k", "nobody", "1"]).error(&mut client);
    assert!(error.starts_with("NOMODEL "), "{error}");
    let many: Vec<String> = (0..10_001).map(|number| format!("k{number}")).collect();
    let error = cmd("IMAGE.WAIT").arg(&many).arg(&["tiny", "1"]).error(&mut client);
    assert!(error.starts_with("ERR ") && error.contains("10000"), "{error}");
    let keys =
        cmd("COMMAND").arg(&["GETKEYS", "IMAGE.WAIT", "a", "b", "tiny", "5"]).list(&mut client);
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn keys_that_wait_count_for_the_memory_limit() {
    let server = Server::with().setting("threads", 1).setting("queue-memory", "1mb").start();
    let mut client = server.client();
    recognize("slow", &photos::slow(1500)).arg("NOWAIT").text(&mut client);
    let keys = vec!["slow"; 10_000];
    let first = server.send(&wait(&keys, 30_000));
    wait_until("it waits", || server.count("waiting_clients") == 1);
    let refused = wait(&keys, 30_000).error(&mut client);
    assert!(refused.starts_with("QUEUEFULL "), "{refused}");
    let told: Vec<(String, Option<String>)> =
        redis::from_redis_value(first.reply().value()).expect("pairs");
    assert_eq!(told.len(), 10_000);
    assert!(told.iter().all(|(state, _)| state == "result"));
    wait_until("nothing is left", || server.count("queue_bytes") == 0);
}
