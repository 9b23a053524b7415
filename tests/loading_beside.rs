//! A replica that loads its master's data set beside the one that it serves (`repl-diskless-load swapdb`): reads go on,
//! and nobody is made to wait for what cannot come before the load is over.

use crate::commands::RED_RESULT;
use crate::support::crowd::{assert_settled, data_digest, signal};
use crate::support::galleries::{enrol, entry, identify, vector, who};
use crate::support::*;
use redis::cmd;

/// A replica in the middle of such a load.
fn loading_beside() -> (Server, Server) {
    let master = Server::with()
        .config("repl-diskless-sync", "yes")
        .config("repl-backlog-size", "16384")
        .start();
    let replica = Server::with()
        .config("repl-diskless-load", "swapdb")
        // Among the keys it looks after clients, as it does in a large data set.
        .config("loading-process-events-interval-bytes", "1024")
        .replica_of(&master)
        .start();
    let mut client = master.client();
    for number in 0..200 {
        recognize(format!("old:{number}"), &photos::red()).text(&mut client);
    }
    recognize("large", &large()).text(&mut client);
    enrol("g", "alice", &vector(1)).value(&mut client);
    replica.wait_for_sync(&master);

    // The replica loses its link, and misses more than the backlog holds.
    signal(&replica, libc::SIGSTOP);
    cmd("CLIENT").arg(&["KILL", "TYPE", "replica"]).number(&mut client);
    for number in 0..200 {
        recognize(format!("new:{number}"), &photos::red()).text(&mut client);
    }
    enrol("g", "bob", &vector(2)).value(&mut client);
    signal(&replica, libc::SIGCONT);
    cmd("CONFIG").arg(&["SET", "key-load-delay", "10000"]).text(&mut replica.client());
    wait_until("the replica loads beside its data", || is_loading(&replica));
    (master, replica)
}

fn large() -> Vec<u8> {
    let mut payload = photos::red();
    payload.resize(400_000, 0);
    payload
}

fn is_loading(replica: &Server) -> bool {
    replica.info_of("persistence").get("async_loading").is_some_and(|value| value == "1")
}

#[test]
fn reads_go_on_during_the_load_and_who_would_wait_is_told_so() {
    let (master, mut replica) = loading_beside();
    let mut client = replica.client();
    let red = photos::red();
    assert_eq!(get("old:7").text(&mut client), RED_RESULT);
    assert_eq!(get("old:7").arg(&["WAIT", "60000"]).text(&mut client), RED_RESULT);
    assert!(get("new:7").arg(&["WAIT", "60000"]).reply(&mut client).is_nil(), "the old data set");
    assert_eq!(recognize_ro("old:7", &red).text(&mut client), RED_RESULT);
    assert_eq!(recognize_ro("large", &large()).text(&mut client), RED_RESULT, "hashed at once");
    let gallery = cmd("IMAGE.GALLERY").arg("g").reply(&mut client);
    assert_eq!(entry::<usize>(&gallery, "samples"), 1, "the old data set");
    let miss = photos::unique(&red);
    let missing = photos::padded(&red, 400_000);
    for refused in [
        recognize_ro("nobody", &miss),
        recognize_ro("nobody", &missing),
        identify("g", &vector(1)),
        cmd("IMAGE.MODELS").arg("RELOAD").take(),
    ] {
        let error = refused.error(&mut client);
        assert!(error.starts_with("NOWAITING ") && error.contains("loads"), "{error}");
    }
    let written = recognize("k", &miss).error(&mut client);
    assert!(written.starts_with("READONLY "), "{written}");
    assert!(is_loading(&replica), "all of it was during the load");

    cmd("CONFIG").arg(&["SET", "key-load-delay", "0"]).text(&mut client);
    wait_until("the load is over", || !is_loading(&replica));
    replica.wait_for_sync(&master);
    assert_eq!(data_digest(&replica), data_digest(&master));
    assert_eq!(get("new:7").text(&mut client), RED_RESULT);
    assert_eq!(recognize_ro("nobody", &miss).text(&mut client), RED_RESULT);
    assert_eq!(who(&identify("g", &vector(2)), &mut client).as_deref(), Some("bob"));
    assert_eq!(replica.count("gallery_samples"), 2, "the old set's galleries are gone");
    let warnings: Vec<String> =
        replica.log().lines().filter(|line| line.contains("swapdb")).map(str::to_owned).collect();
    assert!(!warnings.iter().any(|line| line.contains("disabled")), "{warnings:?}");
    assert_settled(&mut replica);
}

#[test]
fn who_waited_when_the_load_began_is_answered_when_it_is_over() {
    let master = Server::with()
        .config("repl-diskless-sync", "yes")
        .config("repl-backlog-size", "16384")
        .start();
    let mut replica = Server::with()
        .config("repl-diskless-load", "swapdb")
        // Among the keys it looks after clients, as it does in a large data set.
        .config("loading-process-events-interval-bytes", "1024")
        .setting("threads", 1)
        .replica_of(&master)
        .start();
    let mut client = master.client();
    for number in 0..200 {
        recognize(format!("old:{number}"), &photos::red()).text(&mut client);
    }
    replica.wait_for_sync(&master);
    cmd("CONFIG").arg(&["SET", "key-load-delay", "10000"]).text(&mut replica.client());
    let waiting = replica.send(&recognize_ro("k", &photos::slow(1500)));
    wait_until("the worker is busy", || replica.count("workers_busy") == 1);
    signal(&replica, libc::SIGSTOP);
    cmd("CLIENT").arg(&["KILL", "TYPE", "replica"]).number(&mut client);
    for number in 0..200 {
        recognize(format!("new:{number}"), &photos::red()).text(&mut client);
    }
    signal(&replica, libc::SIGCONT);
    wait_until("the replica loads beside its data", || is_loading(&replica));
    assert_eq!(waiting.reply().text(), RED_RESULT);
    wait_until("the load is over", || !is_loading(&replica));
    assert_eq!(get("new:7").text(&mut replica.client()), RED_RESULT);
    assert_settled(&mut replica);
}
