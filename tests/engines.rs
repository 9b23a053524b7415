//! The two engines: which one is taken, that both give the same, and that a bad library harms nobody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::golden::MODELS;
use crate::models::{models, text};
use crate::support::compare::{as_the_other_engine, compare};
use crate::support::*;

/// Photos of the packages with letters.
const LETTERED: [&str; 3] = ["page.png", "text.png", "plate.png"];

fn photos_to_compare() -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<PathBuf> = Vec::new();
    // Without photos this skips the test.
    photos::photo("page.png");
    let packaged = std::fs::read_dir(photos::folder()).expect("photos");
    names.extend(packaged.map(|entry| entry.expect("readable").path()));
    if let Some(shared) = shared() {
        let text = std::fs::read_to_string(shared.join("reference/expected.json")).expect("text");
        let expected: Json = serde_json::from_str(&text).expect("JSON");
        let photos = expected["photos"].as_object().expect("photos");
        names.extend(photos.keys().map(|name| shared.join("photos").join(name)));
    }
    names.sort();
    let read =
        |path: &PathBuf| (path.display().to_string(), std::fs::read(path).expect("the photo"));
    names.iter().map(read).collect()
}

#[test]
fn both_engines_give_the_same_results_under_the_same_version() {
    let [tract, onnxruntime] = ["tract", "onnxruntime"].map(|engine| {
        Server::with()
            .real_models()
            .setting("engine", engine)
            .setting("onnxruntime-path", needs::onnxruntime().display())
            .setting("timeout", 120_000)
            .start()
    });
    let (mut one, mut other) = (tract.client(), onnxruntime.client());
    let mut wrong = Vec::new();
    for (name, payload) in photos_to_compare() {
        for (model, _, threshold) in MODELS {
            // These take seconds with tract, which compiles every size: on the photos they are for.
            let takes_long = ["text", "plates"].contains(&model);
            let lettered = LETTERED.map(|photo| photos::folder().join(photo));
            if takes_long && !lettered.iter().any(|photo| photo == Path::new(&name)) {
                continue;
            }
            let command = || recognize("k", &payload).arg(&["MODEL", model]).take();
            let [a, b] = [command().text(&mut one), command().text(&mut other)]
                .map(|result| serde_json::from_str::<Json>(&result).expect("JSON"));
            if let Err(difference) = compare(&a, &b, as_the_other_engine(threshold)) {
                wrong.push(format!("{name}, {model}: {difference}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let (of_tract, of_onnxruntime) = (models(&tract), models(&onnxruntime));
    for (model, _, _) in MODELS {
        assert_eq!(text(&of_tract[model], "engine"), "tract");
        assert_eq!(text(&of_onnxruntime[model], "engine"), "onnxruntime");
        let version = |listed: &BTreeMap<_, _>| text(&listed[model], "version");
        assert_eq!(version(&of_tract), version(&of_onnxruntime), "{model}");
    }
}

#[test]
fn auto_takes_onnxruntime_where_its_library_is_found() {
    let path = needs::onnxruntime();
    for place in [path.as_path(), path.parent().expect("a folder")] {
        let server = Server::with().setting("onnxruntime-path", place.display()).start();
        assert_eq!(text(&models(&server)["tiny"], "engine"), "onnxruntime");
        assert_eq!(server.info()["engine"], "onnxruntime");
        recognize("k", &photos::red()).text(&mut server.client());
    }
}

/// Ways for a library to be bad, and a word of what is said of it.
const BAD: [(Bad, &str); 5] = [
    (Bad::Truncated, "crashes"),
    (Bad::Text, "cannot be loaded"),
    (Bad::Crashing, "crashes"),
    (Bad::Other, "OrtGetApiBase"),
    (Bad::Old, "1.10.0"),
];

#[derive(Clone, Copy, Debug)]
enum Bad {
    Truncated,
    Text,
    Crashing,
    Other,
    Old,
}

impl Bad {
    fn write(self, target: &Path) {
        match self {
            Bad::Truncated => {
                let whole = std::fs::read(needs::onnxruntime()).expect("the library");
                std::fs::write(target, &whole[..whole.len() / 2]).expect("written");
            }
            Bad::Text => std::fs::write(target, "not a library").expect("written"),
            Bad::Crashing => {
                compile(target, "__attribute__((constructor)) void f(void) { *(int *)0 = 1; }");
            }
            Bad::Other => compile(target, "int other(void) { return 1; }"),
            Bad::Old => compile(
                target,
                "static const char *version(void) { return \"1.10.0\"; }
                 static const void *api(unsigned v) { return 0; }
                 static const struct { const void *(*a)(unsigned); const char *(*v)(void); } base = { api, version };
                 const void *OrtGetApiBase(void) { return &base; }",
            ),
        }
    }
}

/// Servers with bad libraries: each says why, and goes on with tract.
#[test]
fn a_library_that_cannot_be_used_leaves_tract() {
    let folder = tempfile::tempdir().expect("a folder");
    let on_tract = |path: &Path, reason: &str| {
        let server = Server::with().setting("onnxruntime-path", path.display()).start();
        assert_eq!(text(&models(&server)["tiny"], "engine"), "tract", "{}", path.display());
        recognize("k", &photos::red()).text(&mut server.client());
        let why = &server.info()["engine_reason"];
        assert!(why.contains(reason), "{}: {why}", path.display());
        assert!(server.log().contains(reason), "{}", path.display());
    };
    for (bad, reason) in BAD {
        let path = folder.path().join(format!("{bad:?}.so"));
        bad.write(&path);
        on_tract(&path, reason);
    }
    on_tract(&folder.path().join("absent.so"), "no libonnxruntime.so");
}

#[test]
fn a_folder_with_a_space_and_a_colon_in_its_name_is_as_good_as_any() {
    let folder = tempfile::Builder::new().prefix("a b:c").tempdir().expect("a folder");
    // No link, which would be followed out of the folder.
    let copy = folder.path().join(needs::onnxruntime().file_name().expect("a name"));
    std::fs::copy(needs::onnxruntime(), copy).expect("copied");
    let server = Server::with().setting("onnxruntime-path", folder.path().display()).start();
    assert_eq!(server.info()["engine"], "onnxruntime", "{}", server.info()["engine_reason"]);
}

#[test]
fn of_a_folders_libraries_the_highest_version_that_can_be_used_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = |version: &str| folder.path().join(format!("libonnxruntime.so{version}"));
    let good = needs::onnxruntime();
    std::os::unix::fs::symlink(&good, named("")).expect("a link");
    let mut higher = Vec::new();
    for (number, (bad, reason)) in BAD.into_iter().enumerate() {
        let path = named(&format!(".9.{number}.0"));
        bad.write(&path);
        higher.push((path, reason));
    }
    // By its text this one is above all that begin with 1.
    Bad::Text.write(&named(".1.9.0"));

    let server = Server::with().setting("onnxruntime-path", folder.path().display()).start();
    assert_eq!(text(&models(&server)["tiny"], "engine"), "onnxruntime");
    recognize("k", &photos::red()).text(&mut server.client());
    let why = &server.info()["engine_reason"];
    assert!(why.starts_with(&format!("onnxruntime: {}", good.display())), "{why}");
    let next = format!("; {}", folder.path().display());
    for (path, reason) in higher {
        let named = why.split_once(&format!("{}: ", path.display()));
        let (_, told) = named.unwrap_or_else(|| panic!("{} is missing: {why}", path.display()));
        let told = told.split(&next).next().unwrap_or_default();
        assert!(told.contains(reason), "{told}");
    }
    assert!(!why.contains("1.9.0"), "{why}");
}

#[test]
fn fewer_threads_keep_fewer_sessions() {
    let server = Server::with()
        .real_models()
        .setting("engine", "onnxruntime")
        .setting("onnxruntime-path", needs::onnxruntime().display())
        .setting("threads", 4)
        .start();
    let sessions = || server.count("onnxruntime_sessions");
    let set_threads = |count: &str| {
        redis::cmd("CONFIG").arg(&["SET", "image.threads", count]).text(&mut server.client());
    };
    // One for each graph that is loaded, before anything runs at once.
    let graphs = sessions();
    assert!(graphs > 0);
    let run_at_once = || {
        wait_until("a graph is run by two workers at once", || {
            let ask = |_| server.send(&recognize("k", &photos::unique(&photos::red())));
            let waiting: Vec<Pending> = (0..8).map(ask).collect();
            waiting.into_iter().for_each(|pending| drop(pending.reply().text()));
            sessions() > graphs
        });
        assert!(sessions() <= graphs + 3, "{}", sessions());
    };
    run_at_once();
    set_threads("1");
    wait_until("each graph has one session", || sessions() == graphs);
    recognize("k", &photos::red()).text(&mut server.client());
    assert_eq!(sessions(), graphs);
    set_threads("4");
    run_at_once();
}

#[test]
fn onnxruntime_alone_without_its_library_is_nomodel_with_advice() {
    let server = Server::with()
        .setting("engine", "onnxruntime")
        .setting("onnxruntime-path", "/nowhere")
        .start();
    let error = recognize("k", &photos::red()).error(&mut server.client());
    assert!(error.starts_with("NOMODEL ") && error.contains("make onnxruntime"), "{error}");
    assert!(Server::with().setting("engine", "torch").start_in_vain().contains("must be auto"));
}

fn compile(target: &Path, source: &str) {
    let file = target.with_extension("c");
    std::fs::write(&file, source).expect("written");
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([target, &file]).status();
    assert!(status.expect("a C compiler").success());
}
