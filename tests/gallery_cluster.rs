//! Galleries in a cluster: Redis routes them by their keys.

use crate::support::cluster::{Cluster, moved_to};
use crate::support::galleries::*;
use crate::support::*;
use redis::cmd;

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
    let error = identify_stored("gallery:{a}", "image:{b}").error(&mut client);
    assert!(error.starts_with("CROSSSLOT "), "{error}");
    let error = identify_stored("gallery:{a}", "image:{a}").error(&mut client);
    assert!(error.starts_with("NOMODEL "), "{error}");
}

/// A photo that is worked on where its gallery no longer is enrols nobody there, and nobody anywhere by half.
#[test]
fn a_photo_whose_gallery_moves_meanwhile_is_refused_and_enrolled_where_it_went() {
    let node = || Server::with().real_models().setting("threads", 1);
    let cluster = Cluster::start(2, node);
    let (old, new) = (&cluster.nodes[0], &cluster.nodes[1]);
    let slot_of = |key: &str| cmd("CLUSTER").arg(&["KEYSLOT", key]).number(&mut old.client());
    let gallery =
        (0..).map(|i| format!("hall {i}")).find(|key| slot_of(key) < 8192).expect("a key");
    enrol_photo(&gallery, "joe", &photos::photo("biden.jpg")).value(&mut old.client());
    let slow = photos::slowed(&photos::unique(&photos::photo("obama.jpg")), 1500);
    let ask = enrol_photo(&gallery, "barack", &slow);
    let pending = old.send(&ask);
    wait_until("the worker is at it", || old.count("workers_busy") == 1);
    cluster.move_slot(slot_of(&gallery), old, new);
    let error = pending.reply().error();
    assert!(error.starts_with("STALE "), "{error}");
    assert_eq!(total(new, &gallery, "samples"), 1);
    assert_eq!(old.count("galleries"), 0);
    assert_eq!(entry::<i64>(&ask.reply(&mut new.client()), "sample"), 2);
    wait_until("no call is open", || old.count("gallery_calls") == 0);
}
