//! Nodes whose models differ, as during a rollout.

use crate::commands::{RED_RESULT, labels, stored_field};
use crate::support::crowd::{assert_settled, data_digest};
use crate::support::tiny::{Model, folder};
use crate::support::*;
use redis::cmd;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Of the same name as the usual one, and with fewer labels in its results.
fn other() -> Model {
    Model::new().replace("top = 3", "top = 2")
}

#[test]
fn a_node_with_another_version_serves_only_its_own_results() {
    let folders = [Model::new(), other()].map(|model| folder(&[("tiny", model)]));
    let start =
        |models: &tempfile::TempDir| Server::with().models(models.path()).setting("model", "tiny");
    let mut first = start(&folders[0]).start();
    let mut second = start(&folders[1]).replica_of(&first).start();
    let red = photos::red();
    assert_eq!(recognize("k", &red).text(&mut first.client()), RED_RESULT);
    second.wait_for_sync(&first);

    // On the replica the stored result is another version's: as if there were none.
    let mut client = second.client();
    assert!(get("k").reply(&mut client).is_nil());
    assert_eq!(labels(&recognize_ro("k", &red).text(&mut client)), ["red", "green"]);
    assert_eq!(second.model_count("tiny", "computed"), 1);
    assert_eq!(data_digest(&second), data_digest(&first));

    // It becomes the master: results are replaced as their pictures come again.
    cmd("REPLICAOF").arg(&["NO", "ONE"]).text(&mut client);
    cmd("REPLICAOF").arg("127.0.0.1").arg(second.port).text(&mut first.client());
    first.wait_for_sync(&second);
    assert!(get("k").reply(&mut client).is_nil());
    let old_field = stored_field(&mut client, "k");
    assert_eq!(labels(&recognize("k", &red).text(&mut client)), ["red", "green"]);
    assert_ne!(stored_field(&mut client, "k"), old_field);
    assert_eq!(cmd("HLEN").arg("k").number(&mut client), 2);
    first.wait_for_sync(&second);
    assert!(get("k").reply(&mut first.client()).is_nil());
    assert_eq!(recognize_ro("k", &red).text(&mut first.client()), RED_RESULT);

    // The last node gets the new version, too.
    other().write(&folders[0].path().join("tiny"));
    let fates = cmd("IMAGE.MODELS").arg("RELOAD").list(&mut first.client());
    assert_eq!(fates, ["tiny", "changed"]);
    assert_eq!(get("k").text(&mut first.client()), get("k").text(&mut client));
    assert_eq!(data_digest(&first), data_digest(&second));
    assert_settled(&mut first);
    assert_settled(&mut second);
}

/// Two versions come and go while clients recognise: each reply is one of theirs, whole.
#[test]
fn a_model_that_changes_under_load_never_fails_a_request() {
    let models = folder(&[("tiny", Model::new())]);
    let mut server =
        Server::with().models(models.path()).setting("model", "tiny").setting("threads", 2).start();
    let other_result = {
        let models = folder(&[("tiny", other())]);
        let server = Server::with().models(models.path()).setting("model", "tiny").start();
        recognize("k", &photos::red()).text(&mut server.client())
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.client();
                while !over.load(Relaxed) {
                    let payload = photos::unique(&photos::red());
                    let key = photos::key_of(&payload);
                    let result = recognize(&key, &payload).text(&mut client);
                    assert!(result == RED_RESULT || result == other_result, "{result}");
                    let stored = get(&key).reply(&mut client).text_if_any();
                    assert!(
                        stored.is_none_or(|text| text == RED_RESULT || text == other_result),
                        "what is served is of a version"
                    );
                }
            });
        }
        for turn in 0..12 {
            // As a rollout should: the new folder is complete before it has its name.
            let model = if turn % 2 == 0 { other() } else { Model::new() };
            model.write(&models.path().join(".new"));
            fs::rename(models.path().join("tiny"), models.path().join(".old")).expect("moved");
            fs::rename(models.path().join(".new"), models.path().join("tiny")).expect("moved");
            fs::remove_dir_all(models.path().join(".old")).expect("removed");
            let fates = cmd("IMAGE.MODELS").arg("RELOAD").list(&mut server.client());
            assert_eq!(fates, ["tiny", "changed"]);
        }
        over.store(true, Relaxed);
    });
    assert_settled(&mut server);
    assert_eq!(server.model_count("tiny", "failed"), 0);
    wait_until("all old versions are freed", || server.count("replaced_models") == 0);
}
