//! `redis.conf.example` as it is: results make room, galleries stay, whatever happens to the server.

use crate::commands::RED_RESULT;
use crate::support::galleries::{enrol, identify, vector};
use crate::support::server::Builder;
use crate::support::*;
use redis::cmd;

/// The lines of the file that are no comments, but for the port, which is the test's.
fn example() -> Builder {
    let text = std::fs::read_to_string(repository().join("redis.conf.example")).expect("the file");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.fold(Server::with(), |server, line| {
        let (name, value) = line.split_once(' ').expect("a name and a value");
        if name == "port" { server } else { server.config(name, value) }
    })
}

/// Sets strings of 1 kB, with a time to live or without, until one is refused or others are evicted.
fn fill(server: &Server, options: &[&str]) {
    let mut client = server.client();
    let junk = "x".repeat(1000);
    for i in 0..100_000 {
        let set = cmd("SET").arg(format!("junk:{i}")).arg(&junk).arg(options).reply(&mut client);
        match set {
            Reply::Error(text) if text.starts_with("OOM ") => return,
            Reply::Error(text) => panic!("{text}"),
            _ if i % 1000 == 0 && evicted(server) > 1000 => return,
            _ => (),
        }
    }
    panic!("the memory does not fill");
}

fn evicted(server: &Server) -> i64 {
    server.info_of("stats")["evicted_keys"].parse().expect("a number")
}

const PEOPLE: u64 = 50;

fn enrol_people(server: &Server) {
    for number in 0..PEOPLE {
        let enrolled = enrol("people", &number.to_string(), &vector(number));
        enrolled.value(&mut server.client());
    }
}

#[track_caller]
fn everybody_is_known(server: &Server) {
    for number in 0..PEOPLE {
        let found = identify("people", &vector(number)).text(&mut server.client());
        assert!(found.contains(&format!(r#""subject":"{number}""#)), "{number}: {found}");
    }
}

#[test]
fn a_full_server_evicts_results_and_never_a_gallery() {
    let server = example().config("maxmemory", "20mb").start();
    enrol_people(&server);
    fill(&server, &["EX", "1000"]);

    let stored = server.count("stored");
    let newest: Vec<_> = (0..100).map(|_| photos::unique(&photos::red())).collect();
    for payload in &newest {
        let reply = recognize(photos::key_of(payload), payload).text(&mut server.client());
        assert_eq!(reply, RED_RESULT);
    }
    assert_eq!(server.count("stored"), stored + 100, "{:#?}", server.info());
    let kept = |payload: &Vec<u8>| get(photos::key_of(payload)).reply(&mut server.client());
    assert!(newest.iter().filter(|payload| !kept(payload).is_nil()).count() > 90);
    everybody_is_known(&server);
    enrol("people", "one more", &vector(PEOPLE)).value(&mut server.client());
}

#[test]
fn where_results_have_no_time_to_live_a_full_server_answers_and_stores_nothing() {
    let server = example().setting("ttl", 0).config("maxmemory", "20mb").start();
    enrol_people(&server);
    fill(&server, &[]);
    // Beyond what the module stores above the limit while the server evicts.
    cmd("CONFIG").arg(&["SET", "maxmemory", "15mb"]).text(&mut server.client());
    let stored = server.count("stored");
    for _ in 0..10 {
        let payload = photos::unique(&photos::red());
        let reply = recognize(photos::key_of(&payload), &payload).text(&mut server.client());
        assert_eq!(reply, RED_RESULT);
    }
    assert_eq!((server.count("stored"), server.count("not_stored_memory")), (stored, 10));
    let refused = enrol("people", "one more", &vector(PEOPLE)).error(&mut server.client());
    assert!(refused.starts_with("OOM "), "{refused}");
    assert_eq!(evicted(&server), 0);
    everybody_is_known(&server);
}

#[test]
fn a_server_that_was_killed_knows_everybody_and_every_result() {
    let mut server = example().start();
    enrol_people(&server);
    let payload = photos::red();
    recognize("k", &payload).text(&mut server.client());
    let left = cmd("TTL").arg("k").number(&mut server.client());
    server.kill();
    server.start_again();
    everybody_is_known(&server);
    assert_eq!(get("k").text(&mut server.client()), RED_RESULT);
    let left_now = cmd("TTL").arg("k").number(&mut server.client());
    assert!(left > 0 && left_now > 0 && left_now <= left, "{left_now} of {left} s");
}
