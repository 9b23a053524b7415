//! Forget means forgotten: no byte of an embedding is found where FORGET says that it reaches.

use crate::support::galleries::*;
use crate::support::*;
use redis::cmd;
use std::path::Path;

/// All files of a folder, and of its folders, but for those that go meanwhile.
fn files(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        all.extend(if path.is_dir() {
            files(&path)
        } else {
            std::fs::read(&path).unwrap_or_default()
        });
    }
    all
}

#[test]
fn no_byte_of_a_forgotten_embedding_remains() {
    let master = Server::with()
        .append_only()
        .config("aof-use-rdb-preamble", "no")
        .config("rdbcompression", "no")
        .config("auto-aof-rewrite-percentage", 0)
        .start();
    let replica = Server::with().config("rdbcompression", "no").replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    for number in 0..400 {
        enrol("g", &format!("s{}", number % 100), &vector(number)).value(&mut client);
    }
    let forgotten: Vec<u64> = vec![0, 100, 200, 300, 57, 157, 257, 357, 399];
    let data = master.folder().join("appendonlydir");
    assert!(forgotten.iter().all(|number| holds(&dump(&master, "g"), &vector(*number))));
    // The server puts a write off while the disk is busy.
    wait_until("the log holds them", || {
        forgotten.iter().all(|number| holds(&files(&data), &vector(*number)))
    });

    for subject in ["s0", "s57"] {
        forget("g", subject).value(&mut client);
    }
    forget("g", "s99").arg("400").value(&mut client);
    cmd("BGREWRITEAOF").reply(&mut client);
    wait_until("the rewrite", || {
        let info = master.info_of("persistence");
        info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
    });
    replica.wait_for_sync(&master);
    for server in [&master, &replica] {
        cmd("SAVE").text(&mut server.client());
        let places = [
            ("DUMP", dump(server, "g")),
            ("the RDB file", std::fs::read(server.folder().join("dump.rdb")).expect("a file")),
        ];
        for (place, bytes) in &places {
            for number in &forgotten {
                assert!(!holds(bytes, &vector(*number)), "{number} in {place}");
            }
            assert!(holds(bytes, &vector(98)), "who was not forgotten is in {place}");
        }
        for number in &forgotten {
            assert_eq!(who(&identify("g", &vector(*number)), &mut server.client()), None);
        }
    }
    wait_until("the old file is gone", || {
        forgotten.iter().all(|number| !holds(&files(&data), &vector(*number)))
    });
    assert!(holds(&files(&data), &vector(98)));
}

/// What lies in the process: its memory is read as a debugger would.
#[test]
fn the_server_s_memory_holds_no_row_of_who_was_forgotten() {
    let server = Server::with().config("repl-backlog-size", "16kb").start();
    let mut client = server.client();
    for number in 0..300 {
        enrol("g", &format!("s{number}"), &vector_of(number, 512)).value(&mut client);
    }
    let occurrences = |number: u64| {
        let needle = blob(&vector_of(number, 512)[400..408]);
        memory(server.pid()).iter().map(|part| count(part, &needle)).sum::<usize>()
    };
    assert!(occurrences(5) >= 1);
    for number in 0..150 {
        forget("g", &format!("s{number}")).value(&mut client);
    }
    // Buffers of the connection and of the query are overwritten by the next ones.
    drop(client);
    let mut client = server.client();
    for number in 1000..1300 {
        enrol("other", &format!("s{number}"), &vector_of(number, 512)).value(&mut client);
    }
    assert!(occurrences(200) >= 1);
    for number in [5, 77, 149] {
        assert_eq!(occurrences(number), 0, "{number}");
    }
}

fn memory(pid: u32) -> Vec<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps");
    let mut file = std::fs::File::open(format!("/proc/{pid}/mem")).expect("mem");
    let mut parts = Vec::new();
    for line in maps.lines().filter(|line| line.contains("rw-p")) {
        let (range, _) = line.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("a range");
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).expect("hex"));
        let mut bytes = vec![0; (end - start) as usize];
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut bytes));
        if read.is_ok() {
            parts.push(bytes);
        }
    }
    parts
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    // Numbers are aligned wherever they lie as numbers.
    let (first, rest) = needle.split_at(4);
    let words = haystack.chunks_exact(4).enumerate();
    words.filter(|(at, word)| *word == first && haystack[at * 4 + 4..].starts_with(rest)).count()
}
