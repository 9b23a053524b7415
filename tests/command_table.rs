//! What the server tells clients of our commands: `COMMAND INFO`, `COMMAND LIST`, `COMMAND GETKEYS`, ACL categories.

use crate::support::*;
use redis::{Connection, Value, cmd};
use std::collections::BTreeSet;

/// A line of `COMMAND INFO`: name, arity, first key, last key, step, flags that it must have.
type Line = (&'static str, i64, [i64; 3], &'static [&'static str]);

const LINES: [Line; 16] = [
    ("image.recognize", -3, [1, 1, 1], &["write", "blocking"]),
    ("image.recognize_auto", -2, [0, 0, 0], &["write", "blocking"]),
    ("image.recognize_ro", -3, [1, 1, 1], &["readonly", "blocking"]),
    ("image.get", -2, [1, 1, 1], &["readonly", "blocking"]),
    ("image.wait", -4, [1, -3, 1], &["readonly", "blocking"]),
    ("image.models", -1, [0, 0, 0], &["blocking"]),
    ("image.reload", 1, [0, 0, 0], &["admin", "blocking"]),
    ("image.enroll", -4, [1, 1, 1], &["write", "denyoom", "blocking"]),
    ("image.identify", -3, [1, 1, 1], &["readonly", "blocking"]),
    ("image.identify_stored", -3, [1, 2, 1], &["readonly", "blocking"]),
    ("image.verify", -4, [1, 1, 1], &["readonly", "blocking"]),
    ("image.forget", -3, [1, 1, 1], &["write"]),
    ("image.subjects", -2, [1, 1, 1], &["readonly"]),
    ("image.gallery", 2, [1, 1, 1], &["readonly"]),
    ("image.bind", -8, [1, 1, 1], &["write", "denyoom"]),
    // The last line is no command of ours: what is missing here is told as nil.
    ("image.nothing", 0, [0, 0, 0], &[]),
];

fn words(value: &Value) -> BTreeSet<String> {
    let words: Vec<String> = redis::from_redis_value(value.clone()).expect("words");
    words.into_iter().map(|word| word.to_lowercase()).collect()
}

fn info(client: &mut Connection, name: &str) -> Option<Vec<Value>> {
    let reply = cmd("COMMAND").arg(&["INFO", name]).value(client);
    let mut lines: Vec<Option<Vec<Value>>> = redis::from_redis_value(reply).expect("a list");
    lines.remove(0)
}

#[test]
fn every_command_tells_where_its_keys_are_and_none_is_movable() {
    let server = Server::start();
    let mut client = server.client();
    for (name, arity, [first, last, step], flags) in LINES {
        let Some(line) = info(&mut client, name) else {
            assert_eq!(name, "image.nothing");
            continue;
        };
        assert_eq!(line[1], Value::Int(arity), "{name}");
        assert_eq!(line[3..6], [Value::Int(first), Value::Int(last), Value::Int(step)], "{name}");
        let told = words(&line[2]);
        assert!(!told.contains("movablekeys"), "{name}: {told:?}");
        assert!(!format!("{:?}", line[8]).contains("incomplete"), "{name}: {:?}", line[8]);
        for flag in flags {
            assert!(told.contains(*flag), "{name}: {told:?}");
        }
    }
}

#[test]
fn the_server_lists_the_module_s_commands() {
    let server = Server::start();
    let listed =
        cmd("COMMAND").arg(&["LIST", "FILTERBY", "MODULE", "image"]).list(&mut server.client());
    let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    let expected: BTreeSet<&str> =
        LINES.iter().map(|(name, ..)| *name).filter(|name| *name != "image.nothing").collect();
    assert_eq!(listed, expected);
}

#[test]
fn commands_are_in_the_categories_that_rules_name() {
    let server = Server::start();
    let mut client = server.client();
    let Some(line) = info(&mut client, "image.recognize") else { panic!("no image.recognize") };
    if words(&line[6]).is_empty() {
        skip("this server knows no categories for a module's commands");
    }
    for (name, category) in [
        ("image.recognize", "@write"),
        ("image.recognize_auto", "@write"),
        ("image.recognize_ro", "@read"),
        ("image.get", "@read"),
        ("image.wait", "@read"),
        ("image.enroll", "@write"),
        ("image.forget", "@write"),
        ("image.identify_stored", "@read"),
        ("image.reload", "@dangerous"),
    ] {
        let line = info(&mut client, name).expect(name);
        assert!(words(&line[6]).contains(category), "{name}: {:?}", line[6]);
        let listed = cmd("ACL").arg(&["CAT", &category[1..]]).list(&mut client);
        assert!(listed.iter().any(|listed| listed == name), "{category} has no {name}");
    }
    // A rule by category is enough.
    cmd("ACL").arg(&["SETUSER", "reader", "on", ">pw", "~*", "-@all", "+@read"]).text(&mut client);
    let mut reader = server.client_of("reader", "pw");
    assert!(get("k").reply(&mut reader).is_nil());
    let error = recognize("k", &photos::red()).error(&mut reader);
    assert!(error.starts_with("NOPERM "), "{error}");
}

#[test]
fn loading_the_module_warns_of_nothing() {
    let log = Server::start().log();
    let warned: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" # ") && (line.contains("image") || line.contains("efrag")))
        .collect();
    assert!(warned.is_empty(), "{warned:?}");
}
