//! A request from beginning to end: clients that leave or lose patience, full queues, joining, workers. Each
//! story runs with payloads that are hashed on the main thread and with payloads that are hashed on a thread of their own.

use crate::commands::RED_RESULT;
use crate::support::crowd::{CROWD, Crowd, assert_settled, assert_stored, crowded};
use crate::support::server::Builder;
use crate::support::*;
use redis::{Connection, Value, cmd};

/// The two ways of hashing.
fn in_both_ways(story: impl Fn(Builder)) {
    for bytes in ["268435456", "0"] {
        story(Server::with().setting("hash-inline", bytes));
    }
}

fn computed(server: &Server) -> i64 {
    server.model_count("tiny", "computed")
}

/// A request that keeps a worker busy, where none is busy yet.
fn occupy(server: &Server, milliseconds: u64) -> (Vec<u8>, Pending) {
    let payload = photos::slow(milliseconds);
    wait_until("the workers are idle", || server.count("workers_busy") == 0);
    let pending = server.send(&recognize(photos::key_of(&payload), &payload));
    wait_until("the worker is busy", || server.count("workers_busy") == 1);
    (payload, pending)
}

fn config_set(server: &Server, name: &str, value: &str) {
    assert_eq!(cmd("CONFIG").arg(&["SET", name, value]).text(&mut server.client()), "OK");
}

#[test]
fn what_becomes_of_a_request_depends_on_when_its_client_leaves() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 1).start();
        let (first, busy) = occupy(&server, 1000);

        // Before it starts: never computed. One request of two that share a job leaves the job to the other.
        let (lonely, shared) = (photos::unique(&photos::red()), photos::unique(&photos::red()));
        let gone = server.send(&recognize("lonely", &lonely));
        let half_gone = server.send(&recognize("half gone", &shared));
        let stays = server.send(&recognize("stays", &shared));
        wait_until("both queue", || server.count("queue_length") == 2);
        wait_until("one joined", || server.model_count("tiny", "joined") == 1);
        drop(gone);
        drop(half_gone);
        wait_until("one is dropped", || server.count("dropped") == 1);
        assert_eq!(server.count("queue_length"), 1);
        assert_eq!(busy.reply().text(), RED_RESULT);
        assert_eq!(stays.reply().text(), RED_RESULT);
        assert_eq!(computed(&server), 2);
        assert!(get("lonely").reply(&mut server.client()).is_nil());
        assert_stored(&server, &["stays".into(), "half gone".into(), photos::key_of(&first)]);

        // While it is at work: stored anyway.
        let (payload, leaves) = occupy(&server, 300);
        drop(leaves);
        wait_until("it is stored", || server.count("stored") == 4);
        assert_stored(&server, &[photos::key_of(&payload)]);

        // When it is done: as it would be for anybody.
        let payload = photos::unique(&photos::red());
        let never_reads = server.send(&recognize("after", &payload));
        wait_until("it is stored", || server.count("stored") == 5);
        drop(never_reads);
        assert_stored(&server, &["after".into()]);
        assert_eq!(server.count("dropped"), 1);
        assert_settled(&mut server);
    });
}

#[test]
fn a_crowd_that_leaves_leaves_nothing_behind() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 2).start();
        let pending: Vec<Pending> = (0..200)
            .map(|_| {
                let payload = photos::slowed(&photos::padded(&photos::red(), 100_000), 20);
                server.send(&recognize(photos::key_of(&payload), &payload))
            })
            .collect();
        drop(pending);
        assert_settled(&mut server);
        assert_eq!(computed(&server) + server.count("dropped"), 200);
        let stored = cmd("DBSIZE").number(&mut server.client());
        assert_eq!((stored, stored), (computed(&server), server.count("stored")));
    });
}

#[test]
fn a_client_can_be_unblocked() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 1).start();
        for (how, prefix) in [("TIMEOUT", "TIMEOUT "), ("ERROR", "UNBLOCKED ")] {
            let (payload, at_work) = occupy(&server, 500);
            let queued = photos::unique(&photos::red());
            let in_queue = server.send(&recognize(how, &queued));
            let watching = server.send(get(how).arg(&["WAIT", "60000"]));
            wait_until("three clients wait", || server.count("waiting_clients") == 3);
            for client in [&at_work, &in_queue, &watching] {
                let id = client.client_id.to_string();
                assert_eq!(
                    cmd("CLIENT").arg(&["UNBLOCK", &id, how]).number(&mut server.client()),
                    1
                );
            }
            for client in [at_work, in_queue, watching] {
                let error = client.reply().error();
                assert!(error.starts_with(prefix), "{how}: {error}");
            }
            assert_settled(&mut server);
            // Who was told that the time is over finds the result later; who was sent away is as good as gone.
            assert_stored(&server, &[photos::key_of(&payload)]);
            let found = get(how).reply(&mut server.client()).text_if_any();
            assert_eq!(found.is_some(), how == "TIMEOUT", "{how}");
        }
        assert_eq!(server.count("timed_out"), 3);
        assert_eq!(server.count("dropped"), 1);
    });
}

#[test]
fn after_a_timeout_the_result_is_there_all_the_same() {
    in_both_ways(|builder| {
        let mut server = builder.setting("timeout", 50).start();
        let mut client = server.client();
        for options in [&[] as &[&str], &["TIMEOUT", "1"]] {
            let payload = photos::slow(400);
            let error = recognize("k", &payload).arg(options).error(&mut client);
            assert!(error.starts_with("TIMEOUT "), "{error}");
            assert_eq!(get("k").arg(&["WAIT", "60000"]).text(&mut client), RED_RESULT);
            assert_eq!(recognize("k", &payload).text(&mut client), RED_RESULT);
        }
        assert_settled(&mut server);
        assert_eq!((computed(&server), server.count("timed_out")), (2, 2));
    });
}

/// At that very moment the server neither lets the module reply nor replies itself, if it is the one to keep the time.
#[test]
fn a_result_that_comes_with_the_timeout_is_not_lost() {
    // Where the machine is busy most of the jobs wait.
    let mut server = Server::with().setting("threads", 1).setting("queue-length", 3000).start();
    let mut client = server.client();
    let (mut results, mut timeouts) = (0, 0);
    for i in 0..3000 {
        let payload = photos::slow(i % 3);
        match recognize("k", &payload).arg(&["TIMEOUT", "2"]).reply(&mut client) {
            Reply::Error(error) if error.starts_with("TIMEOUT ") => timeouts += 1,
            Reply::Lost(error) => panic!("request {i} got no reply: {error}\n{:#?}", server.info()),
            reply => {
                assert_eq!(reply.text(), RED_RESULT);
                results += 1;
            }
        }
    }
    assert!(results > 0 && timeouts > 0, "{results} results, {timeouts} timeouts");
    assert_settled(&mut server);
}

#[test]
fn a_queue_that_is_full_by_count_refuses_only_what_needs_a_place() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 1).setting("queue-length", 1).start();
        let mut client = server.client();
        recognize("stored", &photos::red()).text(&mut client);
        let (first, busy) = occupy(&server, 1500);
        let second = photos::unique(&photos::red());
        let queued = server.send(&recognize("second", &second));
        wait_until("the queue is full", || server.count("queue_length") == 1);

        let new = photos::unique(&photos::red());
        let error = recognize("new", &new).error(&mut client);
        assert!(error.starts_with("QUEUEFULL ") && error.contains("image.queue-length"), "{error}");
        let error = recognize("stored", &photos::red()).arg("REFRESH").error(&mut client);
        assert!(error.starts_with("QUEUEFULL "), "{error}");
        let reply = recognize("new", &new).arg("NOWAIT").reply(&mut client);
        if reply != Reply::Value(Value::SimpleString("ACCEPTED".into())) {
            assert!(reply.error().starts_with("QUEUEFULL "));
        }
        assert_eq!(recognize("stored", &photos::red()).text(&mut client), RED_RESULT);
        let joined = [&first, &second].map(|payload| server.send(&recognize("joined", payload)));
        wait_until("two joined", || server.model_count("tiny", "joined") == 2);
        for pending in [busy, queued].into_iter().chain(joined) {
            assert_eq!(pending.reply().text(), RED_RESULT);
        }
        assert_eq!(recognize("new", &new).text(&mut client), RED_RESULT);
        assert_eq!(server.count("refused"), 3);
        assert_settled(&mut server);
    });
}

#[test]
fn a_queue_that_is_full_by_bytes_refuses_what_is_too_large() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 1).setting("queue-memory", "1mb").start();
        let mut client = server.client();
        recognize("stored", &photos::red()).text(&mut client);
        let large = || photos::slowed(&photos::padded(&photos::red(), 600_000), 1500);
        let first = large();
        let busy = server.send(&recognize("first", &first));
        wait_until("the worker is busy", || server.count("workers_busy") == 1);

        let error = recognize("new", &large()).error(&mut client);
        assert!(error.starts_with("QUEUEFULL ") && error.contains("image.queue-memory"), "{error}");
        let error = recognize("new", &large()).arg("NOWAIT").error(&mut client);
        assert!(error.starts_with("QUEUEFULL "), "{error}");
        let error = recognize("joined", &first).error(&mut client);
        assert!(error.starts_with("QUEUEFULL "), "who joins holds a payload, too: {error}");
        assert_eq!(recognize("stored", &photos::red()).text(&mut client), RED_RESULT);
        let small = photos::padded(&photos::red(), 300_000);
        let queued = server.send(&recognize("small", &small));
        wait_until("the small one queues", || server.count("queue_length") == 1);
        assert!((900_000..1 << 20).contains(&server.count("queue_bytes")));

        // A client that leaves gives its place back.
        drop(queued);
        wait_until("the small one is gone", || server.count("queue_bytes") < 900_000);
        let again = server.send(&recognize("small", &small));
        assert_eq!(busy.reply().text(), RED_RESULT);
        assert_eq!(again.reply().text(), RED_RESULT);
        assert_settled(&mut server);
    });
}

#[test]
fn sixty_four_clients_with_one_new_picture_cost_one_inference() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 4).start();
        let payload = photos::slow(1000);
        let pending: Vec<Pending> =
            (0..64).map(|_| server.send(&recognize(photos::key_of(&payload), &payload))).collect();
        for client in pending {
            assert_eq!(client.reply().text(), RED_RESULT);
        }
        assert_eq!((computed(&server), server.model_count("tiny", "joined")), (1, 63));
        assert_settled(&mut server);
    });
}

#[test]
fn a_panic_costs_one_request_however_it_was_hashed() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 1).start();
        let mut client = server.client();
        for _ in 0..5 {
            let error = recognize("k", &photos::panicking()).error(&mut client);
            assert!(error.starts_with("FAILED "), "{error}");
            assert_eq!(
                recognize("k", &photos::unique(&photos::red())).text(&mut client),
                RED_RESULT
            );
        }
        assert_eq!((server.count("workers"), server.model_count("tiny", "failed")), (1, 5));
        assert_settled(&mut server);
    });
}

#[test]
fn the_number_of_workers_follows_its_setting() {
    let mut server = crowded().start();
    for threads in [1, 40, 2, 8, 1] {
        let crowd = if threads == 1 { None } else { Some(Crowd::send(&server)) };
        config_set(&server, "image.threads", &threads.to_string());
        if threads == 40 {
            wait_until("all work", || server.count("workers_busy") > 30);
        }
        if let Some(crowd) = crowd {
            assert_eq!(crowd.results().len(), CROWD);
        }
        wait_until("the others have ended", || server.count("workers") == threads);
    }
    assert_settled(&mut server);
}

#[test]
fn where_nobody_may_wait_a_large_payload_is_hashed_on_the_spot() {
    let mut server = Server::with().setting("hash-inline", 0).start();
    let mut client = server.client();
    recognize("stored", &photos::red()).text(&mut client);
    let function = "#!lua name=tests\nredis.register_function('call', function(keys, arguments) \
                    return redis.pcall('IMAGE.RECOGNIZE', keys[1], unpack(arguments)) end)";
    cmd("FUNCTION").arg("LOAD").arg(function).text(&mut client);
    let script = "return redis.pcall('IMAGE.RECOGNIZE', KEYS[1], unpack(ARGV))";
    for place in ["MULTI", "EVAL", "FCALL"] {
        let ask = |client: &mut Connection, key: &str, payload: &[u8], options: &[&str]| match place
        {
            "MULTI" => {
                cmd("MULTI").text(client);
                assert_eq!(recognize(key, payload).arg(options).text(client), "QUEUED");
                match cmd("EXEC").reply(client) {
                    Reply::Value(Value::Array(mut replies)) => Reply::from(Ok(replies.remove(0))),
                    other => other,
                }
            }
            "EVAL" => {
                cmd(place).arg(script).arg(1).arg(key).arg(payload).arg(options).reply(client)
            }
            _ => cmd(place).arg("call").arg(1).arg(key).arg(payload).arg(options).reply(client),
        };
        let new = photos::unique(&photos::red());
        let refused = ask(&mut client, place, &new, &[]).error();
        assert!(refused.starts_with("NOWAITING "), "{place}: {refused}");
        assert_eq!(ask(&mut client, "stored", &photos::red(), &[]).text(), RED_RESULT, "{place}");
        assert_eq!(ask(&mut client, "stored", &photos::red(), &["NOWAIT"]).text(), "STORED");
        assert_eq!(ask(&mut client, place, &new, &["NOWAIT"]).text(), "ACCEPTED", "{place}");
        assert_eq!(get(place).arg(&["WAIT", "60000"]).text(&mut client), RED_RESULT, "{place}");
    }
    assert_settled(&mut server);
}

/// It has a data type, whose keys nobody else could read or free.
#[test]
fn the_module_is_never_unloaded() {
    let mut server = Server::start();
    let mut client = server.client();
    for _ in 0..2 {
        let error = cmd("MODULE").arg(&["UNLOAD", "image"]).error(&mut client);
        assert!(error.contains("data type"), "{error}");
        assert_eq!(recognize("k", &photos::unique(&photos::red())).text(&mut client), RED_RESULT);
    }
    assert_settled(&mut server);
}

#[test]
fn a_server_ends_cleanly_with_requests_under_way() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 4).start();
        for milliseconds in [300, 3_600_000] {
            let pending: Vec<Pending> = (0..CROWD)
                .map(|_| server.send(&recognize("k", &photos::slow(milliseconds))))
                .collect();
            wait_until("the workers are busy", || server.count("workers_busy") == 4);
            assert!(server.shutdown(&["NOSAVE"]).success(), "{}", server.log());
            for client in pending {
                let reply = client.reply();
                assert!(matches!(reply, Reply::Lost(_)) || reply.text() == RED_RESULT, "{reply:?}");
            }
            assert!(!server.log().contains("BUG REPORT"), "{}", server.log());
            server.start_again();
        }
    });
}

/// The data cannot be saved, so the server goes on.
#[test]
fn a_shutdown_that_fails_changes_nothing() {
    in_both_ways(|builder| {
        let mut server = builder.setting("threads", 4).start();
        std::fs::create_dir_all(server.folder().join("dump.rdb/in the way")).expect("a folder");
        let payloads: Vec<Vec<u8>> = (0..CROWD).map(|_| photos::slow(100)).collect();
        let pending: Vec<Pending> = payloads
            .iter()
            .map(|payload| server.send(&recognize(photos::key_of(payload), payload)))
            .collect();
        wait_until("the workers are busy", || server.count("workers_busy") == 4);
        let error = server.send(cmd("SHUTDOWN").arg("SAVE")).reply().error();
        assert!(error.starts_with("ERR "), "{error}");
        for client in pending {
            assert_eq!(client.reply().text(), RED_RESULT);
        }
        let keys: Vec<String> = payloads.iter().map(|payload| photos::key_of(payload)).collect();
        assert_stored(&server, &keys);
        let next = photos::unique(&photos::red());
        assert_eq!(recognize("next", &next).text(&mut server.client()), RED_RESULT);
        assert_settled(&mut server);
    });
}

/// Debian's own unit of redis-server kills it for what workers do to stand back.
#[test]
fn where_scheduling_is_forbidden_recognition_goes_on_without_it() {
    let mut server = Server::with().without_scheduling().start();
    recognize("image:1", &photos::red()).text(&mut server.client());
    assert!(server.is_alive());
    assert!(server.log().contains("scheduling is forbidden"), "{}", server.log());
}
