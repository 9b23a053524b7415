//! Galleries in a cluster: Redis routes them by their keys.

use crate::support::cluster::{Cluster, moved_to};
use crate::support::galleries::*;
use crate::support::*;

#[test]
fn a_gallery_lives_on_the_node_of_its_key() {
    let cluster = Cluster::start(3, Server::with);
    let mut homes = std::collections::BTreeSet::new();
    for hall in 0..12 {
        let gallery = format!("gallery:{{hall {hall}}}");
        let asked = enrol(&gallery, "alice", &vector(hall)).reply(&mut cluster.nodes[0].client());
        homes.insert(moved_to(&asked).unwrap_or(cluster.nodes[0].port));
        assert!(matches!(
            cluster.ask(&enrol(&gallery, "bob", &vector(100 + hall))),
            Reply::Value(_)
        ));
        let answer = cluster.ask(&identify(&gallery, &vector(100 + hall))).text();
        assert!(answer.contains(r#""subject":"bob""#), "{answer}");
    }
    assert!(homes.len() > 1, "{homes:?}");
}

#[test]
fn the_picture_s_key_must_be_in_the_gallery_s_slot() {
    let cluster = Cluster::start(1, Server::with);
    let mut client = cluster.nodes[0].client();
    enrol("gallery:{a}", "alice", &vector(1)).value(&mut client);
    let ask = |key: &str| identify_photo("gallery:{a}", b"x").arg(&["IMAGE", key]).take();
    let error = ask("image:{b}").error(&mut client);
    assert!(error.starts_with("CROSSSLOT "), "{error}");
    let error = ask("image:{a}").error(&mut client);
    assert!(error.starts_with("NOMODEL "), "{error}");
}
