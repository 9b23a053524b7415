//! The commands on galleries with made vectors: replies, errors, arguments, protocols, key specifications.

use crate::support::galleries::*;
use crate::support::watch::Watch;
use crate::support::*;
use redis::{Value, cmd};

#[test]
fn an_enrolment_replies_its_sample_and_ids_grow() {
    let server = Server::start();
    for mut client in [server.client(), server.client_resp3()] {
        cmd("DEL").arg("g").reply(&mut client);
        for expected in 1..=3 {
            let reply = enrol("g", "alice", &vector(expected)).reply(&mut client);
            assert_eq!(entry::<u64>(&reply, "sample"), expected);
            assert_eq!(entry::<String>(&reply, "subject"), "alice");
            assert_eq!(map(&reply)["quality"], Value::Nil);
            assert_eq!(map(&reply)["warning"], Value::Nil);
        }
        let gallery = cmd("IMAGE.GALLERY").arg("g").reply(&mut client);
        assert_eq!(entry::<String>(&gallery, "model"), MODEL);
        assert_eq!(entry::<String>(&gallery, "space"), SPACE);
        assert_eq!(entry::<usize>(&gallery, "dimensions"), DIMENSIONS);
        assert_eq!(entry::<usize>(&gallery, "subjects"), 1);
        assert_eq!(entry::<usize>(&gallery, "samples"), 3);
        assert_eq!(entry::<usize>(&gallery, "next_sample"), 4);
    }
    assert_eq!(cmd("TYPE").arg("g").text(&mut server.client()), "imagegall");
}

#[test]
fn the_nearest_subjects_are_listed_with_the_best_of_their_samples() {
    let server = Server::start();
    let mut client = server.client();
    for number in 0..50 {
        enrol("g", &format!("s{}", number % 25), &vector(number)).value(&mut client);
    }
    let answer = json(identify("g", &vector(7)).arg(&["TOP", "3"]), &mut client);
    let face = &answer["faces"][0];
    assert_eq!((&face["subject"], &face["similarity"]), (&"s7".into(), &1.0.into()), "{answer}");
    let candidates = face["candidates"].as_array().expect("a list");
    assert_eq!(candidates.len(), 3);
    assert_eq!(candidates[0]["subject"], "s7");
    let similarity = |index: usize| candidates[index]["similarity"].as_f64().expect("a number");
    assert!(similarity(0) >= similarity(1) && similarity(1) >= similarity(2), "{answer}");
    let margin = face["margin"].as_f64().expect("a number");
    assert!((margin - (1.0 - similarity(1))).abs() < 2e-4, "{answer}");
    assert_eq!((&answer["threshold"], &answer["model"]), (&0.9.into(), &MODEL.into()));
    assert_eq!(answer["space"], SPACE);
    assert!(face.get("box").is_none() && face.get("score").is_none(), "a vector has no place");

    let stranger = json(&identify("g", &vector(1000)), &mut client);
    assert!(stranger["faces"][0]["subject"].is_null(), "{stranger}");
    assert_eq!(stranger["faces"][0]["candidates"].as_array().map(Vec::len), Some(5));
    let one = json(identify("g", &vector(7)).arg(&["TOP", "1"]), &mut client);
    assert_eq!(one["faces"][0]["margin"].as_f64(), Some(margin), "whatever is shown");
}

#[test]
fn verifying_is_one_to_one() {
    let server = Server::start();
    let mut client = server.client();
    enrol("g", "alice", &vector(1)).value(&mut client);
    enrol("g", "bob", &vector(2)).value(&mut client);
    let verify = |subject: &str, number: u64| {
        cmd("IMAGE.VERIFY")
            .arg("g")
            .arg(subject)
            .arg("VECTOR")
            .arg(blob(&vector(number)))
            .arg(&["THRESHOLD", "0.9"])
            .take()
    };
    let yes = json(&verify("alice", 1), &mut client);
    assert_eq!(yes["verified"], true, "{yes}");
    assert_eq!(yes["faces"][0]["subject"], "alice", "{yes}");
    let no = json(&verify("alice", 2), &mut client);
    assert_eq!((&no["verified"], no["faces"][0]["subject"].is_null()), (&false.into(), true));
    assert!(verify("carol", 1).error(&mut client).starts_with("NOSUBJECT "));
}

#[test]
fn an_empty_gallery_knows_nobody_and_keeps_its_binding() {
    let server = Server::start();
    let mut client = server.client();
    enrol("g", "alice", &vector(1)).value(&mut client);
    let reply = forget("g", "alice").reply(&mut client);
    assert_eq!((entry::<i64>(&reply, "forgotten"), entry::<i64>(&reply, "samples_left")), (1, 0));
    let places: Vec<String> = entry(&reply, "not_reached");
    for word in ["stored results", "append-only", "RDB", "galleries"] {
        assert!(places.iter().any(|place| place.contains(word)), "{word}: {places:?}");
    }
    let answer = json(&identify("g", &vector(1)), &mut client);
    assert!(answer["faces"][0]["subject"].is_null());
    assert_eq!(answer["faces"][0]["candidates"], serde_json::json!([]));
    assert_eq!(total(&server, "g", "next_sample"), 2);
    let reply = enrol("g", "alice", &vector(1)).reply(&mut client);
    assert_eq!(entry::<i64>(&reply, "sample"), 2, "an id is never given out twice");
}

#[test]
fn one_sample_can_be_forgotten() {
    let server = Server::start();
    let mut client = server.client();
    for number in 1..=3 {
        enrol("g", "alice", &vector(number)).value(&mut client);
    }
    let reply = forget("g", "alice").arg("2").reply(&mut client);
    assert_eq!((entry::<i64>(&reply, "forgotten"), entry::<i64>(&reply, "samples_left")), (1, 2));
    assert_eq!(subjects(&server, "g")["alice"], [1, 3]);
    assert!(forget("g", "alice").arg("2").error(&mut client).starts_with("NOSUBJECT "));
    assert!(forget("g", "bob").error(&mut client).starts_with("NOSUBJECT "));
    assert_eq!(who(&identify("g", &vector(2)), &mut client), None);
    assert_eq!(who(&identify("g", &vector(3)), &mut client).as_deref(), Some("alice"));
}

#[test]
fn errors_have_their_word() {
    let server = Server::start();
    let mut client = server.client();
    cmd("SET").arg(&["text", "x"]).text(&mut client);
    enrol("g", "alice", &vector(1)).value(&mut client);
    let commands = |gallery: &str| {
        [
            identify(gallery, &vector(1)),
            forget(gallery, "alice"),
            cmd("IMAGE.SUBJECTS").arg(gallery).take(),
            cmd("IMAGE.GALLERY").arg(gallery).take(),
            cmd("IMAGE.VERIFY")
                .arg(gallery)
                .arg("alice")
                .arg("VECTOR")
                .arg(blob(&vector(1)))
                .take(),
        ]
    };
    for command in commands("missing") {
        let error = command.error(&mut client);
        assert!(error.starts_with("NOGALLERY "), "{error}");
    }
    for command in commands("text").into_iter().chain([enrol("text", "alice", &vector(1))]) {
        let error = command.error(&mut client);
        assert!(error.starts_with("WRONGTYPE "), "{error}");
    }
    let stale = |command: &redis::Cmd, client: &mut redis::Connection| {
        let error = command.error(client);
        assert!(error.starts_with("WRONGTYPE "), "{error}");
    };
    let other_space = ["MODEL", MODEL, "SPACE", "00000001"];
    let other_model = ["MODEL", "covers", "SPACE", SPACE];
    for binding in [other_space, other_model] {
        let bytes = blob(&vector(1));
        let mut command = cmd("IMAGE.ENROLL").arg("g").arg("x").arg("VECTOR").arg(bytes).take();
        stale(command.arg(&binding), &mut client);
    }
    assert_eq!(total(&server, "g", "samples"), 1);
    // No model of that space is here, whose threshold would count.
    let bytes = blob(&vector(1));
    let error = cmd("IMAGE.IDENTIFY").arg("g").arg("VECTOR").arg(bytes).error(&mut client);
    assert!(error.starts_with("ERR ") && error.contains("THRESHOLD"), "{error}");
}

#[test]
fn vectors_are_checked() {
    let server = Server::start();
    let mut client = server.client();
    enrol("g", "alice", &vector(1)).value(&mut client);
    let good = vector(2);
    let with = |value: f32| {
        let mut vector = good.clone();
        vector[5] = value;
        vector
    };
    let bad: [(&str, Vec<u8>); 8] = [
        ("a number", blob(&with(f32::NAN))),
        ("a number", blob(&with(f32::INFINITY))),
        ("a number", blob(&with(f32::NEG_INFINITY))),
        ("zero", blob(&[0.0; DIMENSIONS])),
        ("dimensions", blob(&vector_of(2, DIMENSIONS + 1))),
        ("dimensions", blob(&vector_of(2, DIMENSIONS - 1))),
        ("4", blob(&good)[1..].to_vec()),
        ("dimensions", Vec::new()),
    ];
    for (word, bytes) in bad {
        let binding = ["MODEL", MODEL, "SPACE", SPACE];
        for gallery in ["g", "new"] {
            if gallery == "new" && bytes.len() % 4 == 0 && word == "dimensions" && !bytes.is_empty()
            {
                continue;
            }
            let mut command = cmd("IMAGE.ENROLL").arg(gallery).arg("x").arg("VECTOR").take();
            let error = command.arg(&bytes).arg(&binding).error(&mut client);
            assert!(error.starts_with("ERR ") && error.contains(word), "{word}: {error}");
        }
        let mut command = cmd("IMAGE.IDENTIFY").arg("g").arg("VECTOR").arg(&bytes).take();
        let error = command.arg(&["THRESHOLD", "0.5"]).error(&mut client);
        assert!(error.starts_with("ERR ") && error.contains(word), "{word}: {error}");
    }
    assert_eq!(total(&server, "g", "samples"), 1);
    assert_eq!(cmd("EXISTS").arg("new").number(&mut client), 0);
    // Any length of the vector will do: it is made one.
    let long: Vec<f32> = vector(3).iter().map(|value| value * 1e6).collect();
    enrol("g", "bob", &long).value(&mut client);
    assert_eq!(who(&identify("g", &vector(3)), &mut client).as_deref(), Some("bob"));
}

#[test]
fn a_sample_with_its_id_is_exact_and_can_be_repeated() {
    let server = Server::start();
    let mut client = server.client();
    let with_id = |subject: &str, number: u64, id: &str| {
        enrol("g", subject, &vector(number)).arg(&["SAMPLE", id]).take()
    };
    assert_eq!(entry::<i64>(&with_id("alice", 1, "41").reply(&mut client), "sample"), 41);
    let before = digest(&server, "g");
    with_id("alice", 1, "41").value(&mut client);
    assert_eq!(digest(&server, "g"), before, "it is there already");
    assert!(with_id("alice", 2, "41").error(&mut client).starts_with("ERR "));
    assert!(with_id("bob", 1, "41").error(&mut client).starts_with("ERR "));
    assert_eq!(digest(&server, "g"), before);
    for id in ["0", "-1", "x", "9007199254740992"] {
        assert!(with_id("bob", 2, id).error(&mut client).starts_with("ERR "), "{id}");
    }
    let reply = enrol("g", "bob", &vector(2)).reply(&mut client);
    assert_eq!(entry::<i64>(&reply, "sample"), 42);
}

#[test]
fn arguments_are_checked() {
    let server = Server::start();
    let mut client = server.client();
    enrol("g", "alice", &vector(1)).value(&mut client);
    let bytes = blob(&vector(1));
    let long = "x".repeat(513);
    for subject in ["", "a\nb", "\u{7f}", &long] {
        assert!(
            enrol("g", subject, &vector(1)).error(&mut client).starts_with("ERR "),
            "{subject}"
        );
    }
    let mut command = cmd("IMAGE.ENROLL").arg("g").arg(b"\xff\xfe").arg("VECTOR").take();
    assert!(command.arg(&bytes).arg(&["MODEL", MODEL]).error(&mut client).starts_with("ERR "));
    let base = || cmd("IMAGE.ENROLL").arg("g").arg("x").arg("VECTOR").arg(&bytes).take();
    for (options, word) in [
        (&[] as &[&str], "MODEL"),
        (&["MODEL", "a b", "SPACE", SPACE], "model"),
        (&["MODEL", MODEL, "SPACE", "0BADCAFE"], "SPACE"),
        (&["MODEL", MODEL, "SPACE", "0badcafe0"], "SPACE"),
        (&["MODEL", MODEL, "FORCE"], "FORCE"),
    ] {
        let error = base().arg(options).error(&mut client);
        assert!(error.contains(word), "{options:?}: {error}");
    }
    let mut nomodel = base();
    let error = nomodel.arg(&["MODEL", "nobody"]).error(&mut client);
    assert!(error.starts_with("NOMODEL "), "{error}");
    let error = base().arg(&["MODEL", "tiny"]).error(&mut client);
    assert!(error.starts_with("ERR ") && error.contains("no embeddings"), "{error}");
    for options in [["TOP", "0"], ["TOP", "101"], ["THRESHOLD", "1.5"], ["THRESHOLD", "nan"]] {
        let mut command = cmd("IMAGE.IDENTIFY").arg("g").arg("VECTOR").arg(&bytes).take();
        assert!(command.arg(&options).error(&mut client).starts_with("ERR "), "{options:?}");
    }
    for command in ["IMAGE.ENROLL", "IMAGE.IDENTIFY", "IMAGE.VERIFY", "IMAGE.FORGET"] {
        let error = cmd(command).arg("g").error(&mut client);
        assert!(error.contains("wrong number of arguments"), "{command}: {error}");
    }
}

#[test]
fn subjects_come_in_pages() {
    let server = Server::start();
    let mut client = server.client();
    for number in 0..100 {
        enrol("g", &format!("s{}", number % 40), &vector(number)).value(&mut client);
    }
    let all = subjects(&server, "g");
    assert_eq!(all.len(), 40);
    assert_eq!(all.values().map(Vec::len).sum::<usize>(), 100);
    assert_eq!(all["s3"], [4, 44, 84]);
    let error = cmd("IMAGE.SUBJECTS").arg("g").arg("x").error(&mut client);
    assert!(error.starts_with("ERR "), "{error}");
}

#[test]
fn inside_multi_and_scripts_vectors_are_enrolled_and_nobody_is_searched() {
    let server = Server::start();
    let mut client = server.client();
    enrol("g", "alice", &vector(1)).value(&mut client);
    cmd("MULTI").text(&mut client);
    enrol("g", "bob", &vector(2)).text(&mut client);
    forget("g", "alice").text(&mut client);
    let Reply::Value(Value::Array(replies)) = cmd("EXEC").reply(&mut client) else {
        panic!("EXEC failed");
    };
    let [enrolled, forgotten] = [0, 1].map(|index: usize| Reply::from(Ok(replies[index].clone())));
    assert_eq!((entry::<i64>(&enrolled, "sample"), entry::<i64>(&forgotten, "forgotten")), (2, 1));
    let verify = cmd("IMAGE.VERIFY")
        .arg("g")
        .arg("bob")
        .arg("VECTOR")
        .arg(blob(&vector(1)))
        .arg(&["THRESHOLD", "0.5"])
        .take();
    for command in [identify("g", &vector(1)), verify] {
        cmd("MULTI").text(&mut client);
        command.text(&mut client);
        let error = cmd("EXEC").error(&mut client);
        assert!(error.contains("NOWAITING"), "{error}");
    }
    let script = "return redis.pcall(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'THRESHOLD', '0.5')";
    let eval = |command: &str| {
        let bytes = blob(&vector(1));
        cmd("EVAL").arg(script).arg(1).arg("g").arg(&[command, "VECTOR"]).arg(bytes).take()
    };
    assert!(eval("IMAGE.IDENTIFY").error(&mut client).starts_with("NOWAITING "));
    assert_eq!(subjects(&server, "g").keys().collect::<Vec<_>>(), ["bob"]);
}

#[test]
fn watchers_and_subscribers_hear_of_changes_and_of_nothing_else() {
    let server = Server::with().config("notify-keyspace-events", "Kd").start();
    let watch = Watch::events(&server);
    let mut client = server.client();
    let mut other = server.client();
    cmd("WATCH").arg("g").text(&mut client);
    enrol("g", "alice", &vector(1)).value(&mut other);
    cmd("MULTI").text(&mut client);
    cmd("PING").text(&mut client);
    assert!(cmd("EXEC").reply(&mut client).is_nil(), "the key was changed");
    cmd("WATCH").arg("g").text(&mut client);
    assert!(forget("g", "nobody").error(&mut other).starts_with("NOSUBJECT "));
    identify("g", &vector(1)).text(&mut other);
    cmd("MULTI").text(&mut client);
    cmd("PING").text(&mut client);
    assert!(!cmd("EXEC").reply(&mut client).is_nil(), "nothing was changed");
    forget("g", "alice").value(&mut other);
    wait_until("the events", || watch.text().contains("image.forgotten"));
    assert!(watch.text().contains("image.enrolled"), "{}", watch.text());
}

#[test]
fn monitor_and_slowlog_show_no_vector_and_no_picture() {
    let server = Server::with().config("slowlog-log-slower-than", 0).start();
    let watch = Watch::monitor(&server);
    let mut client = server.client();
    let secret = b"EMBEDDED-SECRET!".repeat(8);
    let _ = cmd("IMAGE.ENROLL")
        .arg("g")
        .arg("s")
        .arg("VECTOR")
        .arg(&secret)
        .arg(&["MODEL", MODEL, "SPACE", SPACE])
        .reply(&mut client);
    for command in ["IMAGE.IDENTIFY", "IMAGE.VERIFY"] {
        let mut vector = cmd(command).arg("g").take();
        let mut picture = cmd(command).arg("g").take();
        if command == "IMAGE.VERIFY" {
            vector.arg("s");
            picture.arg("s");
        }
        vector.arg("vector").arg(&secret).reply(&mut client);
        picture.arg(&secret).reply(&mut client);
    }
    let _ = enrol_photo("g", "s", &secret).reply(&mut client);
    let heard = watch.until_now(&server);
    assert!(heard.contains("IMAGE.ENROLL") && heard.contains("(redacted)"), "{heard}");
    assert!(!heard.contains("SECRET"), "{heard}");
    let slow = format!("{:?}", cmd("SLOWLOG").arg("GET").arg(50).value(&mut client));
    assert!(slow.contains("IMAGE.IDENTIFY") && !slow.contains("SECRET"), "{slow}");
}

#[test]
fn the_server_knows_the_keys() {
    let server = Server::start();
    let mut client = server.client();
    let keys = |arguments: &[&str]| {
        cmd("COMMAND").arg("GETKEYS").arg(arguments).list(&mut server.client())
    };
    assert_eq!(keys(&["IMAGE.ENROLL", "g", "s", "payload"]), ["g"]);
    assert_eq!(keys(&["IMAGE.IDENTIFY", "g", "payload"]), ["g"]);
    assert_eq!(keys(&["IMAGE.IDENTIFY_STORED", "g", "k", "TOP", "3"]), ["g", "k"]);
    assert_eq!(keys(&["IMAGE.VERIFY", "g", "s", "payload"]), ["g"]);
    assert_eq!(keys(&["IMAGE.FORGET", "g", "s"]), ["g"]);
    assert_eq!(keys(&["IMAGE.SUBJECTS", "g"]), ["g"]);
    assert_eq!(keys(&["IMAGE.GALLERY", "g"]), ["g"]);
    let docs = cmd("COMMAND").arg(&["DOCS", "image.identify", "image.enroll"]).value(&mut client);
    let text = format!("{docs:?}");
    for word in ["payload", "THRESHOLD", "SAMPLE", "LARGEST"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let Value::Array(info) = cmd("COMMAND").arg(&["INFO", "image.identify"]).value(&mut client)
    else {
        panic!("no COMMAND INFO");
    };
    assert!(format!("{info:?}").contains("readonly"), "{info:?}");
}

#[test]
fn users_need_rights_on_the_gallery_and_on_the_picture_s_key() {
    let server = Server::start();
    let mut client = server.client();
    enrol("g:1", "alice", &vector(1)).value(&mut client);
    for (user, rules) in [
        (
            "reader",
            &[
                "%R~g:*",
                "+image.identify",
                "+image.identify_stored",
                "+image.verify",
                "+image.enroll",
            ] as &[&str],
        ),
        ("stranger", &["~other:*", "+image.identify", "+image.enroll", "+image.forget"]),
        ("nobody", &["~*", "-@all"]),
    ] {
        let mut command = cmd("ACL").arg("SETUSER").arg(user).arg("on").arg(">secret").take();
        command.arg(rules).text(&mut client);
    }
    let refused = |user: &str, command: &redis::Cmd| {
        let error = command.error(&mut server.client_of(user, "secret"));
        assert!(error.starts_with("NOPERM "), "{user}: {error}");
    };
    let mut reader = server.client_of("reader", "secret");
    assert_eq!(who(&identify("g:1", &vector(1)), &mut reader).as_deref(), Some("alice"));
    refused("reader", &enrol("g:1", "bob", &vector(2)));
    refused("reader", &identify_stored("g:1", "image:1"));
    refused("stranger", &identify("g:1", &vector(1)));
    refused("stranger", &forget("g:1", "alice"));
    refused("nobody", &identify("g:1", &vector(1)));
}

#[test]
fn memory_limits_refuse_enrolments_and_nothing_else() {
    let server = Server::start();
    let mut client = server.client();
    enrol("g", "alice", &vector(1)).value(&mut client);
    // Less than an empty server takes.
    cmd("CONFIG").arg(&["SET", "maxmemory", "500000"]).text(&mut client);
    let bind = cmd("IMAGE.BIND").arg(&["h", "MODEL", MODEL, "SPACE", SPACE]).take();
    let bind = bind.clone().arg(&["DIMENSIONS", "32"]).take();
    for refused in [enrol("g", "bob", &vector(2)), bind] {
        let error = refused.error(&mut client);
        assert!(error.starts_with("OOM "), "{error}");
    }
    assert_eq!(who(&identify("g", &vector(1)), &mut client).as_deref(), Some("alice"));
    forget("g", "alice").value(&mut client);
}
