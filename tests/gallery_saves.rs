//! A save in which something goes wrong ends as an error, whoever saves: the file that was there stays. A panic is planted
//! in the middle of a gallery.

use crate::support::crowd::data_digest;
use crate::support::galleries::{enrol, identify, vector, who};
use crate::support::*;
use redis::{Connection, cmd};

/// No save gets beyond a subject of this name.
const PANICS: &str = "#test:panic in a save#";

fn subjects(client: &mut Connection, gallery: &str) {
    for number in 0..50 {
        enrol(gallery, &format!("s{number}"), &vector(number)).value(client);
    }
}

fn persistence(server: &Server, field: &str) -> String {
    server.info_of("persistence")[field].clone()
}

fn wait_for_child(server: &Server) {
    wait_until("no child is left", || {
        ["rdb_bgsave_in_progress", "aof_rewrite_in_progress"]
            .iter()
            .all(|field| persistence(server, field) == "0")
    });
}

#[test]
fn a_save_that_panics_is_an_error_and_the_old_file_stays() {
    let mut server = Server::start();
    let mut client = server.client();
    subjects(&mut client, "g");
    cmd("SAVE").text(&mut client);
    let saved = data_digest(&server);
    let file = server.folder().join("dump.rdb");
    let bytes = std::fs::read(&file).expect("the file");
    enrol("g", PANICS, &vector(1000)).value(&mut client);

    assert!(matches!(cmd("SAVE").reply(&mut client), Reply::Error(_)), "SAVE");
    assert_eq!(std::fs::read(&file).expect("the file"), bytes);
    cmd("BGSAVE").text(&mut client);
    wait_for_child(&server);
    assert_eq!(persistence(&server, "rdb_last_bgsave_status"), "err");
    assert_eq!(std::fs::read(&file).expect("the file"), bytes);
    assert_eq!(cmd("PING").text(&mut client), "PONG", "the server lives on");
    assert_eq!(who(&identify("g", &vector(7)), &mut client).as_deref(), Some("s7"));

    server.kill();
    server.start_again();
    assert_eq!(data_digest(&server), saved, "the old file loads");
    // Without what panics, saves are good again.
    cmd("BGSAVE").text(&mut server.client());
    wait_for_child(&server);
    assert_eq!(persistence(&server, "rdb_last_bgsave_status"), "ok");
}

fn rewrite_that_panics(preamble: &str) {
    let mut server = Server::with().append_only().config("aof-use-rdb-preamble", preamble).start();
    let mut client = server.client();
    subjects(&mut client, "g");
    cmd("BGREWRITEAOF").text(&mut client);
    wait_for_child(&server);
    assert_eq!(persistence(&server, "aof_last_bgrewrite_status"), "ok");
    enrol("g", PANICS, &vector(1000)).value(&mut client);
    let digest = data_digest(&server);
    cmd("BGREWRITEAOF").text(&mut client);
    wait_for_child(&server);
    assert_eq!(persistence(&server, "aof_last_bgrewrite_status"), "err");
    enrol("g", "later", &vector(1001)).value(&mut client);
    assert_ne!(data_digest(&server), digest);
    let digest = data_digest(&server);
    server.kill();
    server.start_again();
    assert_eq!(data_digest(&server), digest, "the file that was there goes on");
}

#[test]
fn a_rewrite_that_panics_is_an_error_and_the_old_file_goes_on() {
    rewrite_that_panics("no");
}

#[test]
fn a_rewrite_with_a_preamble_that_panics_is_an_error_and_the_old_file_goes_on() {
    rewrite_that_panics("yes");
}

fn sync_that_panics(diskless: &str) {
    let master = Server::with().config("repl-diskless-sync", diskless).start();
    let mut client = master.client();
    subjects(&mut client, "g");
    enrol("g", PANICS, &vector(1000)).value(&mut client);
    let replica = Server::with().replica_of(&master).start();
    let failed = || master.log().matches("planted by the test suite").count() >= 2;
    wait_until("the master has tried twice", failed);
    assert_eq!(cmd("DBSIZE").number(&mut replica.client()), 0, "no truncated gallery");
    assert_eq!(cmd("PING").text(&mut client), "PONG");
    cmd("IMAGE.FORGET").arg(&["g", PANICS]).value(&mut client);
    replica.wait_for_sync(&master);
    assert_eq!(data_digest(&replica), data_digest(&master));
}

#[test]
fn a_replica_gets_no_truncated_gallery_from_a_disk() {
    sync_that_panics("no");
}

#[test]
fn a_replica_gets_no_truncated_gallery_without_a_disk() {
    sync_that_panics("yes");
}

/// `DUMP` does not look for an error. What it gives then is refused by who restores it.
#[test]
fn a_truncated_dump_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    subjects(&mut client, "g");
    let good: Vec<u8> =
        redis::from_redis_value(cmd("DUMP").arg("g").value(&mut client)).expect("bytes");
    cmd("RESTORE").arg("copy").arg(0).arg(&good).text(&mut client);
    enrol("g", PANICS, &vector(1000)).value(&mut client);
    let truncated: Vec<u8> =
        redis::from_redis_value(cmd("DUMP").arg("g").value(&mut client)).expect("bytes");
    assert!(truncated.len() < good.len(), "it broke off");
    let error = cmd("RESTORE").arg("bad").arg(0).arg(&truncated).error(&mut client);
    assert!(error.contains("Bad data format"), "{error}");
    assert_eq!(cmd("EXISTS").arg("bad").number(&mut client), 0);

    let other = Server::start();
    let port = other.port.to_string();
    let moved = cmd("MIGRATE").arg(&["127.0.0.1", &port, "g", "0", "5000"]).error(&mut client);
    assert!(moved.contains("Bad data format"), "{moved}");
    assert_eq!(cmd("EXISTS").arg("g").number(&mut client), 1, "the key stays where it was");
    assert_eq!(cmd("DBSIZE").number(&mut other.client()), 0);
}
