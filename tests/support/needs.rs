//! What a test may need that not every machine has. Where it is missing, the test is skipped and says what would
//! fetch it.

use super::{Ask, Server, repository};
use harness::skip;
use std::path::PathBuf;
use std::process::Command;

/// A command that not every server knows, such as `CLUSTER|MIGRATESLOTS`.
pub fn command(server: &Server, name: &str) {
    let known = redis::cmd("COMMAND").arg(&["INFO", name]).value(&mut server.client());
    if format!("{known:?}").contains("[nil]") {
        skip(format!("this server has no {}", name.replace('|', " ")));
    }
}

/// A server that was built with TLS.
pub fn tls() {
    // It ends at once, since it has no certificate. What it says before that tells.
    let folder = tempfile::tempdir().expect("a folder");
    let tried = Command::new(super::server::program())
        .args(["--port", "0", "--save", "", "--tls-port", &super::server::free_port().to_string()])
        .current_dir(folder.path())
        .output()
        .expect("redis-server is installed");
    let said = [tried.stdout, tried.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if said.contains("Failed finding TLS support") || said.contains("Bad directive") {
        skip("this server was built without TLS");
    }
}

/// The folder of one of the repository's models, with its weights.
pub fn model(name: &str) -> PathBuf {
    let folder = repository().join("models").join(name);
    let manifest = std::fs::read_to_string(folder.join("model.toml")).expect("a manifest");
    for line in manifest.lines() {
        let Some(file) = line.strip_prefix("file = ") else { continue };
        let file = file.trim_matches('"');
        if !folder.join(file).exists() {
            skip(format!("models/{name}/{file} is missing: `make models` fetches it"));
        }
    }
    folder
}

/// The folder of all of the repository's models, with their weights.
pub fn models() -> PathBuf {
    let folder = repository().join("models");
    for entry in std::fs::read_dir(&folder).expect("models") {
        let entry = entry.expect("readable");
        if entry.path().is_dir() {
            model(entry.file_name().to_str().expect("a plain name"));
        }
    }
    folder
}

/// The library of onnxruntime.
pub fn onnxruntime() -> PathBuf {
    let files = std::fs::read_dir(repository().join("onnxruntime")).into_iter().flatten();
    let newest = files.map(|entry| entry.expect("readable").path()).max();
    newest.unwrap_or_else(|| skip("onnxruntime is missing: `make onnxruntime` fetches it"))
}

/// Python's package index, and the pip that the repository's scripts use.
pub fn package_index() {
    let ask = Command::new(repository().join(".venv/bin/python"))
        .args(["-m", "pip", "--disable-pip-version-check", "index", "versions", "pip"])
        .output();
    if !ask.is_ok_and(|output| output.status.success()) {
        skip("no package index answers: `make models` makes .venv, and the index needs a network");
    }
}

/// The shared folder: see [`super::shared`].
pub fn shared() -> PathBuf {
    super::shared().unwrap_or_else(|| skip("there is no shared folder (REDIS_IMAGE_SHARED)"))
}
