//! Many at once: enrolling, identifying, saving, rewriting, copying, flushing; and a hundred thousand subjects.

use crate::support::crowd::data_digest;
use crate::support::galleries::*;
use crate::support::*;
use redis::{Value, cmd};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

const CLIENTS: u64 = 8;

/// How often data is saved, or its file rewritten, and how many subjects each client leaves.
const SAVES: usize = 200;
const KEPT: u64 = 100;

#[test]
fn eight_enrol_while_eight_identify_and_one_saves_rewrites_copies_and_flushes() {
    let mut server = Server::with()
        .append_only()
        .config("appendfsync", "no")
        .config("auto-aof-rewrite-percentage", 0)
        .start();
    let replica = Server::with().replica_of(&server).start();
    replica.wait_for_sync(&server);
    enrol("g", "first", &vector(0)).value(&mut server.client());
    let (flushed, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let answers = AtomicU64::new(0);
    let kept: Vec<u64> = std::thread::scope(|scope| {
        let (server, flushed, over, answers) = (&server, &flushed, &over, &answers);
        let _ends = EndsThem(over);
        let writers: Vec<_> = (1..=CLIENTS)
            .map(|number| scope.spawn(move || enrol_and_forget(server, number, flushed, over)))
            .collect();
        for client_number in 1..=CLIENTS {
            scope.spawn(move || {
                let mut client = server.client();
                for step in 0.. {
                    if over.load(Relaxed) {
                        return;
                    }
                    let number = client_number * FIRST_OF + step % 1000;
                    match identify("g", &vector(number)).reply(&mut client) {
                        Reply::Error(error) => {
                            let gone = ["NOGALLERY ", "STALE "];
                            assert!(gone.iter().any(|word| error.starts_with(word)), "{error}");
                        }
                        reply => {
                            let found = who_in(&reply.text());
                            assert!(found.is_none_or(|found| found == format!("s{number}")));
                            answers.fetch_add(1, Relaxed);
                        }
                    }
                }
            });
        }
        let mut client = server.client();
        for round in 0..SAVES {
            if round == SAVES / 2 {
                cmd("FLUSHALL").text(&mut client);
                flushed.store(true, Relaxed);
            }
            cmd(["BGREWRITEAOF", "BGSAVE"][round % 2]).text(&mut client);
            cmd("COPY").arg(&["g", "copy", "REPLACE"]).number(&mut client);
            cmd("MEMORY").arg(&["USAGE", "copy"]).reply(&mut client);
            wait_until("the child has ended", || {
                let info = server.info_of("persistence");
                ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                    .iter()
                    .all(|name| info[*name] == "0")
            });
        }
        over.store(true, Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
    });
    assert!(answers.load(Relaxed) > 50);
    let info = server.info_of("persistence");
    for status in ["rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"] {
        assert_eq!(info[status], "ok", "{status}");
    }
    wait_until("no call is open", || server.count("gallery_calls") == 0);

    assert_eq!(total(&server, "g", "samples"), kept.len() as i64);
    let mut client = server.client();
    for number in &kept {
        let found = who(&identify("g", &vector(*number)), &mut client);
        assert_eq!(found, Some(format!("s{number}")));
    }
    replica.wait_for_sync(&server);
    let before = data_digest(&server);
    assert_eq!(data_digest(&replica), before);
    server.kill();
    server.start_again();
    assert_eq!(data_digest(&server), before);
}

/// Lets threads end that go on until they are told, also after a failed assertion.
struct EndsThem<'a>(&'a AtomicBool);

impl Drop for EndsThem<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The first subject's number of a client is its own times this.
const FIRST_OF: u64 = 1_000_000;

/// Enrols one after the other and forgets who is older than the last hundred; gives who is left.
fn enrol_and_forget(
    server: &Server,
    client_number: u64,
    flushed: &AtomicBool,
    over: &AtomicBool,
) -> Vec<u64> {
    let mut client = server.client();
    let mut enrolled = VecDeque::new();
    let mut last_may_be_flushed = u64::MAX;
    for number in client_number * FIRST_OF.. {
        if last_may_be_flushed == u64::MAX && flushed.load(Relaxed) {
            last_may_be_flushed = number - 1;
        }
        let are_kept = number > last_may_be_flushed.saturating_add(KEPT);
        if over.load(Relaxed) && (are_kept || !flushed.load(Relaxed)) {
            break;
        }
        enrol("g", &format!("s{number}"), &vector(number)).value(&mut client);
        enrolled.push_back(number);
        if enrolled.len() as u64 > KEPT {
            let oldest = enrolled.pop_front().expect("a hundred");
            if let Reply::Error(error) = forget("g", &format!("s{oldest}")).reply(&mut client) {
                let gone = error.starts_with("NOSUBJECT ") || error.starts_with("NOGALLERY ");
                assert!(gone && oldest <= last_may_be_flushed, "s{oldest}: {error}");
            }
        }
    }
    enrolled.into()
}

#[test]
fn a_flush_in_the_middle_ends_searches_clearly() {
    let mut server = Server::start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (server, over) = (&server, &over);
        let _ends = EndsThem(over);
        for client_number in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = server.client();
                for step in 0.. {
                    if over.load(Relaxed) {
                        return;
                    }
                    let number = client_number * 1000 + step % 50;
                    let reply = match step % 3 {
                        0 => enrol("g", &format!("s{number}"), &vector(number)).reply(&mut client),
                        1 => identify("g", &vector(number)).reply(&mut client),
                        _ => forget("g", &format!("s{number}")).reply(&mut client),
                    };
                    if let Reply::Error(error) = reply {
                        let known = ["NOGALLERY ", "NOSUBJECT ", "STALE "];
                        assert!(known.iter().any(|word| error.starts_with(word)), "{error}");
                    }
                }
            });
        }
        let mut client = server.client();
        for round in 0..40 {
            wait_until("there is a gallery", || cmd("EXISTS").arg("g").number(&mut client) == 1);
            cmd("FLUSHALL").arg(["SYNC", "ASYNC"][round % 2]).text(&mut client);
        }
        over.store(true, Relaxed);
    });
    assert!(server.is_alive());
    wait_until("no call is open", || server.count("gallery_calls") == 0);
    cmd("FLUSHALL").text(&mut server.client());
    wait_until("all galleries are freed", || server.count("galleries") == 0);
    assert_eq!(server.count("gallery_bytes"), 0);
    assert_eq!(server.count("queue_bytes"), 0);
}

#[test]
fn a_hundred_thousand_subjects_are_enrolled_and_found() {
    const SUBJECTS: u64 = 100_000;
    let server = Server::start();
    let mut client = server.client();
    for batch in 0..SUBJECTS / 1000 {
        let mut pipe = redis::pipe();
        for number in batch * 1000..(batch + 1) * 1000 {
            pipe.add_command(enrol("g", &format!("s{number}"), &vector_of(number, 128))).ignore();
        }
        pipe.query::<()>(&mut client).expect("enrolled");
    }
    assert_eq!(total(&server, "g", "subjects"), SUBJECTS as i64);
    assert_eq!(server.count("gallery_samples"), SUBJECTS as i64);
    for number in [0, 1, 4_711, 50_000, SUBJECTS - 1] {
        let found = who(&identify("g", &vector_of(number, 128)), &mut client);
        assert_eq!(found, Some(format!("s{number}")));
    }
    let listed: (String, Vec<Value>) = redis::from_redis_value(
        cmd("IMAGE.SUBJECTS").arg("g").arg(&["COUNT", "10000"]).value(&mut client),
    )
    .expect("a page");
    assert_eq!(listed.1.len(), 10_000);
}

/// A gallery whose search takes its time.
fn large() -> Server {
    let server = Server::with().setting("timeout", 600_000).start();
    let mut client = server.client();
    for batch in 0..50 {
        let mut pipe = redis::pipe();
        for number in batch * 1000..(batch + 1) * 1000 {
            pipe.add_command(enrol("g", &format!("s{number}"), &vector_of(number, 512))).ignore();
        }
        pipe.query::<()>(&mut client).expect("enrolled");
    }
    server
}

fn used_memory(server: &Server) -> i64 {
    server.info_of("memory")["used_memory"].parse().expect("a number")
}

/// Each of them could keep a version of its own of the rows that an enrolment changes, a megabyte.
#[test]
fn calls_that_wait_keep_no_versions_of_the_rows() {
    let server = large();
    let mut client = server.client();
    let before = used_memory(&server);
    let mut most = 0;
    let waiting: Vec<_> = (0..200)
        .map(|number| {
            let pending = server.send(&identify("g", &vector_of(number, 512)));
            let subject = format!("late {number}");
            enrol("g", &subject, &vector_of(1_000_000 + number, 512)).value(&mut client);
            most = most.max(used_memory(&server));
            pending
        })
        .collect();
    for (number, pending) in waiting.into_iter().enumerate() {
        assert_eq!(who_in(&pending.reply().text()), Some(format!("s{number}")));
    }
    assert!(most - before < 40 << 20, "{} MB more", (most - before) >> 20);
}

/// Nothing is searched for whoever has gone: else the others would wait for it.
#[test]
fn calls_that_were_given_up_are_not_searched_for() {
    let server = large();
    let ask = identify("g", &vector_of(7, 512));
    let (rounds, calls) = (10, 100);
    for _ in 0..rounds {
        let clients: Vec<_> = (0..calls).map(|_| server.client()).collect();
        let given_up: Vec<_> =
            clients.into_iter().map(|client| Pending::send(client, &ask)).collect();
        wait_until("they are under way", || server.count("gallery_calls") > 0);
        drop(given_up);
    }
    assert_eq!(who(&ask, &mut server.client()), Some("s7".to_owned()));
    wait_until("no call is open", || server.count("gallery_calls") == 0);
    let searches = server.count("searches");
    assert!(searches < rounds * calls, "{searches} searches");
}
