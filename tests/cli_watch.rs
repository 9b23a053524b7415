//! `redis-image watch DIR`: each photo of a camera's folder once, when it is completely written.

use crate::cli_recognize::url;
use crate::support::tool::{run, tool};
use crate::support::*;
use redis::cmd;
use serde_json::Value as Json;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

/// The tool at work on a folder; killed when it goes out of scope.
struct Watching {
    process: Child,
    heard: Arc<Mutex<Vec<Json>>>,
}

impl Watching {
    fn start(folder: &Path, server: &Server, more: &[&str]) -> Watching {
        let mut command = tool();
        command.arg("watch").arg(folder).args(["--url", &url(server)]).args(more);
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        // Nobody reads its complaints, as behind a pipe that has ended.
        drop(process.stderr.take());
        let heard: Arc<Mutex<Vec<Json>>> = Arc::default();
        let (reader, sink) = (BufReader::new(process.stdout.take().expect("piped")), heard.clone());
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                sink.lock()
                    .expect("the other side lives")
                    .push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Watching { process, heard }
    }

    /// What was told of the file of this name, so far.
    fn of(&self, name: &str) -> Vec<Json> {
        let heard = self.heard.lock().expect("the reader lives");
        let is_its = |line: &&Json| line["path"].as_str().expect("a path").ends_with(name);
        heard.iter().filter(is_its).cloned().collect()
    }

    #[track_caller]
    fn wait_for(&self, name: &str) -> Json {
        super::support::wait_for(name, || self.of(name).first().cloned())
    }

    fn all(&self) -> usize {
        self.heard.lock().expect("the reader lives").len()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_an_outage_has_lost_is_stored_again() {
    // Without persistence it comes back empty.
    let mut server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str| {
        fs::write(folder.path().join(name), photos::unique(&photos::red())).expect("written");
    };
    let watching = Watching::start(folder.path(), &server, &["--settle", "0.1"]);
    for name in ["a.png", "b.png", "c.png"] {
        put(name);
        watching.wait_for(name);
    }
    server.kill();
    put("meanwhile.png");
    std::thread::sleep(std::time::Duration::from_millis(500));
    server.start_again();
    watching.wait_for("meanwhile.png");
    wait_until("all four are stored", || cmd("DBSIZE").number(&mut server.client()) == 4);
    assert_eq!(watching.all(), 4, "each is told once");
}

fn label(line: &Json) -> &str {
    line["result"]["labels"][0]["label"].as_str().unwrap_or_else(|| panic!("no result: {line}"))
}

#[test]
fn a_photo_is_recognised_once_it_is_completely_written() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("before.png"), photos::red()).expect("written");
    let watching = Watching::start(folder.path(), &server, &["--settle", "0.5"]);
    assert_eq!(label(&watching.wait_for("before.png")), "red");

    // Written in pieces, longer than any file would have to rest.
    let picture = photos::padded(&photos::green(), 5000);
    let mut slow = File::create(path("slow.png")).expect("created");
    for piece in picture.chunks(1000) {
        slow.write_all(piece).expect("written");
        slow.flush().expect("written");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    assert!(watching.of("slow.png").is_empty(), "it is not complete yet");
    drop(slow);
    let line = watching.wait_for("slow.png");
    assert_eq!((label(&line), &line["sha256"]), ("green", &photos::digest(&picture).into()));

    // Under a name that is none of a photo, then moved into place.
    fs::write(path("upload.part"), photos::blue()).expect("written");
    fs::rename(path("upload.part"), path("moved.png")).expect("moved");
    assert_eq!(label(&watching.wait_for("moved.png")), "blue");

    // A folder that comes with a photo in it, and gets another one.
    let outside =
        tempfile::tempdir_in(folder.path().parent().expect("a parent")).expect("a folder");
    fs::create_dir(outside.path().join("today")).expect("a folder");
    fs::write(outside.path().join("today/came.png"), photos::red()).expect("written");
    fs::rename(outside.path().join("today"), path("today")).expect("moved");
    assert_eq!(label(&watching.wait_for("today/came.png")), "red");
    fs::write(path("today/later.png"), photos::green()).expect("written");
    assert_eq!(label(&watching.wait_for("today/later.png")), "green");

    fs::write(path("bad.png"), b"no image").expect("written");
    let bad = watching.wait_for("bad.png");
    assert!(bad["error"].as_str().expect("an error").starts_with("BADIMAGE"), "{bad}");

    // A new photo under an old name counts, the same one again does not.
    fs::write(path("before.png"), photos::unique(&photos::blue())).expect("written");
    wait_until("the new one", || watching.of("before.png").len() == 2);
    assert_eq!(label(&watching.of("before.png")[1]), "blue");
    fs::write(path("last.png"), photos::unique(&photos::red())).expect("written");
    watching.wait_for("last.png");
    assert_eq!(watching.all(), 8, "each once: {:?}", watching.heard);
}

#[test]
fn a_folder_that_is_not_told_of_is_looked_into() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("old.png"), photos::red()).expect("written");
    let watching =
        Watching::start(folder.path(), &server, &["--poll", "1", "--settle", "0.3", "--new-only"]);
    let name = "new.png";
    wait_until("a new photo is seen", || {
        // It may still be starting, when all that lies there is old.
        fs::write(folder.path().join(name), photos::unique(&photos::green())).expect("written");
        std::thread::sleep(std::time::Duration::from_millis(1500));
        !watching.of(name).is_empty()
    });
    assert_eq!(label(&watching.of(name)[0]), "green");
    assert!(watching.of("old.png").is_empty());
}

#[test]
fn it_outlives_its_server_and_ends_when_told_to() {
    let mut server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("one.png"), photos::red()).expect("written");
    let mut watching =
        Watching::start(folder.path(), &server, &["--settle", "0.1", "--retry-for", "1"]);
    watching.wait_for("one.png");
    server.kill();
    fs::write(folder.path().join("two.png"), photos::green()).expect("written");
    // Longer than one request is tried.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(watching.of("two.png").is_empty());
    server.start_again();
    assert_eq!(label(&watching.wait_for("two.png")), "green");
    // SAFETY: a signal to a child of ours that has not been waited for.
    unsafe { libc::kill(watching.process.id() as i32, libc::SIGTERM) };
    assert_eq!(watching.process.wait().expect("it ends").code(), Some(0));
}

#[test]
fn what_lies_there_can_be_all_there_is() {
    let server = Server::start();
    let folder = crate::cli_recognize::folder_of(5);
    let path = folder.path().to_str().expect("UTF-8");
    let arguments = ["watch", path, "--existing-only", "--settle", "0.1", "--url", &url(&server)];
    let told = run(arguments);
    assert_eq!(told.status, 0, "{told:?}");
    crate::cli_recognize::assert_all_right(&told.out, 5, Some("computed"));
    let refused = run(["watch", "/nowhere", "--url", &url(&server)]);
    assert_eq!(refused.status, 2, "{refused:?}");
}
