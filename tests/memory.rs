//! Servers near their `maxmemory`: what is stored, what is evicted, who is refused.

use crate::commands::RED_RESULT;
use crate::support::crowd::assert_settled;
use crate::support::*;
use redis::cmd;

const MB: usize = 1 << 20;

/// Sets strings of 1 kB until `enough`.
fn fill(server: &Server, enough: impl Fn() -> bool) {
    let mut client = server.client();
    let junk = "x".repeat(1000);
    for i in 0..1000 {
        let mut batch = redis::pipe();
        for j in 0..500 {
            batch.set(format!("junk:{i}:{j}"), &junk).ignore();
        }
        batch.query::<()>(&mut client).expect("every SET");
        if enough() {
            return;
        }
    }
    panic!("the memory does not fill");
}

fn used_memory(server: &Server) -> usize {
    server.info_of("memory")["used_memory"].parse().expect("a number")
}

fn evicted(server: &Server) -> i64 {
    server.info_of("stats")["evicted_keys"].parse().expect("a number")
}

#[test]
fn a_full_cache_that_evicts_stores_what_it_computes() {
    let mut server = Server::with()
        .setting("threads", 2)
        .config("maxmemory", "30mb")
        .config("maxmemory-policy", "allkeys-lru")
        .start();
    fill(&server, || evicted(&server) > 1000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.client();
                for i in 0..250 {
                    let bytes = if i % 10 == 0 { 300_000 } else { 20_000 };
                    let payload = photos::padded(&photos::red(), bytes);
                    let reply = recognize(photos::key_of(&payload), &payload).text(&mut client);
                    assert_eq!(reply, RED_RESULT);
                }
            });
        }
    });
    assert_settled(&mut server);
    let (computed, stored) = (server.model_count("tiny", "computed"), server.count("stored"));
    assert_eq!(computed, 1000);
    assert!(stored * 100 >= computed * 99, "{stored} of {computed}: {:#?}", server.info());
    let kept = cmd("EVAL")
        .arg("return #redis.call('KEYS', 'image:*')")
        .arg(0)
        .number(&mut server.client());
    assert!(kept >= 900, "the newest are not what goes: {kept}");
}

#[test]
fn a_tenth_of_maxmemory_is_the_limit_also_where_config_is_renamed() {
    let server = Server::with()
        .config("maxmemory", "100mb")
        .config("rename-command CONFIG", "configure")
        .start();
    assert_eq!(server.count("queue_bytes_limit"), 10 * MB as i64);
}

/// The server keeps what a waiting client has sent, and evicts data for it. (For two seconds it keeps a buffer of the same
/// size besides, for whoever stays connected, also after a plain GET. So here who is refused leaves.)
#[test]
fn clients_that_wait_with_large_payloads_evict_no_data() {
    for hash_inline in ["0", "256mb"] {
        let mut server = Server::with()
            .setting("threads", 1)
            .setting("hash-inline", hash_inline)
            .config("maxmemory", "100mb")
            .config("maxmemory-policy", "allkeys-lru")
            .start();
        assert_eq!(server.count("queue_bytes_limit"), 10 * MB as i64);
        fill(&server, || used_memory(&server) > 60 * MB);
        let keys = cmd("DBSIZE").number(&mut server.client());

        let mut waiting = Vec::new();
        let mut refused = 0;
        for _ in 0..40 {
            let payload = photos::slowed(&photos::padded(&photos::red(), 5_000_000), 3_000);
            let pending = server.send(&recognize("k", &payload));
            wait_until("it is accepted or refused", || {
                let done = server.model_count("tiny", "computed");
                done + server.count("waiting_clients") > waiting.len() as i64
                    || server.count("refused") > refused
            });
            if server.count("refused") > refused {
                refused += 1;
                let error = pending.reply().error();
                assert!(error.starts_with("QUEUEFULL "), "{error}");
            } else {
                waiting.push(pending);
            }
            assert!(server.count("queue_bytes") <= 10 * MB as i64);
        }
        assert!(refused > 30 && waiting.len() >= 2, "{refused} refused");
        for pending in waiting {
            assert_eq!(pending.reply().text(), RED_RESULT);
        }
        assert_eq!(cmd("DBSIZE").number(&mut server.client()), keys + 1);
        assert_eq!(evicted(&server), 0);
        assert_settled(&mut server);
    }
}

#[test]
fn a_server_that_never_evicts_answers_and_does_not_store() {
    let mut server = Server::with().setting("threads", 4).start();
    let mut client = server.client();
    recognize("before", &photos::red()).text(&mut client);
    let payload = photos::slow(500);
    let pending: Vec<Pending> = (0..10)
        .map(|i| server.send(&recognize(format!("joined:{i}"), &payload)))
        .chain((0..10).map(|i| server.send(&recognize(format!("own:{i}"), &photos::slow(300)))))
        .collect();
    wait_until("all are under way", || server.count("requests") == 20);
    assert_eq!(cmd("CONFIG").arg(&["SET", "maxmemory", "500kb"]).text(&mut client), "OK");
    let nowait = recognize("nowait", &photos::slow(100)).arg("NOWAIT").text(&mut client);
    assert_eq!(nowait, "ACCEPTED");
    assert_eq!(get("nowait").arg(&["WAIT", "60000"]).text(&mut client), RED_RESULT);
    for client in pending {
        assert_eq!(client.reply().text(), RED_RESULT);
    }
    assert_eq!(get("before").text(&mut client), RED_RESULT);
    assert_eq!(recognize("before", &photos::red()).text(&mut client), RED_RESULT);
    assert_settled(&mut server);
    assert_eq!(server.count("not_stored_memory"), 21);
    assert_eq!(cmd("DBSIZE").number(&mut client), 1);

    cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).text(&mut client);
    assert_eq!(recognize("after", &photos::red()).text(&mut client), RED_RESULT);
    assert_eq!(cmd("DBSIZE").number(&mut client), 2);
}

/// With `maxmemory-clients` the server itself sends clients away, those with the most first.
#[test]
fn waiting_clients_that_the_server_sends_away_leave_nothing_behind() {
    for hash_inline in ["0", "256mb"] {
        let mut server = Server::with()
            .setting("threads", 2)
            .setting("hash-inline", hash_inline)
            .config("maxmemory-clients", "20mb")
            .start();
        let pending: Vec<Pending> = (0..10)
            .map(|_| {
                let payload = photos::slowed(&photos::padded(&photos::red(), 5_000_000), 500);
                server.send(&recognize(photos::key_of(&payload), &payload))
            })
            .collect();
        let replies: Vec<Reply> = pending.into_iter().map(Pending::reply).collect();
        let lost = replies.iter().filter(|reply| matches!(reply, Reply::Lost(_))).count();
        assert!(lost > 0, "{replies:?}");
        for reply in replies.iter().filter(|reply| !matches!(reply, Reply::Lost(_))) {
            assert_eq!(reply.text(), RED_RESULT);
        }
        assert_settled(&mut server);
        let computed = server.model_count("tiny", "computed");
        assert_eq!(cmd("DBSIZE").number(&mut server.client()), computed);
    }
}

/// Every policy, with and without a time to live: what cannot be stored is counted, and every client gets its result.
#[test]
fn a_full_node_answers_whatever_its_policy() {
    let policies = [
        "noeviction",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-ttl",
        "volatile-random",
    ];
    let mut server = Server::with()
        .setting("threads", 2)
        .config("maxmemory", "20mb")
        .config("maxmemory-policy", "allkeys-lru")
        .start();
    let mut client = server.client();
    for policy in policies {
        cmd("CONFIG").arg(&["SET", "maxmemory-policy", "allkeys-lru"]).text(&mut client);
        let before = evicted(&server);
        fill(&server, || evicted(&server) > before + 100);
        cmd("CONFIG").arg(&["SET", "maxmemory-policy", policy]).text(&mut client);
        if policy == "noeviction" {
            cmd("CONFIG").arg(&["SET", "maxmemory", "10mb"]).text(&mut client);
        }
        let counts =
            |server: &Server| ["stored", "not_stored_memory"].map(|name| server.count(name));
        let [stored_before, refused_before] = counts(&server);
        for i in 0..60 {
            let payload = photos::padded(&photos::red(), if i % 10 == 0 { 300_000 } else { 2_000 });
            let options: &[&str] = if i % 2 == 0 { &["EX", "1000"] } else { &[] };
            let reply =
                recognize(photos::key_of(&payload), &payload).arg(options).reply(&mut client);
            assert_eq!(reply.text(), RED_RESULT, "{policy}");
        }
        wait_until("every job is over", || server.count("requests") == 0);
        let [stored, refused] = counts(&server);
        let (stored, refused) = (stored - stored_before, refused - refused_before);
        assert_eq!(stored + refused, 60, "{policy}: {:#?}", server.info());
        match policy {
            "noeviction" => assert_eq!(stored, 0),
            _ if policy.starts_with("allkeys") => assert_eq!(refused, 0, "{policy}"),
            // Only what has a time to live can be evicted: the server may be full for good.
            _ => (),
        }
        cmd("CONFIG").arg(&["SET", "maxmemory", "20mb"]).text(&mut client);
    }
    assert_settled(&mut server);
}
