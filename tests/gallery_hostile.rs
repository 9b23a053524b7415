//! Dumps that somebody has tampered with: RESTORE refuses them or gives a sound gallery, and the server lives.

use crate::support::galleries::*;
use crate::support::*;
use redis::{Connection, Value, cmd};

/// Redis's checksum: CRC-64, reflected, polynomial 0xad93d23594c935a9.
fn crc64(bytes: &[u8]) -> u64 {
    const REFLECTED: u64 = 0xad93_d235_94c9_35a9_u64.reverse_bits();
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ REFLECTED } else { crc >> 1 }
        })
    })
}

/// Makes the checksum at the end right again.
fn signed(mut dump: Vec<u8>) -> Vec<u8> {
    let body = dump.len() - 8;
    let crc = crc64(&dump[..body]);
    dump[body..].copy_from_slice(&crc.to_le_bytes());
    dump
}

/// `sanitize-dump-payload` keeps Redis's own types sound, should a byte turn a gallery into one.
fn server() -> Server {
    Server::with().config("sanitize-dump-payload", "yes").start()
}

fn small_gallery(server: &Server) -> Vec<u8> {
    let mut client = server.client();
    for number in 0..3 {
        enrol("g", ["alice", "bob"][number as usize % 2], &vector_of(number, 3)).value(&mut client);
    }
    forget("g", "nobody").reply(&mut client);
    let dumped = dump(server, "g");
    assert_eq!(signed(dumped.clone()), dumped, "the checksum of the test is Redis's");
    dumped
}

/// Restores it; what that gives must be refused or sound. True if it was accepted.
fn probe(client: &mut Connection, dump: &[u8], what: &str) -> bool {
    cmd("DEL").arg("r").number(client);
    match cmd("RESTORE").arg("r").arg(0).arg(dump).reply(client) {
        Reply::Lost(error) => panic!("{what}: {error}"),
        Reply::Error(_) => return false,
        Reply::Value(_) => (),
    }
    if cmd("TYPE").arg("r").text(client) != "imagegall" {
        return false;
    }
    let gallery = cmd("IMAGE.GALLERY").arg("r").reply(client);
    let (samples, dimensions): (i64, usize) =
        (entry(&gallery, "samples"), entry(&gallery, "dimensions"));
    let mut query = cmd("IMAGE.IDENTIFY").arg("r").arg("VECTOR").take();
    let answer = json(query.arg(blob(&vector_of(1, dimensions))).arg(&["THRESHOLD", "-1"]), client);
    for candidate in answer["faces"][0]["candidates"].as_array().expect("a list") {
        let similarity = candidate["similarity"].as_f64().expect("a number");
        assert!((-1.0..=1.0).contains(&similarity), "{what}: {answer}");
    }
    let page = cmd("IMAGE.SUBJECTS").arg("r").value(client);
    let (_, listed): (String, Vec<std::collections::BTreeMap<String, Value>>) =
        redis::from_redis_value(page).expect(what);
    let ids: usize = listed
        .iter()
        .map(|subject| redis::from_redis_value::<usize>(subject["count"].clone()).expect(what))
        .sum();
    assert_eq!(ids as i64, samples, "{what}");
    let again: Vec<u8> = redis::from_redis_value(cmd("DUMP").arg("r").value(client)).expect(what);
    cmd("RESTORE").arg("r").arg(0).arg(again).arg("REPLACE").text(client);
    true
}

#[test]
fn every_flipped_byte_is_refused_or_harmless() {
    let mut server = server();
    let good = small_gallery(&server);
    let mut client = server.client();
    assert!(probe(&mut client, &good, "as it is"));
    for position in 0..good.len() - 10 {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[position] ^= flip;
            probe(&mut client, &signed(bad), &format!("byte {position} ^ {flip:#x}"));
        }
    }
    assert!(server.is_alive());
    assert_eq!(total(&server, "g", "samples"), 3, "what was there is still there");
}

#[test]
fn every_truncation_is_refused() {
    let mut server = server();
    let good = small_gallery(&server);
    let mut client = server.client();
    let (body, footer) = good.split_at(good.len() - 10);
    for len in 0..body.len() {
        let cut = signed([&body[..len], footer].concat());
        assert!(!probe(&mut client, &cut, &format!("the first {len} bytes")));
    }
    assert!(server.is_alive());
}

#[test]
fn absurd_counts_are_refused() {
    let mut server = server();
    let good = small_gallery(&server);
    let mut client = server.client();
    let (body, footer) = good.split_at(good.len() - 10);
    // A number of Redis's form that says 64 bits follow, in place of any byte.
    for number in [u64::MAX, 1 << 63, 1 << 40, u64::from(u32::MAX), 1 << 20] {
        let absurd = [&[0x81][..], &number.to_be_bytes()].concat();
        for position in 10..body.len() {
            let changed = [&body[..position], &absurd, &body[position + 1..], footer].concat();
            probe(&mut client, &signed(changed), &format!("{number:#x} at {position}"));
        }
    }
    assert!(server.is_alive());
    let used: i64 = server.info_of("memory")["used_memory_peak"].parse().expect("bytes");
    assert!(used < 1 << 30, "{used} bytes at the peak");
}
