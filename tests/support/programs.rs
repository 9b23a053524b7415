//! The programs in `examples/`, one for each client library, run as a user would run them.

use super::server::free_port;
use super::{Ask, PATIENCE, Server, photos, repository, skip, wait_for};
use redis::cmd;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// How a program is started. Where its client library is missing, the test is skipped.
pub type Program = fn() -> Command;

/// A Python program, with the libraries from `make clients`.
pub fn python(name: &str) -> Command {
    python_at(&example(name))
}

/// The same for a program that is not in `examples/`.
pub fn python_at(path: &Path) -> Command {
    let interpreter = fetched("venv/bin/python");
    let mut command = Command::new(interpreter);
    command.arg(path);
    command
}

/// A JavaScript program. `package` is the library that it imports.
pub fn node(name: &str, package: &str) -> Command {
    let interpreter = fetched("node");
    let folder = clients();
    fetched(&format!("node_modules/{package}"));
    // Next to its libraries, where its imports are found.
    for file in [name, "story.mjs"] {
        let copy = folder.join(format!("{file}.{}", free_port()));
        std::fs::copy(example(file), &copy).expect("the example is copied");
        std::fs::rename(&copy, folder.join(file)).expect("the copy takes its name");
    }
    let mut command = Command::new(interpreter);
    command.arg(folder.join(name)).env("PACKAGE", package);
    command
}

/// A program whose interpreter and library come from the system.
pub fn interpreted(interpreter: &str, check: &[&str], name: &str) -> Command {
    let works = Command::new(interpreter)
        .args(check)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        skip(format!("{interpreter}, or its client library, is not installed here"));
    }
    let mut command = Command::new(interpreter);
    command.arg(example(name));
    command
}

/// A Rust program that is built with the tests.
pub fn built(name: &str) -> Command {
    let test = std::env::current_exe().expect("the test's own path");
    let path = test.ancestors().nth(2).expect("target/debug/deps/").join("examples").join(name);
    assert!(path.is_file(), "no {}: `make test` builds it", path.display());
    Command::new(path)
}

/// A Rust program that `make clients` builds, so that the tests need not wait for its crates.
pub fn built_apart(name: &str) -> Command {
    Command::new(fetched(&format!("rust/debug/{name}")))
}

pub fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

fn clients() -> PathBuf {
    repository().join("target/clients")
}

fn fetched(name: &str) -> PathBuf {
    let path = clients().join(name);
    if !path.exists() {
        skip(format!("target/clients/{name} is missing: `make clients` fetches it"));
    }
    path
}

/// A running program. It reads paths of photos and prints a line for each result.
pub struct Running {
    process: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts the program. `batch` has the photos that it recognises first, in one go.
    pub fn start(mut program: Command, server: &Server, batch: &[PathBuf]) -> Running {
        let mut process = program
            .arg(format!("127.0.0.1:{}", server.port))
            .args(batch)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client's program starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Running { process, lines }
    }

    /// The fields of the next line.
    #[track_caller]
    pub fn line(&self) -> Vec<String> {
        let line = self.lines.recv_timeout(3 * PATIENCE).expect("a line of the client");
        line.split('\t').map(str::to_owned).collect()
    }

    /// The next line must say that `bad.jpg` is not a picture.
    #[track_caller]
    pub fn expect_bad(&self, step: &str) {
        let line = self.line();
        assert_eq!(line[..2], [step, "bad.jpg"]);
        assert!(line[2].starts_with("BADIMAGE "), "{line:?}");
    }

    /// Makes the program recognise one more photo.
    pub fn send(&mut self, path: &Path) {
        let input = self.process.stdin.as_mut().expect("piped");
        writeln!(input, "{}", path.display()).expect("the client reads");
        input.flush().expect("the client reads");
    }

    #[track_caller]
    pub fn end(mut self) {
        drop(self.process.stdin.take());
        let status =
            wait_for("the end of the client", || self.process.try_wait().expect("a child"));
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A temporary folder for photos.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    pub fn write(&self, name: &str, payload: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, payload).expect("the picture is written");
        path
    }
}

/// The slot of a photo's key.
pub fn slot_of(server: &Server, payload: &[u8]) -> i64 {
    let key = photos::key_of(payload);
    cmd("CLUSTER").arg(&["KEYSLOT", &key]).number(&mut server.client())
}
