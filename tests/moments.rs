//! The moments at which a write from a module aborts a server, each with forty requests under way.

use crate::commands::RED_RESULT;
use crate::support::cluster::{Cluster, promote};
use crate::support::crowd::*;
use crate::support::*;
use redis::{Value, cmd};

/// A master whose replica has stopped reading, so that whatever waits for it goes on waiting.
fn with_a_lagging_replica() -> (Server, Server) {
    let master = crowded().start();
    let replica = crowded().replica_of(&master).start();
    replica.wait_for_sync(&master);
    signal(&replica, libc::SIGSTOP);
    cmd("SET").arg("not yet").arg("replicated").text(&mut master.client());
    (master, replica)
}

/// Everybody has the result, and no result is stored yet.
fn assert_all_put_off(server: &Server, crowd: Crowd) -> Vec<String> {
    let keys = crowd.results();
    assert_eq!(server.count("waiting_stores"), CROWD as i64);
    assert_eq!(existing(server, &keys), 0);
    keys
}

fn new_request_works(server: &Server) {
    let picture = photos::unique(&photos::red());
    let reply = recognize(photos::key_of(&picture), &picture).text(&mut server.client());
    assert_eq!(reply, RED_RESULT);
}

#[test]
fn paused_writes_put_off_the_store_and_no_reply() {
    let mut server = crowded().append_only().config("appendfsync", "always").start();
    let crowd = Crowd::send(&server);
    cmd("CLIENT").arg(&["PAUSE", "600000", "WRITE"]).text(&mut server.client());
    let keys = assert_all_put_off(&server, crowd);

    cmd("CLIENT").arg("UNPAUSE").text(&mut server.client());
    assert_settled(&mut server);
    assert_stored(&server, &keys);
    assert_eq!(server.count("put_off"), CROWD as i64);
    server.kill();
    server.start_again();
    assert_stored(&server, &keys);
}

#[test]
fn a_paused_server_ends_with_clients_waiting_and_stores_put_off() {
    let mut server = crowded().append_only().start();
    let crowd = Crowd::send(&server);
    cmd("CLIENT").arg(&["PAUSE", "600000", "WRITE"]).text(&mut server.client());
    wait_until("a store is put off", || server.count("waiting_stores") > 0);
    assert!(server.shutdown(&["NOSAVE"]).success(), "{}", server.log());
    for (key, reply) in crowd.replies() {
        assert!(matches!(reply, Reply::Lost(_)) || reply.text() == RED_RESULT, "{key}: {reply:?}");
    }
    server.start_again();
    assert_settled(&mut server);
}

#[test]
fn a_failover_that_is_called_off_loses_no_result() {
    let (mut master, mut replica) = with_a_lagging_replica();
    let crowd = Crowd::send(&master);
    cmd("FAILOVER").text(&mut master.client());
    let keys = assert_all_put_off(&master, crowd);
    cmd("FAILOVER").arg("ABORT").text(&mut master.client());
    assert_settled(&mut master);
    assert_stored(&master, &keys);
    signal(&replica, libc::SIGCONT);
    replica.wait_for_sync(&master);
    assert_stored(&replica, &keys);
    assert_settled(&mut replica);
}

#[test]
fn a_failover_answers_everybody_and_counts_what_it_cannot_store() {
    for lagging in [true, false] {
        let (mut old, mut new) = with_a_lagging_replica();
        if !lagging {
            signal(&new, libc::SIGCONT);
            new.wait_for_sync(&old);
        }
        let crowd = Crowd::send(&old);
        cmd("FAILOVER").text(&mut old.client());
        let keys = if lagging {
            let keys = assert_all_put_off(&old, crowd);
            signal(&new, libc::SIGCONT);
            keys
        } else {
            crowd.results_or_unblocked()
        };
        wait_until("the roles have changed", || role(&old) == "slave" && role(&new) == "master");
        old.wait_for_sync(&new);
        assert_settled(&mut old);
        assert_settled(&mut new);
        assert_eq!(outcomes(&old), CROWD as i64, "lagging {lagging}: {:#?}", old.info());
        assert_eq!(existing(&new, &keys), old.count("stored"), "lagging {lagging}");
        assert_eq!(data_digest(&new), data_digest(&old));
        new_request_works(&new);
        let refused = recognize("k", &photos::red()).error(&mut old.client());
        assert!(refused.starts_with("READONLY "), "{refused}");
    }
}

#[test]
fn a_cluster_failover_answers_everybody_and_counts_what_it_cannot_store() {
    let mut cluster = Cluster::start(1, crowded);
    cluster.add_replica(crowded);
    for begun in [false, true] {
        let (master, replica) = (&cluster.nodes[0], &cluster.nodes[1]);
        let crowd = Crowd::send(master);
        wait_until("results come in", || !begun || master.count("stored") > 0);
        promote(replica);
        let keys = crowd.results_or_unblocked();
        wait_until("the old master follows", || role(master) == "slave");
        master.wait_for_sync(replica);
        wait_until("every job is over", || outcomes(master) >= CROWD as i64);
        let stored: i64 = keys.iter().map(|key| existing(replica, std::slice::from_ref(key))).sum();
        assert_eq!(stored, master.count("stored"));
        assert_eq!(data_digest(master), data_digest(replica));
        cluster.nodes.iter_mut().for_each(assert_settled);
        assert_eq!(outcomes(&cluster.nodes[0]), CROWD as i64);
        cluster.nodes.swap(0, 1);
    }
    new_request_works(&cluster.nodes[0]);
}

#[test]
fn a_shutdown_that_waits_for_a_replica_answers_everybody() {
    let (mut master, mut replica) = with_a_lagging_replica();
    cmd("CONFIG").arg(&["SET", "shutdown-timeout", "600"]).text(&mut master.client());

    // Called off: everything is stored after all.
    let crowd = Crowd::send(&master);
    let shutdown = master.send(cmd("SHUTDOWN").arg("NOSAVE"));
    let keys = assert_all_put_off(&master, crowd);
    cmd("SHUTDOWN").arg("ABORT").text(&mut master.client());
    assert!(shutdown.reply().error().contains("SHUTDOWN"));
    assert_settled(&mut master);
    assert_stored(&master, &keys);

    // Gone through with: it ends as it should.
    let crowd = Crowd::send(&master);
    let shutdown = master.send(cmd("SHUTDOWN").arg("NOSAVE"));
    let late = assert_all_put_off(&master, crowd);
    signal(&replica, libc::SIGCONT);
    assert!(matches!(shutdown.reply(), Reply::Lost(_)));
    assert!(master.wait_for_end().success(), "{}", master.log());
    assert_settled(&mut replica);
    assert_stored(&replica, &keys);
    assert_eq!(existing(&replica, &late), 0);
}

/// Replies how many keys have come while it ran.
fn slow_script(seconds: u32) -> String {
    format!(
        "redis.call('SET', KEYS[1], 'begun') \
         local before = redis.call('DBSIZE') \
         local start = tonumber(redis.call('TIME')[1]) \
         repeat until tonumber(redis.call('TIME')[1]) > start + {seconds} \
         return redis.call('DBSIZE') - before"
    )
}

#[test]
fn a_slow_script_does_not_swallow_results() {
    let mut server = crowded().append_only().config("busy-reply-threshold", 50).start();
    let crowd = Crowd::send(&server);
    let running = server.send(cmd("EVAL").arg(slow_script(3)).arg(1).arg("script"));
    wait_until("the server is busy", || {
        let reply = cmd("PING").reply(&mut server.client());
        matches!(reply, Reply::Error(error) if error.starts_with("BUSY "))
    });
    assert_eq!(running.reply().number(), 0, "nobody writes into a script");
    let keys = crowd.results();
    assert_settled(&mut server);
    assert_stored(&server, &keys);
    server.kill();
    server.start_again();
    assert_stored(&server, &keys);
}

#[test]
fn a_reload_does_not_meet_results_that_come_meanwhile() {
    let mut server = crowded()
        .append_only()
        .config("loading-process-events-interval-bytes", 1024)
        .config("key-load-delay", 1000)
        .start();
    cmd("DEBUG").arg(&["POPULATE", "1500"]).text(&mut server.client());
    let crowd = Crowd::send(&server);
    let reload = server.send(cmd("DEBUG").arg("RELOAD"));
    assert_eq!(reload.reply().text(), "OK");
    let keys = crowd.results();
    assert_settled(&mut server);
    assert_stored(&server, &keys);
    assert_eq!(cmd("DBSIZE").number(&mut server.client()), (1500 + CROWD) as i64);
}

#[test]
fn saving_and_rewriting_go_on_while_results_are_stored() {
    let mut server = crowded()
        .append_only()
        .config("appendfsync", "always")
        .config("rdb-key-save-delay", 1000)
        .start();
    let mut client = server.client();
    cmd("DEBUG").arg(&["POPULATE", "1500"]).text(&mut client);
    let persistence = |name: &str| server.info_of("persistence")[name].clone();
    let mut keys = Vec::new();
    for (command, running, status) in [
        ("BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status"),
        ("BGREWRITEAOF", "aof_rewrite_in_progress", "aof_last_bgrewrite_status"),
    ] {
        let crowd = Crowd::send(&server);
        cmd(command).text(&mut client);
        wait_until("the child runs", || persistence(running) == "1");
        keys.extend(crowd.results());
        wait_until("the child has ended", || persistence(running) == "0");
        assert_eq!(persistence(status), "ok", "{command}");
    }
    assert_settled(&mut server);
    assert_stored(&server, &keys);
    let digest = data_digest(&server);
    server.kill();
    server.start_again();
    assert_eq!(data_digest(&server), digest);
}

#[test]
fn a_master_that_becomes_a_replica_answers_everybody() {
    let mut server = crowded().start();
    let other = Server::start();
    cmd("SET").arg("of").arg("the other").text(&mut other.client());
    for _ in 0..2 {
        let (before, stored) = (outcomes(&server), server.count("stored"));
        let crowd = Crowd::send(&server);
        wait_until("some are stored", || server.count("stored") > stored);
        cmd("REPLICAOF").arg("127.0.0.1").arg(other.port).text(&mut server.client());
        crowd.results_or_unblocked();
        server.wait_for_sync(&other);
        wait_until("every job is over", || outcomes(&server) == before + CROWD as i64);
        assert_settled(&mut server);
        assert_eq!(data_digest(&server), data_digest(&other));
        assert!(server.count("not_stored_role") > 0, "{:#?}", server.info());

        cmd("REPLICAOF").arg(&["NO", "ONE"]).text(&mut server.client());
        new_request_works(&server);
    }
}

/// Looking up is for afterwards, too: it may delete what has expired.
#[test]
fn a_payload_whose_hash_comes_at_such_a_moment_is_looked_up_afterwards() {
    let mut server = crowded()
        .append_only()
        .config("busy-reply-threshold", 10)
        .config("loading-process-events-interval-bytes", 1024)
        .config("key-load-delay", 1000)
        .start();
    let mut client = server.client();
    cmd("DEBUG").arg(&["POPULATE", "800"]).text(&mut client);
    let moments = [
        cmd("CLIENT").arg(&["PAUSE", "800", "WRITE"]).take(),
        cmd("EVAL").arg(slow_script(1)).arg(1).arg("script").take(),
        cmd("DEBUG").arg("RELOAD").take(),
    ];
    for (i, moment) in moments.iter().enumerate() {
        let payload = photos::padded(&photos::red(), 30_000_000);
        // First a miss, then a hit, then a hit that has expired.
        for options in [&["PX", "700"] as &[&str], &[], &[]] {
            let key = format!("moment:{i}");
            let mut together = redis::pipe();
            together.add_command(recognize(&key, &payload).arg("NOWAIT").arg(options).take());
            together.add_command(moment.clone());
            together.query::<Vec<Value>>(&mut client).expect("both replies");
            assert_eq!(get(&key).arg(&["WAIT", "60000"]).text(&mut client), RED_RESULT, "{i}");
        }
    }
    assert_settled(&mut server);
}
