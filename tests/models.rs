//! Models are folders: which work, which are refused and why, and what makes a version.

use crate::commands::{labels, stored_field};
use crate::support::tiny::{Flaw, Model};
use crate::support::*;
use redis::{Value, cmd};
use std::collections::BTreeMap;

/// `IMAGE.MODELS`: by name, the fields of each.
pub fn models(server: &Server) -> BTreeMap<String, BTreeMap<String, Value>> {
    let list: Vec<BTreeMap<String, Value>> =
        redis::from_redis_value(cmd("IMAGE.MODELS").value(&mut server.client_resp3()))
            .expect("a list of maps");
    list.into_iter().map(|model| (text(&model, "name"), model)).collect()
}

#[track_caller]
pub fn text(model: &BTreeMap<String, Value>, field: &str) -> String {
    let value = model.get(field).unwrap_or_else(|| panic!("no {field} in {model:?}"));
    redis::from_redis_value(value.clone()).expect("text")
}

#[test]
fn a_model_is_added_as_a_folder() {
    let bgr = Model::new().replace(r#"colour = "rgb""#, r#"colour = "bgr""#);
    let logits = Model::new().replace("scores", "logits").replace("top = 3", "top = 2");
    let folder = tiny::folder(&[("tiny", Model::new()), ("backwards", bgr), ("soft", logits)]);
    let server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    for (payload, label) in
        [(photos::red(), "red"), (photos::green(), "green"), (photos::blue(), "blue")]
    {
        assert_eq!(labels(&recognize("k", &payload).text(&mut client))[0], label);
    }
    let first = |model: &str, payload: &[u8]| {
        labels(&recognize("k", payload).arg(&["MODEL", model]).text(&mut server.client()))[0]
            .clone()
    };
    assert_eq!(first("backwards", &photos::red()), "blue");
    // Softmax of 1, 0, 0.
    let soft = recognize("k", &photos::blue()).arg(&["MODEL", "soft"]).text(&mut client);
    assert!(soft.contains(r#""labels":[{"label":"blue","id":2,"score":0.5761},"#), "{soft}");
    assert_eq!(labels(&soft).len(), 2);

    let listed = models(&server);
    assert_eq!(listed.keys().collect::<Vec<_>>(), ["backwards", "soft", "tiny"]);
    for (name, model) in &listed {
        assert_eq!(text(model, "task"), "classify");
        assert_eq!(text(model, "engine"), "tract");
        let field = format!("{name}@{}", text(model, "version"));
        recognize(name, &photos::red()).arg(&["MODEL", name]).text(&mut client);
        assert_eq!(stored_field(&mut client, name), field);
        assert!(model.contains_key("files") && model.contains_key("memory"), "{model:?}");
    }
    let flat: Vec<Value> =
        redis::from_redis_value(cmd("IMAGE.MODELS").value(&mut client)).expect("a list");
    assert!(
        matches!(&flat[0], Value::Array(fields) if fields.len() == 2 * listed["tiny"].len()),
        "{flat:?}"
    );
}

#[test]
fn a_folder_that_cannot_be_loaded_says_why_and_the_others_work() {
    let mut no_weights = Model::new();
    no_weights.weights.clear();
    let mut damaged = Model::new();
    damaged.weights[100] ^= 1;
    let mut no_graph = Model::new();
    no_graph.manifest =
        no_graph.manifest.replace(&photos::digest(&no_graph.weights), &photos::digest(b"no graph"));
    no_graph.weights = b"no graph".to_vec();
    let mut one_label_short = Model::new().replace("top = 3", "top = 2");
    one_label_short.labels = "red\ngreen\n".to_owned();
    let broken: [(&str, Model, &str); 15] = [
        ("bad-toml", Model::new().replace("[output]", "[output"), "model.toml"),
        ("unknown-key", Model::new().replace("mean =", "maen ="), "maen"),
        ("unknown-top-key", Model::new().replace("task =", "colour = 1\ntask ="), "colour"),
        ("unknown-task", Model::new().replace(r#""classify""#, r#""divination""#), "divination"),
        ("unknown-layout", Model::new().replace("nchw", "nwch"), "nwch"),
        ("no-task", Model::new().replace("task =", "licence2 ="), "task"),
        ("outside", Model::new().replace("tiny.onnx", "../tiny/tiny.onnx"), "folder"),
        ("no-weights", Model::new(), "tiny.onnx"),
        ("cut-weights", no_weights, "SHA-256"),
        ("wrong-hash", damaged, "SHA-256"),
        ("no-graph", no_graph, ""),
        ("operator", Model::flawed(Flaw::UnknownOperator), "NoSuchOperator"),
        ("channels", Model::flawed(Flaw::FourChannels), ""),
        ("four-scores", Model::flawed(Flaw::FourScores), "4"),
        ("one-label-short", one_label_short, "label"),
    ];
    let folder = tiny::folder(&[("tiny", Model::new()), ("%n%s%n", Model::new())]);
    for (name, model, _) in &broken {
        model.write(&folder.path().join(name));
    }
    std::fs::remove_file(folder.path().join("no-weights/tiny.onnx")).expect("removed");
    std::fs::write(folder.path().join("no-folder"), "a file").expect("written");
    std::fs::create_dir(folder.path().join("empty")).expect("made");

    let server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    assert!(recognize("k", &photos::red()).text(&mut client).contains("red"));
    let (listed, log) = (models(&server), server.log());
    for (name, _, word) in broken {
        let reason = text(&listed[name], "error");
        assert!(!reason.is_empty() && reason.contains(word), "{name}: {reason}");
        let logged = log.lines().any(|line| line.contains(name) && line.contains(word));
        assert!(logged, "the log does not say why {name} cannot be loaded");
        let refused = recognize("k", &photos::red()).arg(&["MODEL", name]).error(&mut client);
        assert!(refused.starts_with("NOMODEL ") && refused.contains(word), "{name}: {refused}");
    }
}

#[test]
fn without_its_default_model_the_module_loads_and_says_so() {
    let folder = tiny::folder(&[("tiny", Model::new())]);
    let server = Server::with().models(folder.path()).start();
    let mut client = server.client();
    let refused = recognize("k", &photos::red()).error(&mut client);
    assert!(refused.starts_with("NOMODEL ") && refused.contains("mobilenetv2"), "{refused}");
    assert!(server.log().contains("mobilenetv2"));
    assert!(
        recognize("k", &photos::red()).arg(&["MODEL", "tiny"]).text(&mut client).contains("red")
    );

    let nowhere = Server::with().models(&folder.path().join("nowhere")).start();
    assert!(
        cmd("IMAGE.RECOGNIZE_AUTO")
            .arg(photos::red())
            .error(&mut nowhere.client())
            .starts_with("NOMODEL ")
    );
    assert!(models(&nowhere).is_empty());
    assert!(nowhere.log().contains("nowhere"));
}

#[test]
fn a_server_that_requires_its_models_does_not_start_without_the_default_one() {
    let folder =
        tiny::folder(&[("tiny", Model::new()), ("broken", Model::flawed(Flaw::FourScores))]);
    let required = |model: &str| {
        Server::with()
            .models(folder.path())
            .setting("require-models", "yes")
            .setting("model", model)
    };
    assert!(required("mobilenetv2").start_in_vain().contains("mobilenetv2"));
    assert!(required("broken").start_in_vain().contains("broken"));
    let server = required("tiny").start();
    assert!(recognize("k", &photos::red()).text(&mut server.client()).contains("red"));
}

#[test]
fn a_version_covers_what_a_result_depends_on_and_nothing_else() {
    let mut renamed = Model::new();
    renamed.labels = "rot\ngreen\nblue\n".to_owned();
    let matters = [
        ("mean", Model::new().replace("mean = [0.0", "mean = [0.1")),
        ("std", Model::new().replace("std = [1.0", "std = [1.1")),
        ("divide-by", Model::new().replace("255.0", "256.0")),
        ("colour", Model::new().replace("rgb", "bgr")),
        ("resize", Model::new().replace("width = 8, height = 8 }", "width = 9, height = 8 }")),
        ("kind", Model::new().replace("scores", "logits")),
        ("top", Model::new().replace("top = 3", "top = 2")),
        ("labels", renamed),
        ("weights", Model::flawed(Flaw::DividesByZero)),
    ];
    let reordered = "top = 3\nlabels = { licence = \"MIT\", source = \"nowhere\", file = \"labels.txt\" }\nkind = \"scores\"\n";
    let (head, _) = tiny::MANIFEST_TEXT.split_once("[output]\n").expect("a section");
    let mut other_order = Model::new();
    other_order.manifest = format!("{head}[output]\n{reordered}")
        .replace("SHA256", &photos::digest(&other_order.weights));
    let same = [
        ("comment", Model::new().replace("# Made by", "# Another comment, made by")),
        ("order", other_order),
        ("licence", Model::new().replace("MIT", "Apache-2.0")),
        ("source", Model::new().replace("tests/support/tiny.rs", "https://example.org")),
        (
            "package",
            Model::new()
                .replace("file = \"tiny", "package = \"a==1\"\npath = \"a/b\"\nfile = \"tiny"),
        ),
        ("number", Model::new().replace("255.0", "255")),
    ];
    let folder = tiny::folder(&[("tiny", Model::new())]);
    for (name, model) in matters.iter().chain(&same) {
        model.write(&folder.path().join(name));
    }
    let server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let listed = models(&server);
    let usual = text(&listed["tiny"], "version");
    let mut versions = vec![usual.clone()];
    for (name, _) in matters {
        versions.push(text(&listed[name], "version"));
    }
    for (name, _) in same {
        assert_eq!(text(&listed[name], "version"), usual, "{name} changes no result");
    }
    let count = versions.len();
    versions.sort();
    versions.dedup();
    assert_eq!(
        versions.len(),
        count,
        "two that give different results share a version: {listed:#?}"
    );
}

#[test]
fn scores_that_are_no_numbers_are_a_failure() {
    let folder = tiny::folder(&[("tiny", Model::flawed(Flaw::DividesByZero))]);
    let server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    let black = photos::png([0, 0, 0]);
    assert!(recognize("k", &black).error(&mut client).starts_with("FAILED "));
    assert_eq!(cmd("EXISTS").arg("k").number(&mut client), 0);
    assert!(
        recognize("k", &photos::red())
            .text(&mut client)
            .contains(r#""label":"red","id":0,"score":1.0"#)
    );
}
