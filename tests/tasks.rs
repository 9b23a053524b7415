//! Every task on pictures that photos are not, manifests that users write, and models that load at their first use.

use crate::models::{models, text};
use crate::support::tiny::Model;
use crate::support::*;
use image::{ImageFormat, RgbImage};
use redis::cmd;
use serde_json::Value as Json;
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// The models that come with the module, one of each task at least.
const ALL: [&str; 8] =
    ["mobilenetv2", "open-nsfw", "objects", "faces", "embed", "barcodes", "text", "plates"];

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

fn file_of(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).expect("encodes");
    file.into_inner()
}

fn plain(width: u32, height: u32, grey: u8) -> Vec<u8> {
    file_of(&RgbImage::from_pixel(width, height, image::Rgb([grey; 3])), ImageFormat::Png)
}

#[test]
fn strange_pictures_have_results_too_and_nothing_is_on_them() {
    let server = Server::with().real_models().start();
    let mut client = server.client();
    for (width, height) in [(1, 1), (8, 8), (20_000, 1), (1, 20_000), (1500, 40), (640, 640)] {
        let payload = plain(width, height, 255);
        for model in ALL {
            let key = format!("{width}x{height}");
            let result = recognize(&key, &payload).arg(&["MODEL", model]).text(&mut client);
            assert!(!result.contains("null") && !result.contains("NaN"), "{model}: {result}");
            let result = json(&result);
            assert_eq!((&result["width"], &result["height"]), (&width.into(), &height.into()));
            for list in ["objects", "faces", "barcodes", "lines", "plates"] {
                let found = result[list].as_array().map_or(0, Vec::len);
                assert_eq!(found, 0, "{model} of a white {key}: {result}");
            }
        }
    }
}

#[test]
fn a_photo_decoded_at_a_reduced_size_is_described_in_full() {
    let server = Server::with().real_models().start();
    let mut client = server.client();
    let small = image::load_from_memory(&photos::photo("astronaut.png")).expect("a PNG").to_rgb8();
    let large = image::imageops::resize(&small, 4096, 4096, image::imageops::Triangle);
    for (model, list) in [("objects", "objects"), ("faces", "faces")] {
        let command = |file: &[u8]| recognize("k", file).arg(&["MODEL", model]).take();
        let one = json(&command(&file_of(&small, ImageFormat::Png)).text(&mut client));
        let other = json(&command(&file_of(&large, ImageFormat::Jpeg)).text(&mut client));
        assert_eq!((&other["width"], &other["height"]), (&4096.into(), &4096.into()));
        let side =
            |result: &Json, index: usize| result[list][0]["box"][index].as_f64().expect("a side");
        for index in 0..4 {
            let (wanted, given) = (8.0 * side(&one, index), side(&other, index));
            let width = 8.0 * side(&one, 2);
            assert!((wanted - given).abs() < 0.05 * width, "{model}: {given}, not {wanted}");
        }
    }
}

#[test]
fn a_lazy_model_waits_for_its_first_use() {
    let lazy = Model::new().replace("task =", "lazy = true\ntask =");
    let mut damaged = lazy.clone();
    damaged.weights[100] ^= 1;
    let folder = tiny::folder(&[("tiny", Model::new()), ("lazy", lazy), ("damaged", damaged)]);
    let server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let states = |server: &Server| {
        models(server)
            .iter()
            .map(|(name, model)| (name.clone(), text(model, "state")))
            .collect::<Vec<_>>()
    };
    let wanted = |damaged: &str, lazy: &str| {
        [("damaged", damaged), ("lazy", lazy), ("tiny", "ready")]
            .map(|(name, state)| (name.to_owned(), state.to_owned()))
    };
    assert_eq!(states(&server), wanted("waiting", "waiting"));
    assert!(server.info()["model_lazy"].starts_with("state=waiting,"));

    // Long enough at work that all eight arrive while it is.
    let payload = photos::slow(1500);
    let waiting: Vec<Pending> =
        (0..8).map(|key| server.send(recognize(key, &payload).arg(&["MODEL", "lazy"]))).collect();
    for reply in waiting {
        assert!(reply.reply().text().contains("red"));
    }
    assert_eq!(server.model_count("lazy", "computed"), 1);
    assert_eq!(server.log().matches("model lazy@").count(), 1, "it is loaded once");

    let payload = photos::red();
    let mut client = server.client();
    for _ in 0..2 {
        let refused = recognize("k", &payload).arg(&["MODEL", "damaged"]).error(&mut client);
        assert!(refused.starts_with("NOMODEL ") && refused.contains("SHA-256"), "{refused}");
    }
    assert_eq!(states(&server), wanted("failed", "ready"));
}

#[test]
fn what_a_model_has_stored_is_served_when_its_weights_are_gone() {
    let folder = tiny::folder(&[("tiny", Model::new())]);
    let start =
        || Server::with().models(folder.path()).setting("model", "tiny").append_only().start();
    let mut server = start();
    let payload = photos::red();
    let key = photos::key_of(&payload);
    let result = recognize(&key, &payload).text(&mut server.client());
    server.shutdown(&[]);
    fs::remove_file(folder.path().join("tiny/tiny.onnx")).expect("removed");
    server.start_again();
    let mut client = server.client();
    assert_eq!(text(&models(&server)["tiny"], "state"), "failed");
    assert_eq!(get(&key).text(&mut client), result);
    assert_eq!(recognize(&key, &payload).text(&mut client), result);
    assert_eq!(recognize_ro(&key, &payload).text(&mut client), result);
    let large = photos::padded(&payload, 500_000);
    for miss in [photos::blue(), large] {
        assert!(recognize("other", &miss).error(&mut client).starts_with("NOMODEL "));
    }
    assert_eq!(cmd("EXISTS").arg("other").number(&mut client), 0);
}

/// A copy of one of the repository's models with another manifest; its weights are links.
fn changed(model: &str, target: &Path, change: impl Fn(String) -> String) {
    let source = needs::model(model);
    fs::create_dir_all(target).expect("the model's folder");
    for entry in fs::read_dir(source).expect("the model").map(|entry| entry.expect("a file")) {
        let copy = target.join(entry.file_name());
        match entry.file_name() == "model.toml" {
            true => {
                let text = fs::read_to_string(entry.path()).expect("a manifest");
                let changed = change(text.clone());
                assert_ne!(text, changed, "the manifest has no such line");
                fs::write(copy, changed).expect("written");
            }
            false => std::os::unix::fs::symlink(entry.path(), copy).expect("linked"),
        }
    }
}

#[test]
fn a_manifest_says_which_faces_are_told_and_what_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let change = |name: &str, old: &str, new: &str| {
        changed("faces", &folder.path().join(name), |text| text.replace(old, new));
    };
    change("nameless", "embedding = true", "embedding = false");
    change("one", "max-faces = 100", "max-faces = 1");
    change("near", "min-size = 0.0", "min-size = 120.0");
    let server = Server::with().models(folder.path()).setting("model", "one").start();
    let mut client = server.client();
    // Two faces side by side, the second half as large.
    let face = image::load_from_memory(&photos::photo("astronaut.png")).expect("a PNG").to_rgb8();
    let mut pair = RgbImage::new(768, 512);
    image::imageops::replace(&mut pair, &face, 0, 0);
    let small = image::imageops::resize(&face, 256, 256, image::imageops::Triangle);
    image::imageops::replace(&mut pair, &small, 512, 0);
    let payload = file_of(&pair, ImageFormat::Png);
    let mut faces = |model: &str| {
        let result = recognize("k", &payload).arg(&["MODEL", model]).text(&mut client);
        json(&result)["faces"].as_array().expect("a list").clone()
    };
    let nameless = faces("nameless");
    assert_eq!(nameless.len(), 2);
    assert!(nameless.iter().all(|face| face.get("embedding").is_none()));
    assert_eq!(faces("one").len(), 1);
    let near = faces("near");
    assert_eq!(near.len(), 0, "{near:?}");
    let listed = models(&server);
    let memory = |model: &str| listed[model]["memory"].clone();
    assert_ne!(memory("nameless"), memory("one"), "SFace is not loaded where nobody wants it");
}

/// A detector of the usual export: whatever the picture, its output is this table.
fn detector(rows: usize, columns: usize, table: &[f32]) -> Vec<u8> {
    use protobuf::{Message, model, node, tensor, value};
    let (rows, columns) = (rows as u64, columns as u64);
    let graph = Message::default()
        .message(1, node("GlobalAveragePool", &["data"], "pooled"))
        .message(1, node("Flatten", &["pooled"], "flat"))
        .message(1, node("MatMul", &["flat", "nothing"], "zero"))
        .message(1, node("Add", &["zero", "table"], "boxes"))
        .bytes(2, "detector")
        .message(5, tensor("nothing", &[3, 1], &[0.0; 3]))
        .message(5, tensor("table", &[1, rows, columns], table))
        .message(11, value("data", &[1, 3, 64, 64]))
        .message(12, value("boxes", &[1, rows, columns]));
    model(graph)
}

#[test]
fn a_detector_of_ones_own_is_a_folder() {
    // Columns are boxes: two of one thing that overlap, one of another beyond the edge, one too unsure.
    let boxes: [[f32; 6]; 4] = [
        [32.0, 32.0, 20.0, 10.0, 0.9, 0.1],
        [33.0, 32.0, 20.0, 10.0, 0.7, 0.1],
        [60.0, 20.0, 16.0, 16.0, 0.0, 0.8],
        [10.0, 32.0, 8.0, 8.0, 0.2, 0.2],
    ];
    let transposed: Vec<f32> = (0..6).flat_map(|row| boxes.map(|column| column[row])).collect();
    let with_objectness: Vec<f32> =
        boxes.iter().flat_map(|b| [b[0], b[1], b[2], b[3], 0.5, 2.0 * b[4], 2.0 * b[5]]).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, objectness: bool, weights: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).expect("the model's folder");
        fs::write(path.join("own.onnx"), weights).expect("written");
        fs::write(path.join("labels.txt"), "hat\nshoe\n").expect("written");
        let sha256 = photos::digest(weights);
        let manifest = format!(
            r#"
            task = "objects"
            [graph.objects]
            file = "own.onnx"
            sha256 = "{sha256}"
            [graph.objects.input]
            width = 64
            height = 64
            layout = "nchw"
            colour = "rgb"
            resize = {{ rule = "letterbox", fill = [114, 114, 114], position = "centre", rounding = "nearest" }}
            divide-by = 255.0
            mean = [0.0, 0.0, 0.0]
            std = [1.0, 1.0, 1.0]
            [output]
            head = {{ kind = "yolo", objectness = {objectness} }}
            labels = {{ file = "labels.txt" }}
            score-threshold = 0.3
            iou-threshold = 0.45
            "#
        );
        fs::write(path.join("model.toml"), manifest).expect("written");
    };
    write("plain", false, &detector(6, 4, &transposed));
    write("sure", true, &detector(4, 7, &with_objectness));
    write("misfit", false, &detector(5, 4, &[0.0; 20]));
    let mut nan = transposed.clone();
    nan[20] = f32::NAN;
    write("nan", false, &detector(6, 4, &nan));

    for engine in ["tract", "auto"] {
        let server = Server::with()
            .models(folder.path())
            .setting("model", "plain")
            .setting("engine", engine)
            .setting("onnxruntime-path", repository().join("onnxruntime").display())
            .start();
        let mut client = server.client();
        // 128x64 in a letterbox of 64x64: half as large, and 16 rows of ground above it.
        let payload = plain(128, 64, 40);
        for model in ["plain", "sure"] {
            let result = recognize("k", &payload).arg(&["MODEL", model]).text(&mut client);
            assert_eq!(
                result,
                concat!(
                    r#"{"task":"objects","objects":[{"label":"hat","id":0,"score":0.9,"box":[44.0,22.0,40.0,20.0]},"#,
                    r#"{"label":"shoe","id":1,"score":0.8,"box":[104.0,0.0,24.0,24.0]}],"width":128,"height":64}"#
                ),
                "{model} with {engine}"
            );
        }
        for (model, word) in [("misfit", "[1, 5, 4]"), ("nan", "not a number")] {
            let reason = text(&models(&server)[model], "error");
            assert!(reason.contains(word), "{model}: {reason}");
        }
    }
}
