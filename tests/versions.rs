//! Nodes whose models differ, as during a rollout.

use crate::commands::{RED_RESULT, labels, stored_field};
use crate::support::crowd::{assert_settled, data_digest};
use crate::support::tiny::{Model, folder};
use crate::support::*;
use redis::cmd;

#[test]
fn a_node_with_another_version_serves_only_its_own_results() {
    let other = Model::new().replace("top = 3", "top = 2");
    let (folders, start) = (
        [folder(&[("tiny", Model::new())]), folder(&[("tiny", other.clone())])],
        |models: &tempfile::TempDir| Server::with().models(models.path()).setting("model", "tiny"),
    );
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
    other.write(&folders[0].path().join("tiny"));
    let fates = cmd("IMAGE.MODELS").arg("RELOAD").list(&mut first.client());
    assert_eq!(fates, ["tiny", "changed"]);
    assert_eq!(get("k").text(&mut first.client()), get("k").text(&mut client));
    assert_eq!(data_digest(&first), data_digest(&second));
    assert_settled(&mut first);
    assert_settled(&mut second);
}
