//! Many at once: enrolling, identifying, saving, rewriting, copying, flushing; and a hundred thousand subjects.

use crate::support::crowd::data_digest;
use crate::support::galleries::*;
use crate::support::*;
use redis::{Value, cmd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

const CLIENTS: u64 = 8;

#[test]
fn eight_enrol_while_eight_identify_and_one_saves_rewrites_and_copies() {
    let mut server = Server::with()
        .append_only()
        .config("appendfsync", "no")
        .config("auto-aof-rewrite-percentage", 0)
        .start();
    enrol("g", "first", &vector(0)).value(&mut server.client());
    let (over, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (server, over, answers) = (&server, &over, &answers);
        let writers: Vec<_> = (1..=CLIENTS)
            .map(|client_number| {
                scope.spawn(move || {
                    let mut client = server.client();
                    for step in 0..150 {
                        let number = client_number * 10_000 + step;
                        let subject = format!("s{number}");
                        enrol("g", &subject, &vector(number)).value(&mut client);
                        if step % 3 == 0 {
                            forget("g", &subject).value(&mut client);
                        }
                    }
                })
            })
            .collect();
        for client_number in 1..=CLIENTS {
            scope.spawn(move || {
                let mut client = server.client();
                for step in 0.. {
                    if over.load(Relaxed) {
                        return;
                    }
                    let number = client_number * 10_000 + step % 150;
                    let found = who(&identify("g", &vector(number)), &mut client);
                    assert!(found.is_none_or(|found| found == format!("s{number}")));
                    answers.fetch_add(1, Relaxed);
                }
            });
        }
        scope.spawn(move || {
            let mut client = server.client();
            for round in 0.. {
                if over.load(Relaxed) {
                    return;
                }
                let command = ["BGREWRITEAOF", "BGSAVE"][round % 2];
                cmd(command).reply(&mut client);
                cmd("COPY").arg(&["g", "copy", "REPLACE"]).number(&mut client);
                cmd("MEMORY").arg(&["USAGE", "g"]).number(&mut client);
                wait_until("the child has ended", || {
                    let info = server.info_of("persistence");
                    ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                        .iter()
                        .all(|name| info[*name] == "0")
                });
            }
        });
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        wait_until("they are answered", || answers.load(Relaxed) > 50);
        over.store(true, Relaxed);
    });
    assert!(server.is_alive());
    assert_eq!(total(&server, "g", "samples"), 8 * 100 + 1);
    wait_until("no call is open", || server.count("gallery_calls") == 0);
    assert!(server.count("searches") > 50);
    let before = data_digest(&server);
    server.kill();
    server.start_again();
    assert_eq!(data_digest(&server), before);
}

#[test]
fn a_flush_in_the_middle_ends_searches_clearly() {
    let mut server = Server::start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (server, over) = (&server, &over);
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
    let mut seconds = 0.0;
    for batch in 0..SUBJECTS / 1000 {
        let mut pipe = redis::pipe();
        for number in batch * 1000..(batch + 1) * 1000 {
            pipe.add_command(enrol("g", &format!("s{number}"), &vector_of(number, 128))).ignore();
        }
        let start = Instant::now();
        pipe.query::<()>(&mut client).expect("enrolled");
        seconds += start.elapsed().as_secs_f64();
    }
    println!("{:.0} subjects a second, pipelined by 1000", SUBJECTS as f64 / seconds);
    assert_eq!(total(&server, "g", "subjects"), SUBJECTS as i64);
    assert_eq!(server.count("gallery_samples"), SUBJECTS as i64);
    for number in [0, 1, 4_711, 50_000, SUBJECTS - 1] {
        let found = who(&identify("g", &vector_of(number, 128)), &mut client);
        assert_eq!(found, Some(format!("s{number}")));
    }
    println!("search p50 {} ms", server.info()["search_ms_p50"]);
    let listed: (String, Vec<Value>) = redis::from_redis_value(
        cmd("IMAGE.SUBJECTS").arg("g").arg(&["COUNT", "10000"]).value(&mut client),
    )
    .expect("a page");
    assert_eq!(listed.1.len(), 10_000);
}
