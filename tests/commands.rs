//! The commands as a client sees them: forms, options, replies, documentation.

use crate::support::*;
use redis::{Cmd, Value, cmd};
use std::collections::BTreeMap;

/// What the tiny model says of `photos::red()`.
pub const RED_RESULT: &str = concat!(
    r#"{"task":"classify","labels":[{"label":"red","id":0,"score":1.0},{"label":"green","id":1,"score":0.0},"#,
    r#"{"label":"blue","id":2,"score":0.0}],"width":40,"height":30}"#
);

#[test]
fn a_picture_is_recognised_with_and_without_a_key() {
    let server = Server::start();
    let mut client = server.client();
    let red = photos::red();

    assert_eq!(cmd("IMAGE.RECOGNIZE_AUTO").arg(&red).text(&mut client), RED_RESULT);
    assert_eq!(cmd("KEYS").arg("*").list(&mut client), [photos::key_of(&red)]);
    assert_eq!(recognize("camera:17", &red).text(&mut client), RED_RESULT);
    assert_eq!(recognize(photos::key_of(&red), &red).text(&mut client), RED_RESULT);
    assert_eq!(cmd("DBSIZE").number(&mut client), 2);
    assert!(
        recognize("green", &photos::green())
            .text(&mut client)
            .contains(r#"[{"label":"green","id":1,"score":1.0}"#)
    );
}

#[test]
fn a_hit_replies_the_bytes_that_are_stored() {
    let server = Server::start();
    let mut client = server.client();
    let red = photos::red();
    let computed = recognize("k", &red).text(&mut client);
    let field = stored_field(&mut client, "k");
    assert_eq!(cmd("HGET").arg("k").arg(&field).text(&mut client), computed);

    // Nothing but the look-up stands between the field and the reply.
    let forged = r#"{"task":"classify","labels":[],"forged":true}"#;
    cmd("HSET").arg("k").arg(&field).arg(forged).number(&mut client);
    assert_eq!(recognize("k", &red).text(&mut client), forged);
    assert_eq!(recognize_ro("k", &red).text(&mut client), forged);
    assert_eq!(get("k").text(&mut client), forged);
    assert_eq!(recognize("k", &red).arg("REFRESH").text(&mut client), computed);
    assert_eq!(get("k").text(&mut client), computed);
}

#[test]
fn options_come_in_any_order_and_case() {
    let server = Server::start();
    let mut client = server.client();
    let groups: [&[&str]; 6] = [
        &["model", "tiny"],
        &["Top", "1"],
        &["EX", "100"],
        &["refresh"],
        &["TimeOut", "9000"],
        &["WITHMETA"],
    ];
    for shift in 0..groups.len() {
        for backwards in [false, true] {
            let mut ordered = groups;
            ordered.rotate_left(shift);
            if backwards {
                ordered.reverse();
            }
            let options = ordered.concat();
            cmd("FLUSHALL").text(&mut client);
            let meta = meta(recognize("k", &photos::red()).arg(&options), &mut client);
            assert_eq!(meta["source"], "computed", "{options:?}");
            assert_eq!(labels(&meta["result"]), ["red"], "{options:?}");
            let ttl = cmd("PTTL").arg("k").number(&mut client);
            assert!((1..=100_000).contains(&ttl), "{options:?}: {ttl}");
        }
    }
    let options = ["px", "90000", "model", "tiny", "nowait"];
    assert_eq!(recognize("n", &photos::red()).arg(&options).text(&mut client), "ACCEPTED");
    assert_eq!(get("n").arg(&["wait", "9000", "MODEL", "tiny"]).text(&mut client), RED_RESULT);
    assert!((1..=90_000).contains(&cmd("PTTL").arg("n").number(&mut client)));
}

#[test]
fn a_wrong_option_is_refused_and_named() {
    let server = Server::start();
    let mut client = server.client();
    let red = photos::red();
    let digest = photos::digest(&red);
    let huge = "99999999999999999999";
    let recognize_key = recognize("k", &red);
    let cases: Vec<(&Cmd, Vec<&str>, &str)> = vec![
        (&recognize_key, vec!["BOGUS"], "BOGUS"),
        (&recognize_key, vec!["SHA256", &digest], "SHA256"),
        (&recognize_key, vec!["MODEL"], "MODEL"),
        (&recognize_key, vec!["MODEL", "tiny", "model", "tiny"], "MODEL"),
        (&recognize_key, vec!["TOP"], "TOP"),
        (&recognize_key, vec!["TOP", "-1"], "TOP"),
        (&recognize_key, vec!["TOP", "one"], "TOP"),
        (&recognize_key, vec!["TOP", "1.5"], "TOP"),
        (&recognize_key, vec!["TOP", huge], "TOP"),
        (&recognize_key, vec!["TOP", "1", "TOP", "1"], "TOP"),
        (&recognize_key, vec!["EX", "0"], "EX"),
        (&recognize_key, vec!["EX", "-5"], "EX"),
        (&recognize_key, vec!["EX", "9223372036854775807"], "EX"),
        (&recognize_key, vec!["PX", "0"], "PX"),
        (&recognize_key, vec!["PX", "9223372036854775807"], "PX"),
        (&recognize_key, vec!["EX", "5", "PX", "5000"], "PX"),
        (&recognize_key, vec!["TIMEOUT", "-1"], "TIMEOUT"),
        (&recognize_key, vec!["TIMEOUT", huge], "TIMEOUT"),
        (&recognize_key, vec!["REFRESH", "refresh"], "REFRESH"),
        (&recognize_key, vec!["NOWAIT", "NOWAIT"], "NOWAIT"),
        (&recognize_key, vec!["WITHMETA", "WITHMETA"], "WITHMETA"),
    ];
    for (command, options, name) in &cases {
        let error = (*command).clone().arg(options).error(&mut client);
        assert!(error.starts_with("ERR ") && error.contains(name), "{options:?}: {error}");
    }
    for option in [&["EX", "5"] as &[&str], &["PX", "5"], &["REFRESH"], &["NOWAIT"], &["WAIT", "5"]]
    {
        let error = recognize_ro("k", &red).arg(option).error(&mut client);
        assert!(error.starts_with("ERR ") && error.contains(option[0]), "{option:?}: {error}");
    }
    let get_cases: [(&[&str], &str); 7] = [
        (&["TOP", "1"], "TOP"),
        (&["WAIT"], "WAIT"),
        (&["WAIT", "-1"], "WAIT"),
        (&["WAIT", huge], "WAIT"),
        (&["WAIT", "1", "wait", "1"], "WAIT"),
        (&["SHA256", "12ab"], "SHA256"),
        (&["SHA256", &digest, "SHA256", &digest], "SHA256"),
    ];
    for (options, name) in get_cases {
        let error = get("k").arg(options).error(&mut client);
        assert!(error.starts_with("ERR ") && error.contains(name), "{options:?}: {error}");
    }
    let too_few: [&[&str]; 7] = [
        &["IMAGE.RECOGNIZE"],
        &["IMAGE.RECOGNIZE", "k"],
        &["IMAGE.RECOGNIZE_AUTO"],
        &["IMAGE.RECOGNIZE_RO"],
        &["IMAGE.RECOGNIZE_RO", "k"],
        &["IMAGE.GET"],
        &["IMAGE.IDENTIFY_STORED", "k"],
    ];
    for words in too_few {
        let error = cmd(words[0]).arg(&words[1..]).error(&mut client);
        assert!(error.contains("wrong number of arguments"), "{words:?}: {error}");
    }
    assert!(
        recognize("k", &red).arg(&["MODEL", "nobody"]).error(&mut client).starts_with("NOMODEL ")
    );
    assert_eq!(cmd("DBSIZE").number(&mut client), 0);
}

#[test]
fn top_trims_the_reply_and_not_the_store() {
    let server = Server::start();
    let mut client = server.client();
    let red = photos::red();
    assert_eq!(labels(&recognize("k", &red).arg(&["TOP", "1"]).text(&mut client)), ["red"]);
    assert_eq!(get("k").text(&mut client), RED_RESULT);
    let two = recognize("k", &red).arg(&["TOP", "2"]).text(&mut client);
    assert_eq!(labels(&two), ["red", "green"]);
    assert!(two.ends_with(r#"],"width":40,"height":30}"#), "{two}");
    assert_eq!(recognize("k", &red).arg(&["TOP", "100"]).text(&mut client), RED_RESULT);
    assert_eq!(labels(&recognize_ro("k", &red).arg(&["TOP", "1"]).text(&mut client)), ["red"]);
}

#[test]
fn withmeta_tells_where_a_result_comes_from() {
    let server = Server::start();
    let mut client = server.client();
    let slow = photos::slow(1000);
    let command = recognize("k", &slow).arg("WITHMETA").take();

    let first = server.send(&command);
    wait_until("the first request is at work", || server.count("workers_busy") == 1);
    let joined = server.send(recognize("other", &slow).arg("WITHMETA"));
    let sources: Vec<String> =
        [first, joined].map(|pending| flat_meta(&pending.reply())["source"].clone()).into();
    assert_eq!(sources, ["computed", "joined"]);
    assert_eq!(get("other").text(&mut client), RED_RESULT);

    let stored = flat_meta(&command.reply(&mut client));
    assert_eq!(
        stored.keys().map(String::as_str).collect::<Vec<_>>(),
        ["milliseconds", "model", "result", "sha256", "source", "version"]
    );
    assert_eq!(stored["source"], "stored");
    assert_eq!(stored["sha256"], photos::digest(&slow));
    assert_eq!(
        format!("{}@{}", stored["model"], stored["version"]),
        stored_field(&mut client, "k")
    );
    assert_eq!(stored["result"], RED_RESULT);

    let Value::Map(entries) = command.value(&mut server.client_resp3()) else {
        panic!("RESP3 gets a map")
    };
    let is_text = |value: &Value| matches!(value, Value::BulkString(_));
    assert!(entries.iter().all(|(_, value)| is_text(value)), "as in RESP2: {entries:?}");
    let names: Vec<String> =
        entries.into_iter().map(|(name, _)| redis::from_redis_value(name).expect("text")).collect();
    assert_eq!(names, ["source", "sha256", "model", "version", "milliseconds", "result"]);
}

#[test]
fn get_asks_without_sending_the_picture() {
    let server = Server::start();
    let mut client = server.client();
    let red = photos::red();
    let (digest, other) = (photos::digest(&red), photos::digest(b"another"));
    assert!(get("k").reply(&mut client).is_nil());
    recognize("k", &red).text(&mut client);

    assert_eq!(get("k").arg(&["SHA256", &digest, "model", "tiny"]).text(&mut client), RED_RESULT);
    assert!(get("k").arg(&["SHA256", &other]).reply(&mut client).is_nil());
    assert!(get("k").arg(&["MODEL", "nobody"]).error(&mut client).starts_with("NOMODEL "));

    // A result that was planted under the name of another picture is nobody's.
    let planted = format!("image:{other}");
    cmd("COPY").arg("k").arg(&planted).number(&mut client);
    assert!(get(&planted).reply(&mut client).is_nil());

    cmd("SET").arg("text").arg("x").text(&mut client);
    assert!(get("text").error(&mut client).starts_with("WRONGTYPE "));
    assert_eq!(server.model_count("tiny", "computed"), 1);
}

#[test]
fn the_read_only_twin_computes_and_never_writes() {
    let master = Server::start();
    let replica = Server::with().replica_of(&master).start();
    let mut on_replica = replica.client();
    let red = photos::red();
    assert_eq!(recognize_ro("k", &red).text(&mut master.client()), RED_RESULT);
    assert_eq!(cmd("DBSIZE").number(&mut master.client()), 0);

    replica.wait_for_sync(&master);
    assert_eq!(recognize_ro("k", &red).text(&mut on_replica), RED_RESULT);
    assert!(recognize("k", &red).error(&mut on_replica).starts_with("READONLY "));
    assert!(get("k").reply(&mut on_replica).is_nil());

    recognize("k", &red).text(&mut master.client());
    replica.wait_for_sync(&master);
    assert_eq!(get("k").text(&mut on_replica), RED_RESULT);
    assert_eq!(meta(recognize_ro("k", &red).arg("WITHMETA"), &mut on_replica)["source"], "stored");
    assert_eq!(
        replica.model_count("tiny", "computed"),
        1,
        "what the master stored was not computed again"
    );
}

#[test]
fn a_timeout_is_told_and_the_result_still_arrives() {
    let server = Server::start();
    let mut client = server.client();
    let slow = photos::slow(400);
    assert!(
        recognize("k", &slow).arg(&["TIMEOUT", "30"]).error(&mut client).starts_with("TIMEOUT ")
    );
    wait_until("the result", || {
        get("k").reply(&mut client).text_if_any().as_deref() == Some(RED_RESULT)
    });

    cmd("CONFIG").arg("SET").arg("image.timeout").arg(30).text(&mut client);
    assert!(recognize("k", &photos::slow(400)).error(&mut client).starts_with("TIMEOUT "));
    assert_eq!(server.count("timed_out"), 2);
}

#[test]
fn every_command_is_documented() {
    let server = Server::start();
    let mut client = server.client_resp3();
    for (name, first_key, flag) in [
        ("image.recognize", 1, "write"),
        ("image.recognize_ro", 1, "readonly"),
        ("image.get", 1, "readonly"),
        ("image.models", 0, ""),
        ("image.reload", 0, "admin"),
    ] {
        let docs = text_map(cmd("COMMAND").arg("DOCS").arg(name).value(&mut client));
        let docs = text_map(docs.into_values().next().expect(name));
        for field in ["summary", "complexity", "since"] {
            let text: String = redis::from_redis_value(docs[field].clone()).expect(field);
            assert!(!text.is_empty(), "{name} has no {field}");
        }
        assert!(docs.contains_key("arguments") || name == "image.reload", "{name}: {docs:?}");

        let info: Vec<Vec<Value>> =
            redis::from_redis_value(cmd("COMMAND").arg("INFO").arg(name).value(&mut client))
                .expect(name);
        assert_eq!(info[0][3], Value::Int(first_key), "{name}");
        assert!(format!("{:?}", info[0][2]).contains(flag), "{name}: {:?}", info[0][2]);
    }
    let keys = |arguments: &[&str]| {
        cmd("COMMAND").arg("GETKEYS").arg(arguments).reply(&mut server.client())
    };
    assert_eq!(keys(&["IMAGE.RECOGNIZE", "k", "payload"]).list(), ["k"]);
    assert_eq!(keys(&["IMAGE.RECOGNIZE", "k", "payload", "MODEL", "tiny", "NOWAIT"]).list(), ["k"]);
    assert_eq!(keys(&["IMAGE.RECOGNIZE_RO", "k", "payload"]).list(), ["k"]);
    assert_eq!(keys(&["IMAGE.GET", "k", "WAIT", "5"]).list(), ["k"]);
    assert!(keys(&["IMAGE.RECOGNIZE_AUTO", "payload"]).error().contains("no key"));
}

/// The one field of a key's hash beside `sha256`.
#[track_caller]
pub fn stored_field(client: &mut redis::Connection, key: &str) -> String {
    let mut fields = cmd("HKEYS").arg(key).list(client);
    fields.retain(|field| field != "sha256");
    assert_eq!(fields.len(), 1, "{key}: {fields:?}");
    fields.remove(0)
}

/// The labels of a result, in their order.
#[track_caller]
pub fn labels(result: &str) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_str(result).expect("JSON");
    let labels = json["labels"].as_array().expect("labels");
    labels.iter().map(|label| label["label"].as_str().expect("text").to_owned()).collect()
}

#[track_caller]
fn meta(command: &Cmd, client: &mut redis::Connection) -> BTreeMap<String, String> {
    flat_meta(&command.reply(client))
}

#[track_caller]
pub fn flat_meta(reply: &Reply) -> BTreeMap<String, String> {
    assert!(matches!(reply, Reply::Value(Value::Array(_))), "RESP2 gets a flat array: {reply:?}");
    redis::from_redis_value(reply.value()).expect("names and values")
}

fn text_map(value: Value) -> BTreeMap<String, Value> {
    redis::from_redis_value(value).expect("a map")
}
