//! What bounds the memory that requests take and the time that one turn of the server's loop takes.

use crate::commands::RED_RESULT;
use crate::support::crowd::assert_settled;
use crate::support::*;
use redis::{Cmd, RedisResult, Value, cmd};

const MB: i64 = 1 << 20;

fn send_all(server: &Server, commands: impl Iterator<Item = Cmd>) -> Vec<Reply> {
    let mut batch = redis::pipe();
    commands.for_each(|command| {
        batch.add_command(command);
    });
    let replies: RedisResult<Vec<RedisResult<Value>>> =
        batch.ignore_errors().query(&mut server.client());
    replies.expect("every reply").into_iter().map(Reply::from).collect()
}

/// `NOWAIT` for one picture under each of these keys: how many were accepted; the others found the queue full.
#[track_caller]
fn accepted(server: &Server, payload: &[u8], keys: &[String]) -> usize {
    let requests = keys.iter().map(|key| recognize(key, payload).arg("NOWAIT").take());
    let replies = send_all(server, requests);
    let refused: Vec<String> = replies
        .iter()
        .filter(|reply| matches!(reply, Reply::Error(_)))
        .map(|reply| reply.error())
        .collect();
    for error in &refused {
        assert!(error.starts_with("QUEUEFULL ") && error.contains("image.queue-memory"), "{error}");
    }
    replies.len() - refused.len()
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("camera:{i}")).collect()
}

#[track_caller]
fn assert_all_stored(server: &Server, keys: &[String]) {
    let replies = send_all(server, keys.iter().map(get));
    for (key, reply) in keys.iter().zip(replies) {
        assert_eq!(reply.text_if_any().as_deref(), Some(RED_RESULT), "{key}");
    }
}

/// The successive values of a count in `INFO image` until it is 0, each got from a server that answers.
fn seen_until_zero(server: &Server, field: &str) -> Vec<i64> {
    let mut seen = Vec::new();
    wait_until(&format!("{field} is 0"), || {
        assert_eq!(cmd("PING").text(&mut server.client()), "PONG");
        seen.push(server.count(field));
        seen.dedup();
        seen.last() == Some(&0)
    });
    seen
}

#[test]
fn joined_requests_that_nobody_waits_for_are_bounded() {
    let mut server = Server::with().setting("queue-memory", "1mb").start();
    let keys = keys(3000);
    let accepted = accepted(&server, &photos::slow(2000), &keys);
    assert!((100..3000).contains(&accepted), "{accepted}");
    assert_eq!(server.count("requests"), accepted as i64);
    assert!((MB / 2..=MB).contains(&server.count("queue_bytes")));
    assert_settled(&mut server);
    assert_all_stored(&server, &keys[..accepted]);
    assert_eq!(cmd("DBSIZE").number(&mut server.client()), accepted as i64);
    assert_eq!(server.model_count("tiny", "computed"), 1);
}

#[test]
fn a_job_of_thousands_of_requests_ends_in_many_turns() {
    let mut server = Server::start();
    let (keys, payload) = (keys(3000), photos::slow(2000));
    assert_eq!(accepted(&server, &payload, &keys), 3000);
    assert_eq!(accepted(&server, &payload, &vec!["one key".to_owned(); 3000]), 3000);
    assert_eq!(server.count("requests"), 6000);
    let seen = seen_until_zero(&server, "requests");
    assert!(seen.iter().any(|left| (1..6000).contains(left)), "all ended in one turn: {seen:?}");
    assert_settled(&mut server);
    assert_all_stored(&server, &keys);
    assert_eq!(cmd("DBSIZE").number(&mut server.client()), 3001);
    assert_eq!(server.model_count("tiny", "computed"), 1);
}

#[test]
fn thousands_of_stores_that_were_put_off_are_made_in_many_turns() {
    let mut server = Server::start();
    let keys = keys(3000);
    assert_eq!(accepted(&server, &photos::slow(2000), &keys), 3000);
    cmd("CLIENT").arg(&["PAUSE", "600000", "WRITE"]).text(&mut server.client());
    wait_until("all are put off", || server.count("waiting_stores") == 3000);
    assert_eq!(cmd("DBSIZE").number(&mut server.client()), 0);
    cmd("CLIENT").arg("UNPAUSE").text(&mut server.client());
    let seen = seen_until_zero(&server, "waiting_stores");
    assert!(seen.iter().any(|left| (1..3000).contains(left)), "all made in one turn: {seen:?}");
    assert_settled(&mut server);
    assert_all_stored(&server, &keys);
    assert_eq!(server.count("stored"), 3000);
}

#[test]
fn keys_weigh_as_payloads_do() {
    for hash_inline in ["256mb", "0"] {
        let small = Server::with().setting("queue-memory", "1mb");
        let mut server = small.setting("hash-inline", hash_inline).start();
        let keys: Vec<String> = (0..30).map(|i| format!("{i}:{}", "k".repeat(100_000))).collect();
        let accepted = accepted(&server, &photos::slow(1500), &keys);
        assert!((5..=10).contains(&accepted), "{accepted}");
        assert!((MB / 2..=MB).contains(&server.count("queue_bytes")));
        assert_settled(&mut server);
        assert_all_stored(&server, &keys[..accepted]);
    }
}

#[test]
fn failures_under_long_keys_are_not_kept() {
    let server = Server::start();
    let mut client = server.client();
    let mut fail = |count: usize, key_bytes: usize| {
        for i in 0..count {
            let key = format!("{i}:{}", "k".repeat(key_bytes));
            let error = recognize(&key, &photos::unique(b"no image")).error(&mut client);
            assert!(error.starts_with("BADIMAGE "), "{error}");
        }
    };
    fail(5, 200_000);
    let before = resident(&server);
    fail(200, 200_000);
    let grown = resident(&server) - before;
    assert!(grown < 20 * MB, "the keys weigh 40 MB, and {grown} bytes are kept");
    fail(1, 100);
    let late = get(format!("0:{}", "k".repeat(100))).arg(&["WAIT", "60000"]).error(&mut client);
    assert!(late.starts_with("BADIMAGE "), "of usual keys they are: {late}");
}

/// Bytes of resident memory.
fn resident(server: &Server) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<i64>().expect("a number") * 1024
}

#[test]
fn a_payload_that_can_never_fit_is_told_so() {
    for (limit, value) in [("image.queue-memory", "1mb"), ("maxmemory", "10mb")] {
        for hash_inline in ["256mb", "0"] {
            let mut server = Server::with()
                .config(limit, value)
                .setting("hash-inline", hash_inline)
                .setting("threads", 1)
                .start();
            assert_eq!(server.count("queue_bytes_limit"), MB);
            let mut client = server.client();
            let too_large = photos::padded(&photos::red(), 2_000_000);
            let error = recognize("k", &too_large).error(&mut client);
            assert!(error.starts_with("QUEUEFULL ") && error.contains("can never fit"), "{error}");

            let half = || photos::slowed(&photos::padded(&photos::red(), 600_000), 1000);
            recognize("first", &half()).arg("NOWAIT").text(&mut client);
            let error = recognize("k", &half()).error(&mut client);
            assert!(error.contains("try again later"), "{error}");
            assert_settled(&mut server);
            assert_eq!(recognize("k", &half()).text(&mut client), RED_RESULT);
        }
    }
}
