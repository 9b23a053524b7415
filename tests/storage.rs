//! What lies in the keyspace: the hash, its fields, its time to live, and whose it is.

use crate::commands::{RED_RESULT, labels, stored_field};
use crate::support::*;
use redis::{Connection, cmd};
use std::collections::BTreeMap;

fn hash(client: &mut Connection, key: &str) -> BTreeMap<String, String> {
    redis::from_redis_value(cmd("HGETALL").arg(key).value(client)).expect("a hash")
}

fn config_set(client: &mut Connection, name: &str, value: &str) {
    assert_eq!(cmd("CONFIG").arg("SET").arg(name).arg(value).text(client), "OK");
}

#[test]
fn a_result_is_a_plain_hash_of_two_fields() {
    let server = Server::start();
    let mut client = server.client();
    let red = photos::red();
    recognize("k", &red).text(&mut client);
    let stored = hash(&mut client, "k");
    assert_eq!(stored.len(), 2, "{stored:?}");
    assert_eq!(stored["sha256"], photos::digest(&red));
    let field = stored_field(&mut client, "k");
    let (model, version) = field.split_once('@').expect("model@version");
    assert_eq!(model, "tiny");
    assert!(
        version.len() == 8 && version.bytes().all(|digit| b"0123456789abcdef".contains(&digit)),
        "{version}"
    );
    assert_eq!(stored[&field], RED_RESULT);
    assert_eq!(cmd("TTL").arg("k").number(&mut client), -1);
}

#[test]
fn two_models_share_a_key_and_a_picture_of_another_digest_replaces_both() {
    let models = tiny::folder(&[
        ("tiny", tiny::Model::new()),
        ("other", tiny::Model::new().replace("top = 3", "top = 1")),
    ]);
    let server = Server::with().models(models.path()).setting("model", "tiny").start();
    let mut client = server.client();
    let red = photos::red();
    recognize("k", &red).text(&mut client);
    assert_eq!(labels(&recognize("k", &red).arg(&["MODEL", "other"]).text(&mut client)), ["red"]);
    // Somebody's own field in our hash is left alone, also where it looks a little like ours.
    for own in ["note", "tiny@v1", "tiny@0123456G"] {
        cmd("HSET").arg("k").arg(own).arg("mine").number(&mut client);
    }
    assert_eq!(hash(&mut client, "k").len(), 6);
    assert_eq!(get("k").text(&mut client), RED_RESULT);
    assert_eq!(labels(&get("k").arg(&["MODEL", "other"]).text(&mut client)), ["red"]);

    let green = photos::green();
    recognize("k", &green).text(&mut client);
    let stored = hash(&mut client, "k");
    assert_eq!(stored["sha256"], photos::digest(&green));
    assert_eq!(stored.len(), 5, "the other model's result was of the old picture: {stored:?}");
    assert!(get("k").arg(&["MODEL", "other"]).reply(&mut client).is_nil());
    assert_eq!(stored["note"], "mine");
}

#[test]
fn a_new_version_of_a_model_serves_no_old_result_and_removes_it() {
    let models = tiny::folder(&[("tiny", tiny::Model::new())]);
    let mut server =
        Server::with().models(models.path()).setting("model", "tiny").append_only().start();
    let red = photos::red();
    recognize("k", &red).text(&mut server.client());
    let old = stored_field(&mut server.client(), "k");

    server.shutdown(&["NOSAVE"]);
    tiny::Model::new().replace("top = 3", "top = 2").write(&models.path().join("tiny"));
    server.start_again();
    let mut client = server.client();
    assert_eq!(stored_field(&mut client, "k"), old);
    assert!(get("k").reply(&mut client).is_nil());
    assert_eq!(labels(&recognize("k", &red).text(&mut client)), ["red", "green"]);
    assert_ne!(stored_field(&mut client, "k"), old);
}

#[test]
fn a_time_to_live_is_set_when_a_result_is_stored_and_else_kept() {
    let server = Server::start();
    let mut client = server.client();
    let mut stored_with = |options: &[&str]| {
        recognize("k", &photos::unique(&photos::red())).arg(options).text(&mut client);
        cmd("PTTL").arg("k").number(&mut client)
    };
    assert_eq!(stored_with(&[]), -1);
    assert!((500_001..=1_000_000).contains(&stored_with(&["EX", "1000"])));
    assert!((1_000_001..=5_000_000).contains(&stored_with(&["PX", "5000000"])));
    assert!((1_000_001..=5_000_000).contains(&stored_with(&[])), "neither EX nor image.ttl: kept");

    config_set(&mut client, "image.ttl", "100");
    let mut ttl_of = |key: &str, options: &[&str]| {
        recognize(key, &photos::red()).arg(options).text(&mut client);
        cmd("PTTL").arg(key).number(&mut client)
    };
    assert!((1..=100_000).contains(&ttl_of("by setting", &[])));
    assert!(
        (100_001..=900_000).contains(&ttl_of("by option", &["EX", "900"])),
        "the option is stronger"
    );
    assert!(
        (100_001..=900_000).contains(&ttl_of("by option", &[])),
        "a hit stores nothing and changes nothing"
    );
}

#[test]
fn what_is_somebody_elses_is_refused_and_untouched() {
    let server = Server::start();
    let mut client = server.client();
    let red = photos::red();
    cmd("SET").arg("string").arg("mine").text(&mut client);
    cmd("RPUSH").arg("list").arg("mine").number(&mut client);
    cmd("HSET").arg("hash").arg(&["name", "mine"]).number(&mut client);
    let digest = photos::digest(&red);
    let mut crowded = cmd("HSET").arg("crowded").arg(&["sha256", &digest]).take();
    for i in 0..64 {
        crowded.arg(format!("field{i}")).arg("mine");
    }
    crowded.number(&mut client);

    let keys = ["string", "list", "hash", "crowded"];
    let dump = |client: &mut Connection| keys.map(|key| cmd("DUMP").arg(key).value(client));
    let before = dump(&mut client);
    for key in keys {
        for command in [
            recognize(key, &red),
            recognize(key, &red).arg("REFRESH").take(),
            recognize_ro(key, &red),
            get(key),
        ] {
            let error = command.error(&mut client);
            assert!(error.starts_with("WRONGTYPE "), "{key}: {error}");
        }
        // A request for a large picture is hashed first, and told the same.
        assert!(
            recognize(key, &photos::padded(&red, 400_000))
                .error(&mut client)
                .starts_with("WRONGTYPE "),
            "{key}"
        );
    }
    assert_eq!(dump(&mut client), before);
    assert_eq!(server.model_count("tiny", "computed"), 0);

    // 64 fields are not too many.
    cmd("HDEL").arg("crowded").arg("field0").number(&mut client);
    assert_eq!(recognize("crowded", &red).text(&mut client), RED_RESULT);
}

#[test]
fn a_key_that_names_a_digest_takes_no_other_picture() {
    let server = Server::start();
    let mut client = server.client();
    let (red, green) = (photos::red(), photos::green());
    let large = photos::padded(&green, 400_000);
    for prefix in ["image:", "app:{7}:"] {
        let key = format!("{prefix}{}", photos::digest(&red));
        for other in [&green, &large] {
            for options in [&[] as &[&str], &["REFRESH"]] {
                let error = recognize(&key, other).arg(options).error(&mut client);
                assert!(error.starts_with("ERR "), "{error}");
            }
            assert!(recognize_ro(&key, other).error(&mut client).starts_with("ERR "));
        }
        assert_eq!(cmd("EXISTS").arg(&key).number(&mut client), 0);
        assert_eq!(recognize(&key, &red).text(&mut client), RED_RESULT);
    }
    // Names that only resemble one are names like any other.
    for name in [
        photos::digest(&red),
        format!("image:{}", &photos::digest(&red)[1..]),
        format!("image-{}", photos::digest(&red)),
    ] {
        assert!(recognize(&name, &green).text(&mut client).contains("green"), "{name}");
    }
}

#[test]
fn another_database_has_its_own_results() {
    let server = Server::start();
    let mut client = server.client();
    let picture = photos::slow(200);
    cmd("SELECT").arg(3).text(&mut client);
    recognize("k", &picture).text(&mut client);
    assert_eq!(get("k").text(&mut client), RED_RESULT);
    cmd("SELECT").arg(0).text(&mut client);
    assert_eq!(cmd("DBSIZE").number(&mut client), 0);
    assert!(get("k").reply(&mut client).is_nil());

    // A client that changes its database meanwhile does not move its request.
    let wanted = recognize("n", &photos::slow(200)).arg("NOWAIT").take();
    cmd("SELECT").arg(5).text(&mut client);
    wanted.text(&mut client);
    cmd("SELECT").arg(0).text(&mut client);
    wait_until("the result in database 5", || {
        let mut other = server.client();
        cmd("SELECT").arg(5).text(&mut other);
        get("n").reply(&mut other).text_if_any().is_some()
    });
    assert_eq!(cmd("DBSIZE").number(&mut client), 0);
}

#[test]
fn a_full_memory_costs_the_store_and_not_the_result() {
    let server = Server::with().config("maxmemory-policy", "noeviction").start();
    let mut client = server.client();
    recognize("before", &photos::red()).text(&mut client);
    config_set(&mut client, "maxmemory", "100kb");
    assert!(cmd("SET").arg("x").arg("y").error(&mut client).starts_with("OOM "));

    assert_eq!(recognize("k", &photos::unique(&photos::red())).text(&mut client), RED_RESULT);
    assert_eq!(get("before").text(&mut client), RED_RESULT);
    assert_eq!(cmd("DBSIZE").number(&mut client), 1);
    assert_eq!(server.count("not_stored_memory"), 1);

    config_set(&mut client, "maxmemory", "0");
    recognize("k", &photos::red()).text(&mut client);
    assert_eq!(cmd("DBSIZE").number(&mut client), 2);
}

#[test]
fn stored_results_survive_a_restart_from_rdb_and_from_aof() {
    for append_only in ["yes", "no"] {
        let mut server = Server::with().config("appendonly", append_only).start();
        let pictures: Vec<Vec<u8>> = (0..10).map(|_| photos::unique(&photos::red())).collect();
        for picture in &pictures {
            recognize(photos::key_of(picture), picture)
                .arg(&["EX", "5000"])
                .text(&mut server.client());
        }
        server.shutdown(if append_only == "yes" { &["NOSAVE"] } else { &["SAVE"] });
        server.start_again();
        let mut client = server.client();
        for picture in &pictures {
            assert_eq!(recognize(photos::key_of(picture), picture).text(&mut client), RED_RESULT);
            let ttl = cmd("TTL").arg(photos::key_of(picture)).number(&mut client);
            assert!((1..=5000).contains(&ttl), "{ttl}");
        }
        assert_eq!(server.model_count("tiny", "computed"), 0, "appendonly {append_only}");
    }
}
