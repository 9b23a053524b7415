//! Galleries: their commands, vectors, and parts of replies.

use super::{Ask, Reply, Server};
use base64::Engine;
use redis::{Cmd, Connection, FromRedisValue, Value, cmd};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The length of the vectors that the tests make.
pub const DIMENSIONS: usize = 32;
pub const MODEL: &str = "faces";
pub const SPACE: &str = "0badcafe";

/// A pseudo-random vector of unit length, the same for the same number.
pub fn vector(number: u64) -> Vec<f32> {
    vector_of(number, DIMENSIONS)
}

pub fn vector_of(number: u64, dimensions: usize) -> Vec<f32> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..dimensions).map(|_| next()).collect();
    unit(&values)
}

pub fn unit(values: &[f32]) -> Vec<f32> {
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    values.iter().map(|value| (f64::from(*value) / length) as f32).collect()
}

/// The vector as an argument of a command.
pub fn blob(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The embedding of the first face in a result, or of the whole picture.
pub fn embedding(result: &str) -> Vec<u8> {
    let result: Json = serde_json::from_str(result).expect("JSON");
    let text = result["faces"][0]["embedding"].as_str().or(result["embedding"].as_str());
    base64::engine::general_purpose::STANDARD.decode(text.expect("an embedding")).expect("base64")
}

/// Enrols a made-up vector, in a space that belongs to no model.
pub fn enrol(gallery: &str, subject: &str, vector: &[f32]) -> Cmd {
    cmd("IMAGE.ENROLL")
        .arg(gallery)
        .arg(subject)
        .arg("VECTOR")
        .arg(blob(vector))
        .arg(&["MODEL", MODEL, "SPACE", SPACE])
        .take()
}

pub fn enrol_photo(gallery: &str, subject: &str, photo: &[u8]) -> Cmd {
    cmd("IMAGE.ENROLL").arg(gallery).arg(subject).arg(photo).take()
}

pub fn identify(gallery: &str, vector: &[f32]) -> Cmd {
    cmd("IMAGE.IDENTIFY")
        .arg(gallery)
        .arg("VECTOR")
        .arg(blob(vector))
        .arg(&["THRESHOLD", "0.9"])
        .take()
}

pub fn identify_photo(gallery: &str, photo: &[u8]) -> Cmd {
    cmd("IMAGE.IDENTIFY").arg(gallery).arg(photo).take()
}

pub fn identify_stored(gallery: &str, key: &str) -> Cmd {
    cmd("IMAGE.IDENTIFY_STORED").arg(gallery).arg(key).take()
}

pub fn forget(gallery: &str, subject: &str) -> Cmd {
    cmd("IMAGE.FORGET").arg(gallery).arg(subject).take()
}

/// A reply that is a map, in either protocol.
#[track_caller]
pub fn map(reply: &Reply) -> BTreeMap<String, Value> {
    BTreeMap::from_redis_value(reply.value()).expect("a map")
}

#[track_caller]
pub fn entry<T: FromRedisValue>(reply: &Reply, name: &str) -> T {
    let map = map(reply);
    let value = map.get(name).unwrap_or_else(|| panic!("no {name} in {map:?}"));
    T::from_redis_value(value.clone()).expect(name)
}

#[track_caller]
pub fn json(command: &Cmd, client: &mut Connection) -> Json {
    serde_json::from_str(&command.text(client)).expect("JSON")
}

/// The subject of the first face; `None` for a stranger.
#[track_caller]
pub fn who(command: &Cmd, client: &mut Connection) -> Option<String> {
    who_in(&command.text(client))
}

#[track_caller]
pub fn who_in(answer: &str) -> Option<String> {
    let answer: Json = serde_json::from_str(answer).expect("JSON");
    answer["faces"][0]["subject"].as_str().map(str::to_owned)
}

/// One number from `IMAGE.GALLERY`.
#[track_caller]
pub fn total(server: &Server, gallery: &str, name: &str) -> i64 {
    let reply = cmd("IMAGE.GALLERY").arg(gallery).reply(&mut server.client());
    entry(&reply, name)
}

/// All subjects and their samples, read page by page.
#[track_caller]
pub fn subjects(server: &Server, gallery: &str) -> BTreeMap<String, Vec<i64>> {
    let mut client = server.client();
    let mut all = BTreeMap::new();
    let mut cursor = "0".to_owned();
    loop {
        let mut command = cmd("IMAGE.SUBJECTS").arg(gallery).arg(&cursor).take();
        let reply = command.arg(&["COUNT", "7"]).value(&mut client);
        let (next, page): (String, Vec<BTreeMap<String, Value>>) =
            redis::from_redis_value(reply).expect("a cursor and a page");
        for mut subject in page {
            let mut take = |name: &str| subject.remove(name).expect("an entry");
            let name = String::from_redis_value(take("subject")).expect("a name");
            let samples = Vec::from_redis_value(take("samples")).expect("ids");
            assert_eq!(all.insert(name, samples), None, "listed twice");
        }
        if next == "0" {
            return all;
        }
        cursor = next;
    }
}

/// `DEBUG DIGEST-VALUE` of a key.
#[track_caller]
pub fn digest(server: &Server, key: &str) -> String {
    cmd("DEBUG").arg("DIGEST-VALUE").arg(key).list(&mut server.client())[0].clone()
}

#[track_caller]
pub fn dump(server: &Server, key: &str) -> Vec<u8> {
    redis::from_redis_value(cmd("DUMP").arg(key).value(&mut server.client())).expect("bytes")
}

/// Whether the bytes contain the vector.
pub fn holds(haystack: &[u8], vector: &[f32]) -> bool {
    // Its first four numbers are enough to identify it.
    let needle = blob(&vector[..4]);
    haystack.windows(needle.len()).any(|window| window == needle)
}
