//! Pictures: made here, or real photos that `make photos` fetches from packages.

use super::skip;
use image::{ImageFormat, Rgb, RgbImage};
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

pub const RED: [u8; 3] = [255, 0, 0];
pub const GREEN: [u8; 3] = [0, 255, 0];
pub const BLUE: [u8; 3] = [0, 0, 255];

/// A picture of one colour.
pub fn picture(colour: [u8; 3], width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, Rgb(colour)).write_to(&mut file, format).expect("encodes");
    file.into_inner()
}

pub fn png(colour: [u8; 3]) -> Vec<u8> {
    picture(colour, 40, 30, ImageFormat::Png)
}

/// Always the same bytes. `unique(&red())` shows the same picture in other bytes.
pub fn red() -> Vec<u8> {
    png(RED)
}

pub fn green() -> Vec<u8> {
    png(GREEN)
}

pub fn blue() -> Vec<u8> {
    png(BLUE)
}

/// The same picture with a digest of its own: the new bytes come after the end of the file, where no decoder reads.
pub fn unique(payload: &[u8]) -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    followed_by(
        payload,
        &format!("#nonce:{}:{}#", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
    )
}

/// `payload` with a digest of its own, padded to `bytes`.
pub fn padded(payload: &[u8], bytes: usize) -> Vec<u8> {
    let mut padded = unique(payload);
    assert!(padded.len() <= bytes, "the picture alone is larger");
    padded.resize(bytes, 0);
    padded
}

/// A new red picture. A worker sleeps before it recognises it.
pub fn slow(milliseconds: u64) -> Vec<u8> {
    slowed(&unique(&red()), milliseconds)
}

/// `payload`, with a switch that makes a worker sleep first.
pub fn slowed(payload: &[u8], milliseconds: u64) -> Vec<u8> {
    followed_by(payload, &format!("#test:sleep={milliseconds}#"))
}

/// A new picture, with a switch that makes a worker panic.
pub fn panicking() -> Vec<u8> {
    followed_by(&unique(&red()), "#test:panic#")
}

pub fn followed_by(payload: &[u8], text: &str) -> Vec<u8> {
    [payload, text.as_bytes()].concat()
}

/// SHA-256 in hex, as in the module's keys.
pub fn digest(payload: &[u8]) -> String {
    Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key that `IMAGE.RECOGNIZE_AUTO` gives to `payload`.
pub fn key_of(payload: &[u8]) -> String {
    format!("image:{}", digest(payload))
}

/// A real photo from a package. Without it the test is skipped.
pub fn photo(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        skip(format!("{}: {error}: `make photos` fetches it", path.display()))
    })
}

/// Where `make photos` puts them.
pub fn folder() -> PathBuf {
    match std::env::var_os("REDIS_IMAGE_PHOTOS") {
        Some(folder) => folder.into(),
        None => super::repository().join("target/photos"),
    }
}
