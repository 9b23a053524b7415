//! What a gallery is bound to, and what becomes of it when the model's folder changes.

use crate::support::galleries::*;
use crate::support::*;
use redis::cmd;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A models folder with `faces` alone, its manifest changed.
fn folder(changes: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("faces");
    fs::create_dir(&own).expect("a folder");
    let original = needs::model("faces");
    for weights in ["yunet.onnx", "sface.onnx"] {
        std::os::unix::fs::symlink(original.join(weights), own.join(weights)).expect("a link");
    }
    rewrite(folder.path(), changes);
    folder
}

fn rewrite(folder: &Path, changes: &[(&str, &str)]) {
    let manifest = repository().join("models/faces/model.toml");
    let mut text = fs::read_to_string(manifest).expect("a manifest");
    for (old, new) in changes {
        assert!(text.contains(old), "the manifest has no {old}");
        text = text.replace(old, new);
    }
    fs::write(folder.join("faces/model.toml"), text).expect("a manifest");
}

fn server(folder: &TempDir) -> Server {
    Server::with()
        .models(folder.path())
        .setting("model", "faces")
        .setting("onnxruntime-path", repository().join("onnxruntime").display())
        .setting("timeout", 120_000)
        .start()
}

#[test]
fn a_changed_threshold_counts_at_once_and_harms_nothing() {
    let folder = folder(&[]);
    let server = server(&folder);
    let mut client = server.client();
    let (enrolled, shown) = (photos::photo("obama.jpg"), photos::photo("obama2.jpg"));
    enrol_photo("g", "obama", &enrolled).value(&mut client);
    let stored = recognize("k", &shown).text(&mut client);
    assert_eq!(who(&identify_photo("g", &shown), &mut client).as_deref(), Some("obama"));
    let before = digest(&server, "g");

    rewrite(
        folder.path(),
        &[("threshold = 0.363", "threshold = 0.99"), ("min-size = 40.0", "min-size = 4000.0")],
    );
    assert_eq!(cmd("IMAGE.RELOAD").list(&mut client), ["faces", "changed"]);
    assert_eq!(digest(&server, "g"), before);
    assert_eq!(get("k").text(&mut client), stored, "the version is the same");
    let answer = json(&identify_photo("g", &shown), &mut client);
    assert!(answer["faces"][0]["subject"].is_null(), "{answer}");
    assert_eq!(answer["threshold"], 0.99);
    let error = enrol_photo("g", "obama", &photos::photo("obama3.jpg")).error(&mut client);
    assert!(error.starts_with("LOWQUALITY "), "{error}");
    let mut query = identify_photo("g", &shown);
    assert_eq!(who(query.arg(&["THRESHOLD", "0.3"]), &mut client).as_deref(), Some("obama"));
}

#[test]
fn another_space_makes_a_gallery_stale_and_the_old_one_stays() {
    let folder = folder(&[]);
    let server = server(&folder);
    let mut client = server.client();
    let photo = photos::photo("obama.jpg");
    enrol_photo("g", "obama", &photo).value(&mut client);
    let before = digest(&server, "g");
    rewrite(folder.path(), &[("[38.2946, 51.6963]", "[38.0, 51.0]")]);
    assert_eq!(cmd("IMAGE.RELOAD").list(&mut client), ["faces", "changed"]);
    for command in [enrol_photo("g", "obama", &photo), identify_photo("g", &photo)] {
        let error = command.error(&mut client);
        assert!(error.starts_with("WRONGTYPE ") && error.contains("space"), "{error}");
    }
    assert_eq!(digest(&server, "g"), before);
    forget("g", "obama").value(&mut client);
    enrol_photo("new", "obama", &photo).value(&mut client);
    // Back again.
    rewrite(folder.path(), &[]);
    cmd("IMAGE.RELOAD").list(&mut client);
    enrol_photo("g", "obama", &photo).value(&mut client);
    assert_eq!(who(&identify_photo("g", &photo), &mut client).as_deref(), Some("obama"));
}

#[test]
fn a_model_without_embeddings_says_why_it_serves_no_gallery() {
    let folder = folder(&[("embedding = true", "embedding = false")]);
    let server = server(&folder);
    let mut client = server.client();
    let error = enrol_photo("g", "obama", &photos::photo("obama.jpg")).error(&mut client);
    assert!(error.starts_with("ERR ") && error.contains("embedding = false"), "{error}");
    let error = cmd("IMAGE.ENROLL")
        .arg("g")
        .arg("x")
        .arg("VECTOR")
        .arg(blob(&vector_of(1, 128)))
        .arg(&["MODEL", "faces"])
        .error(&mut client);
    assert!(error.starts_with("ERR ") && error.contains("embedding = false"), "{error}");
    // With its space a vector needs no model at all.
    enrol("g", "x", &vector(1)).value(&mut client);
    assert_eq!(who(&identify("g", &vector(1)), &mut client).as_deref(), Some("x"));
}

#[test]
fn a_manifest_that_lies_about_dimensions_is_refused() {
    let folder = folder(&[("dimensions = 128", "dimensions = 64")]);
    let server = server(&folder);
    let mut client = server.client();
    let error = enrol_photo("g", "obama", &photos::photo("obama.jpg")).error(&mut client);
    assert!(error.starts_with("NOMODEL ") && error.contains("128"), "{error}");
    assert_eq!(cmd("EXISTS").arg("g").number(&mut client), 0);
}
