//! Settings by every way that Redis has, and what INFO says.

use crate::commands::RED_RESULT;
use crate::support::*;
use redis::{Connection, cmd};

fn config_get(client: &mut Connection, name: &str) -> String {
    let reply = cmd("CONFIG").arg("GET").arg(format!("image.{name}")).list(client);
    reply.get(1).unwrap_or_else(|| panic!("no setting image.{name}")).clone()
}

fn config_set(client: &mut Connection, name: &str, value: &str) -> Reply {
    cmd("CONFIG").arg("SET").arg(format!("image.{name}")).arg(value).reply(client)
}

/// Name, default, another good value and how it is shown, values that are refused.
type Setting = (&'static str, &'static str, (&'static str, &'static str), &'static [&'static str]);

const CHANGEABLE: [Setting; 11] = [
    ("threads", "0", ("2", "2"), &["-1", "100000", "many"]),
    ("nice", "10", ("5", "5"), &["-21", "20", "kind"]),
    ("queue-length", "1024", ("7", "7"), &["-1", "0", "99999999999999999999"]),
    ("queue-memory", "268435456", ("10mb", "10485760"), &["-1", "lots"]),
    ("timeout", "30000", ("1500", "1500"), &["-1", "soon"]),
    ("ttl", "0", ("60", "60"), &["-1", "9223372036854775807"]),
    ("max-payload", "33554432", ("1mb", "1048576"), &["-1", "0", "100gb"]),
    ("max-pixels", "50000000", ("1000000", "1000000"), &["-1", "0"]),
    ("decode-memory", "268435456", ("64mb", "67108864"), &["-1", "0"]),
    ("hash-inline", "262144", ("64kb", "65536"), &["-1"]),
    ("key-prefix", "image:", ("bilder:", "bilder:"), &[]),
];

#[test]
fn every_setting_has_its_default_and_takes_what_is_in_range() {
    let folder =
        tiny::folder(&[("mobilenetv2", tiny::Model::new()), ("other", tiny::Model::new())]);
    let server = Server::with().models(folder.path()).start();
    let mut client = server.client();
    assert_eq!(config_get(&mut client, "model"), "mobilenetv2");
    assert_eq!(config_get(&mut client, "models-path"), folder.path().to_str().expect("UTF-8"));
    assert_eq!(config_get(&mut client, "require-models"), "no");
    for (name, default, (good, shown), refused) in CHANGEABLE {
        assert_eq!(config_get(&mut client, name), default, "{name}");
        for bad in refused {
            let error = config_set(&mut client, name, bad).error();
            assert!(error.starts_with("ERR ") && error.contains(name), "{name} {bad}: {error}");
            assert!(error.len() > 50, "no reason for {name} {bad}: {error}");
            assert_eq!(config_get(&mut client, name), default, "{name} {bad}");
        }
        assert_eq!(config_set(&mut client, name, good).text(), "OK", "{name}");
        assert_eq!(config_get(&mut client, name), shown, "{name}");
    }
    for (name, value) in [("models-path", "/tmp"), ("require-models", "yes")] {
        assert!(config_set(&mut client, name, value).error().contains("immutable"), "{name}");
    }
    let error = config_set(&mut client, "model", "nobody").error();
    assert!(error.contains("nobody"), "{error}");
    assert_eq!(config_get(&mut client, "model"), "mobilenetv2");
    assert_eq!(config_set(&mut client, "model", "other").text(), "OK");

    // They do what they say, and are no mere numbers.
    let red = photos::red();
    assert_eq!(cmd("IMAGE.RECOGNIZE_AUTO").arg(&red).text(&mut client), RED_RESULT);
    let key = format!("bilder:{}", photos::digest(&red));
    assert!(
        cmd("HKEYS").arg(&key).list(&mut client).iter().any(|field| field.starts_with("other@"))
    );
    assert!((1..=60).contains(&cmd("TTL").arg(&key).number(&mut client)));
}

#[test]
fn rewritten_settings_are_there_after_a_restart() {
    let mut server = Server::start();
    let mut client = server.client();
    for (name, _, (good, _), _) in CHANGEABLE {
        assert_eq!(config_set(&mut client, name, good).text(), "OK");
    }
    assert_eq!(cmd("CONFIG").arg("REWRITE").text(&mut client), "OK");
    server.kill();
    server.start_again();
    let mut client = server.client();
    for (name, _, (_, shown), _) in CHANGEABLE {
        assert_eq!(config_get(&mut client, name), shown, "{name}");
    }
    assert_eq!(config_get(&mut client, "model"), "tiny");
    assert_eq!(recognize("k", &photos::red()).text(&mut client), RED_RESULT);
}

#[test]
fn settings_come_from_the_configuration_file_and_from_load_arguments() {
    let mut builder = Server::with();
    for (name, _, (good, _), _) in CHANGEABLE {
        builder = builder.setting(name, good);
    }
    let server = builder.start();
    for (name, _, (_, shown), _) in CHANGEABLE {
        assert_eq!(config_get(&mut server.client(), name), shown, "{name}");
    }
    let server = Server::with()
        .module_arguments(&["threads", "2", "timeout", "777", "key-prefix", "k:"])
        .start();
    let mut client = server.client();
    for (name, value) in [("threads", "2"), ("timeout", "777"), ("key-prefix", "k:")] {
        assert_eq!(config_get(&mut client, name), value);
    }
    cmd("IMAGE.RECOGNIZE_AUTO").arg(photos::red()).text(&mut client);
    assert_eq!(
        cmd("KEYS").arg("*").list(&mut client),
        [format!("k:{}", photos::digest(&photos::red()))]
    );
}

#[test]
fn a_wrong_line_or_argument_ends_the_start_with_a_reason() {
    assert!(Server::with().setting("threads", -1).start_in_vain().contains("image.threads"));
    // Redis's own words: it does not say which setting nobody knows.
    assert!(Server::with().setting("treads", 1).start_in_vain().contains("Module Configuration"));
    assert!(Server::with().module_arguments(&["timeout", "0"]).start_in_vain().contains("timeout"));
    assert!(Server::with().module_arguments(&["treads", "1"]).start_in_vain().contains("treads"));
}

#[test]
fn a_running_server_loads_the_module() {
    let server = Server::with().without_module().start();
    let mut client = server.client();
    let folder = tiny::folder(&[("tiny", tiny::Model::new())]);
    let mut load = cmd("MODULE").arg("LOADEX").arg(server::module_path().to_str()).take();
    load.arg(&["CONFIG", "image.model", "tiny", "CONFIG", "image.timeout", "500"]);
    load.arg(&["CONFIG", "image.models-path"]).arg(folder.path().to_str());
    assert_eq!(load.text(&mut client), "OK");
    assert_eq!(config_get(&mut client, "timeout"), "500");
    assert_eq!(recognize("k", &photos::red()).text(&mut client), RED_RESULT);
    assert!(load.error(&mut client).starts_with("ERR "), "it is there already");
}

#[test]
fn info_counts_what_happens() {
    let server = Server::with().setting("threads", 1).start();
    let mut client = server.client();
    let red = photos::red();
    recognize("k", &red).text(&mut client);
    recognize("k", &red).text(&mut client);
    get("k").text(&mut client);
    recognize("bad", b"no picture").error(&mut client);
    recognize("k", &photos::panicking()).error(&mut client);
    wait_until("nothing is under way", || {
        server.count("workers_busy") + server.count("queue_bytes") == 0
    });
    for (field, count) in [
        ("bad_images", 1),
        ("stored", 1),
        ("workers", 1),
        ("queue_length", 0),
        ("waiting_clients", 0),
        ("refused", 0),
        ("timed_out", 0),
        ("put_off", 0),
    ] {
        assert_eq!(server.count(field), count, "{field}");
    }
    for (field, count) in
        [("hits", 2), ("misses", 3), ("computed", 1), ("failed", 2), ("joined", 0)]
    {
        assert_eq!(server.model_count("tiny", field), count, "{field}");
    }
    let line = &server.info()["model_tiny"];
    for field in [
        "version",
        "engine",
        "memory",
        "wait_ms_p50",
        "wait_ms_p99",
        "compute_ms_p50",
        "compute_ms_p99",
    ] {
        assert!(line.contains(&format!("{field}=")), "no {field} in {line}");
    }
    assert!(server.info()["saved_seconds"].parse::<f64>().expect("a number") >= 0.0);
}
