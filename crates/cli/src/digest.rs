//! SHA-256, as the module's keys have it.

use crate::error::Error;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Redis takes no longer argument by default (`proto-max-bulk-len`).
pub const MAX_PAYLOAD: u64 = 512 << 20;

pub fn of(payload: &[u8]) -> String {
    hex(Sha256::new().chain_update(payload))
}

/// Of a file, which is not kept in memory.
pub fn of_file(path: &Path) -> Result<String, Error> {
    let mut file = open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).map_err(|why| Error::file(path, why))? {
            0 => return Ok(hex(hash)),
            bytes => hash.update(&buffer[..bytes]),
        }
    }
}

pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut payload = Vec::new();
    // It may grow meanwhile.
    let mut file = open(path)?.take(MAX_PAYLOAD);
    file.read_to_end(&mut payload).map_err(|why| Error::file(path, why))?;
    Ok(payload)
}

fn open(path: &Path) -> Result<File, Error> {
    // Asked before it is opened: to open a pipe waits for its writer.
    let about = std::fs::metadata(path).map_err(|why| Error::file(path, why))?;
    if !about.is_file() {
        return Err(Error::file(path, "it is no regular file"));
    }
    if about.len() > MAX_PAYLOAD {
        return Err(Error::file(path, "it is longer than 512 MB, the most that Redis takes"));
    }
    File::open(path).map_err(|why| Error::file(path, why))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
