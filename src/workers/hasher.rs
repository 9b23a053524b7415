//! The thread that hashes large payloads.

use super::completions::{self, Completion};
use super::queue;
use crate::digest::Digest;

pub fn hash_until_closed() {
    while let Some((request, payload)) = queue::next_hash() {
        let digest = Digest::of(payload.bytes());
        completions::post(Completion::Hashed { request, payload, digest });
    }
}
