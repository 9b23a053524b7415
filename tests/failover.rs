//! A cluster that loses masters: what was stored is served by the next one, and nobody is left without an answer.

use crate::commands::RED_RESULT;
use crate::support::cluster::{Cluster, is_promoted, moved_to, promote};
use crate::support::crowd::{assert_settled, data_digest, existing, role, signal};
use crate::support::follow::Follower;
use crate::support::*;
use redis::cmd;

fn computed(server: &Server) -> i64 {
    server.model_count("tiny", "computed")
}

/// Three masters, and a fourth node that replicates the first.
fn with_a_replica() -> Cluster {
    let mut cluster = Cluster::start(3, || Server::with().setting("threads", 2));
    cluster.add_replica(|| Server::with().setting("threads", 2));
    cluster
}

/// New pictures, with their keys, recognised.
fn fill(follower: &mut Follower, count: usize) -> Vec<(String, Vec<u8>)> {
    let pictures = (0..count).map(|_| {
        let payload = photos::unique(&photos::red());
        let key = photos::key_of(&payload);
        assert_eq!(follower.ask(&recognize(&key, &payload)).text(), RED_RESULT);
        (key, payload)
    });
    pictures.collect()
}

#[track_caller]
fn assert_served(follower: &mut Follower, pictures: &[(String, Vec<u8>)]) {
    for (key, _) in pictures {
        assert_eq!(follower.ask(&get(key)).text_if_any().as_deref(), Some(RED_RESULT), "{key}");
    }
}

/// A new picture with a key in the slots of that node, and slow.
fn slow_picture_of(node: &Server, milliseconds: u64) -> (String, Vec<u8>) {
    let mut client = node.client();
    let payload = photos::slow(milliseconds);
    let mut keys = (0..).map(|i| format!("slow:{i}:{}", &photos::digest(&payload)[..16]));
    let mut is_here = |key: &String| moved_to(&get(key).reply(&mut client)).is_none();
    let key = keys.find(|key| is_here(key)).expect("some key is");
    (key, payload)
}

#[track_caller]
fn wait_until_all_is_well(cluster: &Cluster) {
    for node in &cluster.nodes {
        wait_until("the cluster is well", || {
            let info = cmd("CLUSTER").arg("INFO").text(&mut node.client());
            let nodes = cmd("CLUSTER").arg("NODES").text(&mut node.client());
            info.contains("cluster_state:ok") && !nodes.contains("fail")
        });
    }
}

#[test]
fn a_promoted_replica_serves_what_its_master_stored() {
    let mut cluster = with_a_replica();
    let mut follower = Follower::of(&cluster);
    let pictures = fill(&mut follower, 30);
    let (master, replica) = (&cluster.nodes[0], &cluster.nodes[3]);
    replica.wait_for_sync(master);
    assert_eq!(data_digest(replica), data_digest(master));
    let mut client = master.client();
    let (key, payload) = pictures
        .iter()
        .find(|(key, _)| moved_to(&get(key).reply(&mut client)).is_none())
        .expect("one of thirty lies here");

    // As a replica: reads for who says READONLY, computes for it, and stores nothing.
    let mut client = replica.client();
    for command in [get(key), recognize_ro(key, payload), recognize(key, payload)] {
        assert_eq!(moved_to(&command.reply(&mut client)), Some(master.port));
    }
    cmd("READONLY").text(&mut client);
    assert_eq!(get(key).text(&mut client), RED_RESULT);
    assert_eq!(recognize_ro(key, payload).text(&mut client), RED_RESULT);
    assert_eq!(computed(replica), 0);
    let (miss, new) = slow_picture_of(master, 1);
    assert_eq!(recognize_ro(&miss, &new).text(&mut client), RED_RESULT);
    assert_eq!((computed(replica), replica.count("stored")), (1, 0));
    assert!(get(&miss).reply(&mut client).is_nil());
    assert_eq!(moved_to(&recognize(key, payload).reply(&mut client)), Some(master.port));

    promote(replica);
    wait_until("the other knows it", || !is_promoted(master));
    assert_served(&mut follower, &pictures);
    assert_eq!(computed(replica), 1, "nothing is computed again");

    // The new master dies with requests under way. Whoever asks again has the result.
    master.wait_for_sync(replica);
    wait_until_all_is_well(&cluster);
    let master = &cluster.nodes[3];
    let lost: Vec<(String, Vec<u8>)> = (0..4).map(|_| slow_picture_of(master, 3000)).collect();
    let pending: Vec<Pending> =
        lost.iter().map(|(key, payload)| master.send(&recognize(key, payload))).collect();
    wait_until("they are under way", || master.count("requests") == 4);
    cluster.nodes[3].kill();
    for client in pending {
        assert!(matches!(client.reply(), Reply::Lost(_)));
    }
    wait_until("the replica is promoted", || is_promoted(&cluster.nodes[0]));
    for (key, payload) in &lost {
        let again = payload.strip_suffix(b"#test:sleep=3000#").expect("slow").to_vec();
        assert_eq!(follower.ask(&recognize(key, &again)).text(), RED_RESULT);
        assert_eq!(existing(&cluster.nodes[0], std::slice::from_ref(key)), 1);
    }
    let before = computed(&cluster.nodes[0]);
    assert_served(&mut follower, &pictures);
    assert_eq!(computed(&cluster.nodes[0]), before);

    // Back with an empty disk it is a replica, and has everything again.
    cluster.nodes[3].start_again();
    let (master, back) = (&cluster.nodes[0], &cluster.nodes[3]);
    wait_until("it has found its place", || role(back) == "slave");
    back.wait_for_sync(master);
    assert_eq!(data_digest(back), data_digest(master));
    assert_eq!(computed(back), 0);
    cluster.nodes.iter_mut().for_each(assert_settled);
}

#[test]
fn a_master_that_was_cut_off_comes_back_as_a_replica_and_nothing_is_wrong() {
    let mut cluster = with_a_replica();
    let mut follower = Follower::of(&cluster);
    let pictures = fill(&mut follower, 20);
    let (old, new) = (&cluster.nodes[0], &cluster.nodes[3]);
    new.wait_for_sync(old);
    let under_way: Vec<(String, Vec<u8>)> = (0..6).map(|_| slow_picture_of(old, 400)).collect();
    let pending: Vec<Pending> =
        under_way.iter().map(|(key, payload)| old.send(&recognize(key, payload))).collect();
    wait_until("they are under way", || old.count("requests") > 0);
    signal(old, libc::SIGSTOP);
    wait_until("the replica is promoted", || is_promoted(new));
    let mut direct = new.client();
    for (key, payload) in &under_way {
        assert_eq!(recognize(key, payload).text(&mut direct), RED_RESULT);
    }
    signal(old, libc::SIGCONT);
    for client in pending {
        match client.reply() {
            Reply::Error(error) => assert!(error.starts_with("UNBLOCKED "), "{error}"),
            reply => assert_eq!(reply.text(), RED_RESULT),
        }
    }
    wait_until("it knows its place", || role(old) == "slave");
    old.wait_for_sync(new);
    assert_settled(&mut cluster.nodes[0]);
    assert_eq!(data_digest(&cluster.nodes[0]), data_digest(&cluster.nodes[3]));
    assert_served(&mut follower, &pictures);
    assert_served(&mut follower, &under_way);
    cluster.nodes.iter_mut().for_each(assert_settled);
}

#[test]
fn a_master_that_comes_back_with_an_empty_disk_computes_again() {
    let mut cluster = Cluster::start(1, Server::with);
    cluster.add_replica(Server::with);
    let mut follower = Follower::of(&cluster);
    let pictures = fill(&mut follower, 10);
    cluster.nodes[0].kill();
    cluster.nodes[0].start_again();
    wait_until_all_is_well(&cluster);
    assert!(follower.ask(&get(&pictures[0].0)).is_nil());
    for (key, payload) in &pictures {
        assert_eq!(follower.ask(&recognize(key, payload)).text(), RED_RESULT);
    }
    assert_eq!(computed(&cluster.nodes[0]), 10);
    cluster.nodes[1].wait_for_sync(&cluster.nodes[0]);
    assert_eq!(data_digest(&cluster.nodes[1]), data_digest(&cluster.nodes[0]));
    cluster.nodes.iter_mut().for_each(assert_settled);
}

#[test]
fn a_cluster_that_is_down_says_so_and_comes_back() {
    let mut cluster = Cluster::start(3, Server::with);
    let mut follower = Follower::of(&cluster);
    let pictures = fill(&mut follower, 12);
    let alone = &cluster.nodes[0];
    let (key, slow) = slow_picture_of(alone, 14_000);
    let waiting = alone.send(&recognize(&key, &slow));
    wait_until("it is at work", || alone.count("workers_busy") == 1);
    for node in &cluster.nodes[1..] {
        signal(node, libc::SIGSTOP);
    }
    wait_until("it sees that it is alone", || {
        cmd("CLUSTER").arg("INFO").text(&mut alone.client()).contains("cluster_state:fail")
    });
    assert_eq!(alone.count("workers_busy"), 1, "the test is about a store while it is down");
    for command in [get(&key), recognize(&key, &slow), recognize_ro(&key, &slow)] {
        let error = command.error(&mut alone.client());
        assert!(error.starts_with("CLUSTERDOWN "), "{error}");
    }
    // Redis itself sends away who waits, and the job goes on; Valkey 9 lets it wait for its result.
    match waiting.reply() {
        Reply::Error(error) => assert!(error.starts_with("CLUSTERDOWN "), "{error}"),
        result => assert_eq!(result.text(), RED_RESULT),
    }
    wait_until("the job is over", || alone.count("requests") == 0);
    assert_eq!(alone.count("not_stored_slot"), 1, "{:#?}", alone.info());
    for node in &cluster.nodes[1..] {
        signal(node, libc::SIGCONT);
    }
    wait_until_all_is_well(&cluster);
    assert_served(&mut follower, &pictures);
    assert!(follower.ask(&get(&key)).is_nil());

    for node in &mut cluster.nodes[1..] {
        node.kill();
    }
    for node in &mut cluster.nodes[1..] {
        node.start_again();
    }
    wait_until_all_is_well(&cluster);
    for (key, payload) in &pictures {
        assert_eq!(follower.ask(&recognize(key, payload)).text(), RED_RESULT);
    }
    cluster.nodes.iter_mut().for_each(assert_settled);
}
