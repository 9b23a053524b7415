//! `redis-image recognize`: folders of photos, what is told of them, what is sent and what is not.

use crate::commands::RED_RESULT;
use crate::support::tool::{Told, run, told, tool};
use crate::support::*;
use redis::cmd;
use serde_json::Value as Json;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

pub fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port)
}

/// Pictures of the three colours in turn, each of its own digest.
pub fn folder_of(count: usize) -> TempDir {
    folder_of_pictures((0..count).map(|i| photos::unique(&colour(i))))
}

pub fn folder_of_pictures(pictures: impl Iterator<Item = Vec<u8>>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (i, picture) in pictures.enumerate() {
        fs::write(folder.path().join(format!("{i:03}.png")), picture).expect("written");
    }
    folder
}

fn colour(number: usize) -> Vec<u8> {
    [photos::red(), photos::green(), photos::blue()][number % 3].clone()
}

/// The first label that a picture of `folder_of` must have.
pub fn label_of(path: &str) -> &'static str {
    let name = Path::new(path).file_stem().expect("a name").to_string_lossy();
    ["red", "green", "blue"][name.parse::<usize>().expect("a number") % 3]
}

pub fn lines(out: &str) -> Vec<Json> {
    out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Every picture of a folder of `count` has its right result, from `source`.
#[track_caller]
pub fn assert_all_right(out: &str, count: usize, source: Option<&str>) {
    let lines = lines(out);
    let mut paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!((paths.len(), lines.len()), (count, count));
    for line in &lines {
        let path = line["path"].as_str().expect("a path");
        let payload = fs::read(path).expect("the picture");
        assert_eq!(line["sha256"], photos::digest(&payload), "{line}");
        assert_eq!(line["result"]["labels"][0]["label"], label_of(path), "{line}");
        if let Some(source) = source {
            assert_eq!(line["source"], source, "{line}");
        }
    }
}

fn recognize_json(server: &Server, path: &Path, more: &[&str]) -> Told {
    let path = path.to_str().expect("UTF-8");
    run([&["recognize", path, "--url", &url(server), "--output", "json"], more].concat())
}

/// How many payloads the server was sent.
fn uploads(server: &Server) -> i64 {
    let stats = server.info_of("commandstats");
    let calls = stats
        .get("cmdstat_image.recognize")
        .and_then(|line| line.split(',').next()?.strip_prefix("calls=")?.parse().ok());
    calls.unwrap_or(0)
}

#[test]
fn a_folder_is_sent_once() {
    let server = Server::with().setting("threads", 2).start();
    let folder = folder_of(100);
    fs::create_dir(folder.path().join("deep")).expect("a folder");
    fs::rename(folder.path().join("099.png"), folder.path().join("deep/099.png")).expect("moved");
    fs::write(folder.path().join("notes.txt"), b"no photo").expect("written");

    let first = recognize_json(&server, folder.path(), &[]);
    assert_eq!(first.status, 0, "{first:?}");
    assert_all_right(&first.out, 100, Some("computed"));
    assert!(first.err.contains("100 of 100 recognised: 100 computed"), "{}", first.err);
    assert_eq!((uploads(&server), server.model_count("tiny", "computed")), (100, 100));

    let second = recognize_json(&server, folder.path(), &["--concurrency", "3"]);
    assert_eq!(second.status, 0, "{second:?}");
    assert_all_right(&second.out, 100, Some("stored"));
    assert_eq!(uploads(&server), 100, "nothing is sent again");

    let again =
        recognize_json(&server, &folder.path().join("deep"), &["--refresh", "--ex", "5000"]);
    assert_all_right(&again.out, 1, Some("computed"));
    assert_eq!(server.model_count("tiny", "computed"), 101);
    let key = format!("image:{}", lines(&again.out)[0]["sha256"].as_str().unwrap());
    assert!(cmd("TTL").arg(&key).number(&mut server.client()) > 4000);
}

#[test]
fn each_output_is_what_its_reader_expects() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a, b.png");
    fs::write(&path, photos::red()).expect("written");
    let path = path.to_str().expect("UTF-8");
    let digest = photos::digest(&photos::red());

    let json = recognize_json(&server, Path::new(path), &[]);
    assert_eq!(
        json.out,
        format!(
            "{{\"path\":\"{path}\",\"sha256\":\"{digest}\",\"source\":\"computed\",\"result\":{RED_RESULT}}}\n"
        )
    );
    let url = url(&server);
    let csv = run(["recognize", path, "--url", &url, "--output", "csv"]);
    let head = "path,sha256,source,found";
    let line = format!("\"{path}\",{digest},stored,\"red 1.00, green 0.00, blue 0.00\"");
    assert_eq!(csv.out, format!("{head}\n{line}\n"));
    let table = run(["recognize", path, "--url", &url]);
    assert!(table.out.starts_with("PHOTO ") && table.out.lines().count() == 2, "{}", table.out);
    assert!(table.out.contains(path) && table.out.contains("red 1.00"), "{}", table.out);
    assert!(!table.err.contains('\u{1b}'), "no bar where nobody looks: {}", table.err);
}

#[test]
fn a_bad_file_is_a_line_and_not_the_end() {
    let server = Server::start();
    let folder = folder_of(5);
    let bad = folder.path().join("bad.jpg");
    fs::write(&bad, b"no image").expect("written");
    let gone = folder.path().join("gone.png");
    let arguments = [folder.path(), &gone].map(|path| path.to_str().expect("UTF-8"));
    let told =
        run(["recognize", "--url", &url(&server), "--output", "json"].iter().chain(&arguments));
    assert_eq!(told.status, 1, "{told:?}");
    assert_eq!(lines(&told.out).len(), 7);
    assert_eq!(lines(&told.out).iter().filter(|line| line["result"].is_object()).count(), 5);
    let failed: Vec<&str> = told.err.lines().filter(|line| line.starts_with("failed: ")).collect();
    assert_eq!(failed.len(), 2, "{}", told.err);
    assert!(failed.iter().any(|line| line.contains("bad.jpg: BADIMAGE")), "{failed:?}");
    assert!(failed.iter().any(|line| line.contains("gone.png")), "{failed:?}");
    assert!(told.err.contains("5 of 7 recognised"), "{}", told.err);
}

#[test]
fn what_cannot_work_at_all_is_told_with_a_remedy() {
    let mut server = Server::start();
    let folder = folder_of(3);
    let path = folder.path().to_str().expect("UTF-8");
    let url = url(&server);
    for (arguments, part) in [
        (&["recognize", path, "--model", "nowhere", "--url", &url][..], "redis-image models fetch"),
        (&["recognize", path, "--url", "http://cache"], "redis://host:port"),
        (&["recognize", "--url", &url], "Usage"),
        (&["recognize", path, "--annotate", path, "--url", &url], "another folder"),
    ] {
        let refused = run(arguments);
        assert_eq!((refused.status, refused.out.as_str()), (2, ""), "{refused:?}");
        assert!(refused.err.contains(part), "{refused:?}");
    }
    let empty = tempfile::tempdir().expect("a folder");
    let refused = recognize_json(&server, empty.path(), &[]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert_eq!(uploads(&server), 0);

    server.kill();
    let refused = recognize_json(&server, folder.path(), &["--retry-for", "1"]);
    assert_eq!(refused.status, 2, "{refused:?}");
    let node = format!("127.0.0.1:{}", server.port);
    assert!(refused.err.contains(&node) && refused.err.contains("--retry-for"), "{refused:?}");

    let bare = Server::with().without_module().start();
    let refused = recognize_json(&bare, folder.path(), &[]);
    assert_eq!(refused.status, 2, "{refused:?}");
    let node = format!("node 127.0.0.1:{} has not loaded the module", bare.port);
    assert!(refused.err.contains(&node) && refused.err.contains("loadmodule"), "{refused:?}");
}

#[test]
fn a_signal_ends_it_whatever_it_waits_for() {
    let server = Server::start();
    let folder = folder_of(1);
    let nobody = "redis://127.0.0.1:1";
    let waits: [&[&str]; 2] = [
        &["-", "--url", &url(&server)],
        &[folder.path().to_str().expect("UTF-8"), "--url", nobody],
    ];
    for arguments in waits {
        let mut command = tool();
        command.arg("recognize").args(arguments).stdin(Stdio::piped());
        let mut process = command.stderr(Stdio::null()).spawn().expect("starts");
        let status = format!("/proc/{}/status", process.id());
        wait_until("it listens to signals", || {
            let status = fs::read_to_string(&status).expect("it runs");
            let caught =
                status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a line");
            let caught = u64::from_str_radix(caught.trim(), 16).expect("a mask");
            caught & 1 << (libc::SIGTERM - 1) != 0
        });
        // SAFETY: a signal to a child of ours that has not been waited for.
        unsafe { libc::kill(process.id() as i32, libc::SIGTERM) };
        assert_eq!(process.wait().expect("it ends").code(), Some(130), "{arguments:?}");
    }
}

#[test]
fn a_photo_comes_from_standard_input_too() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let drawn = folder.path().join("drawn");
    let mut running = tool()
        .args(["recognize", "-", "--output", "json", "--url", &url(&server), "--annotate"])
        .arg(&drawn)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    running.stdin.take().expect("piped").write_all(&photos::red()).expect("it reads");
    let told = told(running.wait_with_output().expect("it ends"));
    assert_eq!(told.status, 0, "{told:?}");
    assert_eq!(lines(&told.out)[0]["path"], "-");
    assert_eq!(cmd("EXISTS").arg(photos::key_of(&photos::red())).number(&mut server.client()), 1);
    assert!(fs::read(drawn.join("stdin.png")).expect("drawn").starts_with(b"\x89PNG"));
}

#[test]
fn pictures_are_drawn_beside_each_other_and_never_over_the_photos() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let photos_folder = folder.path().join("photos");
    for name in ["a/x.png", "b/x.png", "b/y.bmp"] {
        let path = photos_folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let format =
            if name.ends_with("bmp") { image::ImageFormat::Bmp } else { image::ImageFormat::Png };
        fs::write(&path, photos::picture(photos::GREEN, 120, 90, format)).expect("written");
    }
    fs::write(photos_folder.join("bad.png"), b"no image").expect("written");
    let before = fs::read(photos_folder.join("a/x.png")).expect("there");
    // Inside the photos' folder: it is passed over by the walk.
    let drawn = photos_folder.join("drawn");
    for source in ["computed", "stored"] {
        let told =
            recognize_json(&server, &photos_folder, &["--annotate", drawn.to_str().unwrap()]);
        assert_eq!((told.status, lines(&told.out).len()), (1, 4), "{told:?}");
        let line = &lines(&told.out)
            .into_iter()
            .find(|line| line["path"].as_str().unwrap().ends_with("y.bmp"))
            .unwrap();
        assert_eq!(line["source"], source);
        for name in ["a/x.png", "b/x.png", "b/y.bmp.png"] {
            let picture = image::load_from_memory(&fs::read(drawn.join(name)).expect(name));
            assert_eq!(picture.expect("a picture").to_rgb8().dimensions(), (120, 90));
            fs::remove_file(drawn.join(name)).expect("removed");
        }
        assert!(!drawn.join("bad.png").exists());
    }
    assert_eq!(fs::read(photos_folder.join("a/x.png")).expect("there"), before);
}

#[test]
fn an_interrupted_run_goes_on_where_it_ended() {
    let server = Server::with().setting("threads", 1).start();
    let folder =
        folder_of_pictures((0..30).map(|i| photos::slowed(&photos::unique(&colour(i)), 100)));
    let mut command = tool();
    command.args(["recognize", "--output", "json", "--concurrency", "2", "--url", &url(&server)]);
    command.arg(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = command.spawn().expect("starts");
    wait_until("some are done", || server.model_count("tiny", "computed") >= 4);
    // SAFETY: a signal to a child of ours that has not been waited for.
    unsafe { libc::kill(running.id() as i32, libc::SIGINT) };
    let first = told(running.wait_with_output().expect("it ends"));
    assert_eq!(first.status, 130, "{first:?}");
    assert!(first.err.contains("interrupted"), "{first:?}");
    let done = lines(&first.out).len();
    assert!((4..30).contains(&done), "{done}");
    assert!(lines(&first.out).iter().all(|line| line["result"].is_object()));
    let sent = uploads(&server);
    assert_eq!(sent, done as i64, "what was sent was waited for");

    let second = recognize_json(&server, folder.path(), &[]);
    assert_eq!(second.status, 0, "{second:?}");
    assert_all_right(&second.out, 30, None);
    let stored = lines(&second.out).iter().filter(|line| line["source"] == "stored").count();
    assert_eq!((stored, uploads(&server)), (done, 30));
    assert_eq!(server.model_count("tiny", "computed"), 30, "each was computed once");
}

#[test]
fn a_full_queue_is_waited_out() {
    let server = Server::with().setting("threads", 1).setting("queue-length", 1).start();
    let folder =
        folder_of_pictures((0..12).map(|i| photos::slowed(&photos::unique(&colour(i)), 60)));
    let told = recognize_json(&server, folder.path(), &["--concurrency", "12"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert_all_right(&told.out, 12, Some("computed"));
    assert!(server.count("refused") > 0, "the queue was never full");
    assert_eq!(server.model_count("tiny", "computed"), 12);
}

#[test]
fn after_a_time_out_the_result_is_asked_for() {
    let server = Server::with().setting("threads", 1).start();
    let folder =
        folder_of_pictures([photos::slowed(&photos::unique(&photos::red()), 2600)].into_iter());
    let told = recognize_json(&server, folder.path(), &["--timeout", "1"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert_all_right(&told.out, 1, Some("computed"));
    assert_eq!((uploads(&server), server.model_count("tiny", "computed")), (1, 1));
}

#[test]
#[expect(clippy::zombie_processes, reason = "wait4 waits, and tells what memory was used")]
fn memory_is_that_of_the_photos_under_way() {
    let server = Server::with().setting("threads", 1).start();
    let size = 8 << 20;
    let folder = folder_of_pictures((0..40).map(|i| photos::padded(&colour(i), size)));
    let mut command = tool();
    command.args(["recognize", "--output", "json", "--concurrency", "2", "--url", &url(&server)]);
    let out = tempfile::tempfile().expect("a file");
    command.arg(folder.path()).stdout(out).stderr(Stdio::null());
    let running = command.spawn().expect("starts");
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: a child of ours that has not been waited for, and places for what is told of it.
    let ended = unsafe { libc::wait4(running.id() as i32, &mut status, 0, usage.as_mut_ptr()) };
    assert_eq!((ended, status), (running.id() as i32, 0));
    // SAFETY: zeroed, which is a value of this type, then written by wait4.
    let peak = unsafe { usage.assume_init() }.ru_maxrss * 1024;
    assert_eq!(server.model_count("tiny", "computed"), 40);
    assert!(peak < 15 * size as i64, "{} MB at most, of 40 photos of 8 MB", peak >> 20);
}
