//! What a connection is told: every reply once and in order, whatever the connection has switched on or off.

use crate::commands::RED_RESULT;
use crate::support::crowd::assert_settled;
use crate::support::*;
use redis::{Cmd, Parser, PushKind, Value, cmd};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::LazyLock;

/// A connection on which all that comes is seen: a reply too many as well as one too few.
struct Wire {
    stream: TcpStream,
    parser: Parser,
    /// Keys of the invalidations that came between replies.
    invalidated: BTreeSet<String>,
}

impl Wire {
    fn open(server: &Server) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Wire { stream, parser: Parser::new(), invalidated: BTreeSet::new() }
    }

    /// Sends commands in one piece.
    fn send(&mut self, commands: &[Cmd]) {
        let bytes: Vec<u8> = commands.iter().flat_map(Cmd::get_packed_command).collect();
        self.stream.write_all(&bytes).expect("sent");
    }

    /// What comes next that is no push.
    #[track_caller]
    fn next(&mut self) -> String {
        loop {
            match self.parser.parse_value(&mut self.stream).expect("a reply") {
                Value::Push { kind: PushKind::Invalidate, data } => self.note(&data),
                value => return shown(value),
            }
        }
    }

    fn note(&mut self, data: &[Value]) {
        let [Value::Array(keys)] = data else { panic!("an invalidation of {data:?}") };
        for key in keys {
            let key: String = redis::from_redis_value(key.clone()).expect("a key");
            self.invalidated.insert(key);
        }
    }

    /// Asserts that these come next, and then nothing until all that is under way has ended.
    #[track_caller]
    fn expect(&mut self, replies: &[&str], server: &Server) {
        let told: Vec<String> = replies.iter().map(|_| self.next()).collect();
        assert_eq!(told, replies);
        self.expect_silence(server);
    }

    #[track_caller]
    fn expect_silence(&mut self, server: &Server) {
        wait_until("everything has ended", || {
            server.count("requests") == 0 && server.count("waiting_clients") == 0
        });
        self.send(&[words(&["ECHO", "nothing else came"])]);
        assert_eq!(self.next(), "nothing else came");
    }
}

/// A reply in a word or two.
fn shown(value: Value) -> String {
    match value {
        Value::ServerError(error) => format!("{} error", error.code()),
        Value::Nil => "nil".to_owned(),
        Value::Array(values) => values.into_iter().map(shown).collect::<Vec<_>>().join(" "),
        value => redis::from_redis_value(value).expect("a text or a number"),
    }
}

fn words(words: &[&str]) -> Cmd {
    Cmd::new().arg(words).take()
}

/// Every form of a request, with what is replied to it, under keys of its own. The key `stored` holds the red picture.
fn requests(prefix: &str) -> (Vec<Cmd>, Vec<&'static str>) {
    let key = |name: &str| format!("{prefix}:{name}");
    let new = || photos::unique(&photos::red());
    let forms = [
        (recognize(key("miss"), &new()), RED_RESULT),
        (recognize("stored", &photos::red()), RED_RESULT),
        (recognize(key("slow"), &photos::slow(50)), RED_RESULT),
        // Hashed on a thread of its own.
        (recognize(key("large"), &photos::padded(&photos::red(), 400_000)), RED_RESULT),
        (recognize(key("later"), &photos::slow(50)).arg("NOWAIT").take(), "ACCEPTED"),
        (get(key("later")).arg(&["WAIT", "60000"]).take(), RED_RESULT),
        (recognize(key("awaited"), &photos::slow(50)).arg("NOWAIT").take(), "ACCEPTED"),
        (words(&["IMAGE.WAIT", &key("awaited"), "tiny", "60000"]), &*AWAITED),
        (get("stored"), RED_RESULT),
        (recognize_ro(key("only asked"), &new()), RED_RESULT),
        (recognize(key("bad"), b"no image"), "BADIMAGE error"),
        (get(key("nothing")), "nil"),
        (get(key("nothing")).arg(&["WAIT", "60000"]).take(), "nil"),
        (recognize(key("late"), &photos::slow(300)).arg(&["TIMEOUT", "1"]).take(), "TIMEOUT error"),
    ];
    forms.into_iter().unzip()
}

/// What `IMAGE.WAIT` tells of a key that is done.
static AWAITED: LazyLock<String> = LazyLock::new(|| format!("result {RED_RESULT}"));

/// The keys that `requests` leaves behind.
const KEPT: [&str; 6] = ["awaited", "large", "late", "later", "miss", "slow"];

#[track_caller]
fn assert_kept(prefix: &str, server: &Server) {
    for name in KEPT {
        let key = format!("{prefix}:{name}");
        assert_eq!(get(&key).reply(&mut server.client()), stored_reply(), "{key}");
    }
}

fn stored_reply() -> Reply {
    Reply::Value(Value::BulkString(RED_RESULT.as_bytes().to_vec()))
}

fn server() -> Server {
    let server = Server::with().setting("threads", 2).start();
    recognize("stored", &photos::red()).text(&mut server.client());
    server
}

#[test]
fn a_pipeline_is_answered_in_order_with_either_protocol() {
    let mut server = server();
    for protocol in ["2", "3"] {
        let mut wire = Wire::open(&server);
        wire.send(&[cmd("HELLO").arg(protocol).take()]);
        let hello = wire.parser.parse_value(&mut wire.stream).expect("a reply");
        assert!(matches!(hello, Value::Array(_) | Value::Map(_)), "{hello:?}");
        let (commands, replies) = requests(protocol);
        wire.send(&commands);
        wire.expect(&replies, &server);
        assert_kept(protocol, &server);
    }
    assert_settled(&mut server);
}

#[test]
fn with_replies_off_nothing_is_told_and_everything_is_done() {
    let mut server = server();
    let mut wire = Wire::open(&server);
    let (commands, _) = requests("off");
    wire.send(&[words(&["CLIENT", "REPLY", "OFF"])]);
    wire.send(&commands);
    wire.send(&[words(&["CLIENT", "REPLY", "ON"]), words(&["ECHO", "on again"])]);
    wire.expect(&["OK", "on again"], &server);
    assert_kept("off", &server);
    // Not only behind each other: the reply to one that waits alone is kept back, too.
    wire.send(&[words(&["CLIENT", "REPLY", "OFF"]), recognize("alone", &photos::slow(50))]);
    wait_until("it is done", || {
        server.count("requests") == 0 && get("alone").reply(&mut server.client()) == stored_reply()
    });
    wire.send(&[words(&["CLIENT", "REPLY", "ON"])]);
    wire.expect(&["OK"], &server);
    let (commands, replies) = requests("on");
    wire.send(&commands);
    wire.expect(&replies, &server);
    assert_settled(&mut server);
}

#[test]
fn a_skipped_reply_is_the_only_one_that_is_missing() {
    let mut server = server();
    let mut wire = Wire::open(&server);
    let (commands, replies) = requests("skip");
    for (number, command) in commands.iter().enumerate() {
        let (others, expected) = requests(&format!("beside:{number}"));
        let mut pipeline = vec![words(&["CLIENT", "REPLY", "SKIP"]), command.clone()];
        pipeline.push(words(&["ECHO", "behind it"]));
        pipeline.extend(others.into_iter().take(2));
        wire.send(&pipeline);
        let shown = format!("{number}: {}", replies[number]);
        let told: Vec<String> = (0..3).map(|_| wire.next()).collect();
        assert_eq!(told, ["behind it", expected[0], expected[1]], "{shown}");
        wire.expect_silence(&server);
    }
    assert_kept("skip", &server);
    assert_settled(&mut server);
}

#[test]
fn a_reset_comes_after_what_was_asked_before_it_and_loses_nothing() {
    let mut server = server();
    let mut wire = Wire::open(&server);
    for round in ["first", "second"] {
        let (commands, replies) = requests(round);
        wire.send(&commands);
        wire.send(&[cmd("RESET"), words(&["ECHO", "as new"])]);
        wire.expect(&[&replies[..], &["RESET", "as new"]].concat(), &server);
        assert_kept(round, &server);
        // Where nothing waits, in a state that RESET takes back: a transaction, another database.
        let miss = recognize(format!("{round}:elsewhere"), &photos::unique(&photos::red()));
        let select = words(&["SELECT", "1"]);
        wire.send(&[select, miss.clone(), cmd("MULTI"), miss.clone(), cmd("RESET"), miss]);
        wire.expect(&["OK", RED_RESULT, "OK", "QUEUED", "RESET", RED_RESULT], &server);
    }
    assert_settled(&mut server);
    assert_eq!(cmd("DBSIZE").number(&mut server.client()), 1 + 2 * (KEPT.len() as i64 + 1));
}

#[test]
fn a_reset_behind_requests_that_nobody_waits_for_takes_none_of_them_back() {
    let mut server = server();
    let mut wire = Wire::open(&server);
    let photos: Vec<Vec<u8>> = (0..20)
        .map(|number| match number % 3 {
            0 => photos::padded(&photos::red(), 400_000),
            _ => photos::slow(20),
        })
        .collect();
    let keys: Vec<String> = photos.iter().map(|photo| photos::key_of(photo)).collect();
    let asked = keys.iter().zip(&photos);
    let commands: Vec<Cmd> =
        asked.map(|(key, photo)| recognize(key, photo).arg("NOWAIT").take()).collect();
    wire.send(&commands);
    wire.send(&[cmd("RESET")]);
    wire.send(&keys.iter().map(|key| get(key).arg(&["WAIT", "60000"]).take()).collect::<Vec<_>>());
    let replies = [vec!["ACCEPTED"; 20], vec!["RESET"], vec![RED_RESULT; 20]].concat();
    wire.expect(&replies, &server);
    assert_settled(&mut server);
}

/// A connection with RESP3 that tracks keys.
fn tracking(server: &Server, options: &[&str]) -> Wire {
    let mut wire = Wire::open(server);
    wire.send(&[words(&["HELLO", "3"])]);
    wire.parser.parse_value(&mut wire.stream).expect("a reply");
    wire.send(&[words(&["CLIENT", "TRACKING", "ON"]).arg(options).take()]);
    assert_eq!(wire.next(), "OK");
    wire
}

/// Stores another picture's result under `key`, on another connection.
fn store_over(key: &str, server: &Server) {
    recognize(key, &photos::unique(&photos::red())).text(&mut server.client());
}

/// Waits until the key is told to be no longer what it was.
#[track_caller]
fn until_invalidated(wire: &mut Wire, key: &str) {
    wait_until("the invalidation", || {
        wire.send(&[words(&["ECHO", "and now?"])]);
        assert_eq!(wire.next(), "and now?");
        wire.invalidated.contains(key)
    });
}

#[test]
fn who_has_read_a_result_is_told_when_another_one_is_stored() {
    let mut server = server();
    for (number, read) in [
        get("stored"),
        get("stored").arg(&["WAIT", "60000"]).take(),
        recognize_ro("stored", &photos::red()),
        cmd("HGETALL").arg("stored").take(),
    ]
    .into_iter()
    .enumerate()
    {
        recognize("stored", &photos::red()).text(&mut server.client());
        let mut wire = tracking(&server, &[]);
        wire.send(&[read]);
        match wire.parser.parse_value(&mut wire.stream).expect("a reply") {
            Value::BulkString(_) | Value::Map(_) => (),
            other => panic!("{number}: {other:?}"),
        }
        let (commands, replies) = requests(&format!("tracked:{number}"));
        wire.send(&commands);
        wire.expect(&replies, &server);
        assert!(!wire.invalidated.contains("stored"), "{number}: nothing was stored over it");
        store_over("stored", &server);
        until_invalidated(&mut wire, "stored");
        wire.expect_silence(&server);
    }
    assert_settled(&mut server);
}

#[test]
fn who_waits_for_a_result_is_told_when_another_one_is_stored() {
    let mut server = server();
    let mut wire = tracking(&server, &[]);
    wire.send(&[
        recognize("k", &photos::slow(200)).arg("NOWAIT").take(),
        get("k").arg(&["WAIT", "60000"]).take(),
        get("k"),
    ]);
    wire.expect(&["ACCEPTED", RED_RESULT, RED_RESULT], &server);
    wire.invalidated.clear();
    // After each invalidation a key must be read again to be tracked again.
    wire.send(&[get("k")]);
    wire.expect(&[RED_RESULT], &server);
    store_over("k", &server);
    until_invalidated(&mut wire, "k");
    wire.expect_silence(&server);
    assert_settled(&mut server);
}

#[test]
fn with_bcast_every_result_under_the_prefix_is_told() {
    let mut server = server();
    let mut wire = tracking(&server, &["BCAST", "PREFIX", "mine:", "PREFIX", "others:"]);
    let (commands, replies) = requests("mine");
    wire.send(&commands);
    wire.expect(&replies, &server);
    for name in KEPT {
        until_invalidated(&mut wire, &format!("mine:{name}"));
    }
    store_over("others:one", &server);
    until_invalidated(&mut wire, "others:one");
    store_over("stored", &server);
    store_over("others:two", &server);
    until_invalidated(&mut wire, "others:two");
    wire.expect_silence(&server);
    let told: Vec<&str> = wire.invalidated.iter().map(String::as_str).collect();
    let mine = KEPT.map(|name| format!("mine:{name}"));
    let expected: Vec<&str> =
        mine.iter().map(String::as_str).chain(["others:one", "others:two"]).collect();
    assert_eq!(told, expected);
    assert_settled(&mut server);
}

#[test]
fn a_wait_behind_each_request_is_answered_in_its_turn_and_counts_the_replica() {
    let mut master = server();
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut wire = Wire::open(&master);
    let (commands, replies) = requests("waited");
    let wait = || words(&["WAIT", "1", "60000"]);
    let pipeline: Vec<Cmd> = commands.into_iter().flat_map(|command| [command, wait()]).collect();
    let expected: Vec<&str> = replies.iter().flat_map(|reply| [*reply, "1"]).collect();
    wire.send(&pipeline);
    wire.expect(&expected, &master);
    // What was answered before the last WAIT is there: all but the one whose client gave up on it.
    for name in KEPT.iter().filter(|name| **name != "late") {
        let key = format!("waited:{name}");
        assert_eq!(get(&key).reply(&mut replica.client()), stored_reply(), "{key}");
    }
    assert_settled(&mut master);
}
