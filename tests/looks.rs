//! What our looks at a key leave behind: one request is one hit or one miss, whatever the module looks up besides.

use crate::commands::RED_RESULT;
use crate::support::galleries::{enrol_photo, identify_photo};
use crate::support::watch::Watch;
use crate::support::*;
use redis::{Cmd, Connection, cmd};

/// Redis 7.0 has no looks that do not count.
fn need_silent_looks(server: &Server) {
    let info = server.info_of("server");
    let is_seven = info["redis_version"].starts_with("7.0");
    if is_seven && !info.contains_key("valkey_version") {
        skip("Redis 7.0 counts every look of a module");
    }
}

/// Hits and misses that the server has counted.
fn counted(server: &Server) -> (i64, i64) {
    let stats = server.info_of("stats");
    let number = |name: &str| stats[name].parse().expect("a number");
    (number("keyspace_hits"), number("keyspace_misses"))
}

#[track_caller]
fn assert_counts(server: &Server, command: &Cmd, client: &mut Connection, hits: i64, misses: i64) {
    let before = counted(server);
    assert_eq!(command.text(client), RED_RESULT);
    wait_until("all is done", || server.count("requests") == 0);
    let after = counted(server);
    assert_eq!((after.0 - before.0, after.1 - before.1), (hits, misses), "{command:?}");
}

#[test]
fn one_request_is_one_hit_or_one_miss() {
    let server = Server::with().config("notify-keyspace-events", "Em").start();
    need_silent_looks(&server);
    let mut client = server.client();
    let events = Watch::events(&server);
    for (key, payload) in [
        ("small", photos::unique(&photos::red())),
        ("large", photos::padded(&photos::red(), 400_000)),
    ] {
        assert_counts(&server, &recognize(key, &payload), &mut client, 0, 1);
        assert_counts(&server, &recognize(key, &payload), &mut client, 1, 0);
        assert_counts(&server, &recognize_ro(key, &payload), &mut client, 1, 0);
        assert_counts(&server, recognize(key, &payload).arg("REFRESH"), &mut client, 1, 0);
        assert_counts(&server, &get(key), &mut client, 1, 0);
        assert_counts(&server, get(key).arg(&["WAIT", "1000"]), &mut client, 1, 0);
        // Another picture: the old result is found, and replaced.
        let other = photos::padded(&photos::red(), payload.len() + 100);
        assert_counts(&server, &recognize(key, &other), &mut client, 1, 0);
    }
    get("the end").value(&mut client);
    wait_until("the last miss is told", || events.text().contains("the end"));
    let told = events.text();
    assert_eq!(told.matches(":keymiss").count(), 3, "{told}");
}

fn idle_seconds(client: &mut Connection, key: &str) -> i64 {
    cmd("OBJECT").arg(&["IDLETIME", key]).number(client)
}

/// `CLIENT NO-TOUCH` came with Redis 7.2.
fn untouching_client(server: &Server) -> Connection {
    needs::command(server, "CLIENT|NO-TOUCH");
    let mut client = server.client();
    cmd("CLIENT").arg(&["NO-TOUCH", "ON"]).text(&mut client);
    client
}

#[test]
fn who_does_not_want_to_touch_a_key_does_not() {
    let server = Server::with().real_models().setting("gallery-model", "embed").start();
    let mut untouching = untouching_client(&server);
    let mut client = server.client();
    let (small, large) = (photos::red(), photos::padded(&photos::red(), 400_000));
    recognize("small", &small).text(&mut client);
    recognize("large", &large).text(&mut client);
    enrol_photo("g", "red", &small).value(&mut client);
    let keys = ["small", "large", "g"];
    wait_until("the keys are idle", || keys.iter().all(|key| idle_seconds(&mut client, key) >= 2));
    let calls = [
        recognize("small", &small),
        recognize("large", &large),
        recognize_ro("large", &large),
        get("small"),
        get("large").arg(&["WAIT", "1000"]).take(),
        identify_photo("g", &small),
        cmd("IMAGE.VERIFY").arg("g").arg("red").arg(&small).take(),
    ];
    for call in &calls {
        call.value(&mut untouching);
    }
    for key in keys {
        assert!(idle_seconds(&mut client, key) >= 2, "{key} was touched");
    }
    for call in &calls {
        call.value(&mut client);
    }
    for key in keys {
        assert!(idle_seconds(&mut client, key) < 2, "{key} was not touched");
    }
}
