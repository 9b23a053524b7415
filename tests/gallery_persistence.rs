//! Galleries beyond their server's memory: RDB, append-only file, DUMP and RESTORE, COPY, memory, freeing.

use crate::support::galleries::*;
use crate::support::*;
use redis::{Connection, cmd};

/// Subjects with one to three samples each, some forgotten again, and an emptied gallery.
fn fill(client: &mut Connection) {
    for number in 0..60 {
        enrol("g", &format!("s{}", number % 25), &vector(number)).value(client);
    }
    for subject in ["s3", "s24"] {
        forget("g", subject).value(client);
    }
    forget("g", "s5").arg("6").value(client);
    enrol("empty", "alice", &vector(1)).value(client);
    forget("empty", "alice").value(client);
}

fn state(server: &Server) -> Vec<String> {
    ["g", "empty"]
        .iter()
        .flat_map(|key| [digest(server, key), total(server, key, "next_sample").to_string()])
        .collect()
}

#[track_caller]
fn assert_sound(server: &Server) {
    let mut client = server.client();
    assert_eq!(who(&identify("g", &vector(31)), &mut client).as_deref(), Some("s6"));
    assert_eq!(who(&identify("g", &vector(3)), &mut client), None, "forgotten");
    assert_eq!(who(&identify("empty", &vector(1)), &mut client), None);
    let next = total(server, "empty", "next_sample");
    assert!(next >= 2, "no id is given out twice");
    let reply = enrol("empty", "bob", &vector(2)).reply(&mut client);
    assert_eq!(entry::<i64>(&reply, "sample"), next);
    forget("empty", "bob").value(&mut client);
}

#[test]
fn galleries_are_there_after_save_and_restart() {
    let mut server = Server::start();
    fill(&mut server.client());
    let before = state(&server);
    cmd("SAVE").text(&mut server.client());
    server.kill();
    server.start_again();
    assert_eq!(state(&server), before);
    assert_sound(&server);
    cmd("DEBUG").arg("RELOAD").text(&mut server.client());
    assert_sound(&server);
}

#[test]
fn galleries_are_there_after_the_append_only_file_is_read() {
    for preamble in ["yes", "no"] {
        let mut server = Server::with()
            .append_only()
            // By default the server puts a write off while the disk is busy, and is killed here right after its reply.
            .config("appendfsync", "always")
            .config("aof-use-rdb-preamble", preamble)
            .config("auto-aof-rewrite-percentage", 0)
            .start();
        let mut client = server.client();
        fill(&mut client);
        let before = state(&server);
        server.kill();
        server.start_again();
        assert_eq!(state(&server), before, "commands");

        rewrite(&server);
        server.kill();
        server.start_again();
        assert_eq!(state(&server), before, "rewritten, preamble {preamble}");
        assert_sound(&server);
        server.kill();
        server.start_again();
        assert_eq!(subjects(&server, "empty").len(), 0, "rewritten and appended to");
        assert!(!server.log().contains("BUG REPORT"));
    }
}

#[track_caller]
fn rewrite(server: &Server) {
    cmd("BGREWRITEAOF").reply(&mut server.client());
    wait_until("the rewrite", || {
        let info = server.info_of("persistence");
        info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
    });
    assert_eq!(server.info_of("persistence")["aof_last_bgrewrite_status"], "ok");
}

#[test]
fn a_restored_dump_is_the_same_gallery() {
    let (server, other) = (Server::start(), Server::start());
    let mut client = server.client();
    fill(&mut client);
    for key in ["g", "empty"] {
        let dumped = dump(&server, key);
        cmd("RESTORE").arg(key).arg(0).arg(&dumped).text(&mut other.client());
        cmd("RESTORE").arg(format!("{key}2")).arg(0).arg(&dumped).text(&mut client);
        assert_eq!(digest(&server, &format!("{key}2")), digest(&server, key));
    }
    assert_eq!(state(&other), state(&server));
    assert_sound(&other);
    let error = cmd("RESTORE").arg("g").arg(0).arg(dump(&server, "empty")).error(&mut client);
    assert!(error.starts_with("BUSYKEY "), "{error}");
    assert_sound(&server);
}

#[test]
fn a_copy_is_a_gallery_of_its_own() {
    let server = Server::start();
    let mut client = server.client();
    fill(&mut client);
    assert_eq!(cmd("COPY").arg(&["g", "copy"]).number(&mut client), 1);
    let original = digest(&server, "g");
    assert_eq!(digest(&server, "copy"), original);
    forget("copy", "s6").value(&mut client);
    enrol("copy", "new", &vector(500)).value(&mut client);
    assert_eq!(digest(&server, "g"), original);
    assert_eq!(who(&identify("g", &vector(31)), &mut client).as_deref(), Some("s6"));
    assert_eq!(who(&identify("copy", &vector(31)), &mut client), None);
    cmd("RENAME").arg(&["copy", "moved"]).text(&mut client);
    assert_eq!(who(&identify("moved", &vector(500)), &mut client).as_deref(), Some("new"));
    forget("g", "s6").value(&mut client);
    cmd("DEL").arg("g").number(&mut client);
    assert_eq!(who(&identify("moved", &vector(32)), &mut client).as_deref(), Some("s7"));
}

#[test]
fn memory_usage_is_what_the_server_allocates() {
    let server = Server::start();
    let mut client = server.client();
    let used = |server: &Server| -> i64 {
        server.info_of("memory")["used_memory"].parse().expect("bytes")
    };
    enrol("warm", "up", &vector(0)).value(&mut client);
    cmd("MEMORY").arg(&["USAGE", "warm"]).number(&mut client);
    for (samples, subjects) in [(3_000, 3_000), (3_000, 10)] {
        let before = used(&server);
        let mut pipe = redis::pipe();
        for number in 0..samples {
            let subject = format!("subject-{}", number % subjects);
            pipe.add_command(enrol("m", &subject, &vector_of(number, 512)));
        }
        pipe.query::<redis::Value>(&mut client).expect("enrolled");
        drop(pipe);
        let mut usage = 0;
        // The connection's buffers shrink with time.
        wait_until("the memory is told within 5%", || {
            usage = cmd("MEMORY").arg(&["USAGE", "m"]).number(&mut server.client());
            let grown = used(&server) - before;
            (grown - usage).abs() * 20 <= grown
        });
        assert_eq!(server.count("gallery_samples"), samples as i64 + 1);
        assert!((server.count("gallery_bytes") - usage).abs() < 4096);
        cmd("DEL").arg("m").number(&mut client);
        wait_until("it is given back", || used(&server) - before < usage / 20);
    }
}

#[test]
fn large_galleries_are_freed_off_the_main_thread() {
    let server = Server::start();
    let mut client = server.client();
    let freed = |server: &Server| -> i64 {
        server.info_of("memory")["lazyfreed_objects"].parse().unwrap_or_else(|_| {
            server.info_of("stats")["lazyfreed_objects"].parse().expect("a count")
        })
    };
    for number in 0..100 {
        enrol("g", &format!("s{number}"), &vector(number)).value(&mut client);
    }
    assert_eq!((server.count("galleries"), server.count("gallery_subjects")), (1, 100));
    let before = freed(&server);
    assert_eq!(cmd("UNLINK").arg("g").number(&mut client), 1);
    wait_until("it is freed", || server.count("galleries") == 0);
    assert!(freed(&server) > before);
    for number in 0..100 {
        enrol("g", &format!("s{number}"), &vector(number)).value(&mut client);
    }
    cmd("FLUSHALL").arg("ASYNC").text(&mut client);
    wait_until("all is freed", || server.count("galleries") == 0);
    assert_eq!((server.count("gallery_samples"), server.count("gallery_bytes")), (0, 0));
}

#[test]
fn a_server_without_the_module_opens_an_rdb_without_a_gallery() {
    let mut server = Server::start();
    let mut client = server.client();
    recognize("image:1", &photos::red()).text(&mut client);
    enrol("g", "alice", &vector(1)).value(&mut client);
    cmd("DEL").arg("g").number(&mut client);
    cmd("SAVE").text(&mut client);
    server.kill();
    let mut plain = Server::with().without_module().start();
    plain.kill();
    std::fs::copy(server.folder().join("dump.rdb"), plain.folder().join("dump.rdb"))
        .expect("copied");
    plain.start_again();
    assert_eq!(cmd("DBSIZE").number(&mut plain.client()), 1);
}

#[test]
fn a_gallery_expires_like_every_key() {
    let server = Server::start();
    let mut client = server.client();
    enrol("g", "alice", &vector(1)).value(&mut client);
    cmd("PEXPIRE").arg("g").arg(50).number(&mut client);
    wait_until("it has expired", || {
        identify("g", &vector(1)).reply(&mut server.client())
            == Reply::Error(
                identify("missing", &vector(1)).error(&mut client).replace("missing", "g"),
            )
    });
    let reply = enrol("g", "alice", &vector(1)).reply(&mut client);
    assert_eq!(entry::<i64>(&reply, "sample"), 1, "a new gallery");
}
