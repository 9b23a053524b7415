//! Digests spread images evenly over nodes: what a node has more or less than its share is chance.

use crate::support::cluster::Cluster;
use crate::support::*;
use redis::{cmd, pipe};

const IMAGES: usize = 5000;
const SLOTS: usize = 16384;

/// Nodes, and the chi-square that chance exceeds once in a million times (for one degree of freedom less than nodes).
const BOUNDS: [(usize, f64); 3] = [(3, 27.63), (6, 35.89), (12, 48.87)];

#[test]
fn five_thousand_images_spread_evenly_over_three_six_and_twelve_nodes() {
    let cluster = Cluster::start(3, Server::with);
    let payloads: Vec<Vec<u8>> = (0..IMAGES)
        .map(|i| photos::followed_by(&photos::red(), &format!("#spread:{i}#")))
        .collect();
    let keys: Vec<String> = payloads.iter().map(|payload| photos::key_of(payload)).collect();
    let slots = slots_of(&cluster.nodes[0], &keys);

    for (nodes, bound) in BOUNDS {
        let counts = counts_by_node(&slots, nodes);
        let chi_square = chi_square(&counts);
        assert!(chi_square < bound, "{nodes} nodes have {counts:?}: chi-square {chi_square}");
    }

    // The work goes where the table says.
    for (i, expected) in counts_by_node(&slots, 3).into_iter().enumerate() {
        let node = &cluster.nodes[i];
        let own: Vec<usize> = (0..IMAGES).filter(|image| node_of(slots[*image], 3) == i).collect();
        for part in own.chunks(500) {
            let mut batch = pipe();
            for &image in part {
                batch.add_command(recognize(&keys[image], &payloads[image])).arg("NOWAIT");
            }
            for &image in part {
                batch.add_command(get(&keys[image])).arg("WAIT").arg(20_000);
            }
            let _: Vec<String> = batch.query(&mut node.client()).expect("each is recognised");
        }
        assert_eq!(cmd("DBSIZE").number(&mut node.client()), expected as i64);
        assert_eq!(node.model_count("tiny", "computed"), expected as i64);
    }
}

fn slots_of(node: &Server, keys: &[String]) -> Vec<usize> {
    let mut batch = pipe();
    for key in keys {
        batch.cmd("CLUSTER").arg("KEYSLOT").arg(key);
    }
    batch.query(&mut node.client()).expect("a slot for each key")
}

/// As `redis-cli --cluster create` and [`Cluster::start`] share the slots.
fn node_of(slot: usize, nodes: usize) -> usize {
    (0..nodes).find(|i| SLOTS * (i + 1) / nodes > slot).expect("a node")
}

fn counts_by_node(slots: &[usize], nodes: usize) -> Vec<usize> {
    let mut counts = vec![0; nodes];
    for slot in slots {
        counts[node_of(*slot, nodes)] += 1;
    }
    counts
}

fn chi_square(counts: &[usize]) -> f64 {
    let (nodes, images) = (counts.len(), counts.iter().sum::<usize>() as f64);
    (0..nodes)
        .map(|i| {
            let slots = SLOTS * (i + 1) / nodes - SLOTS * i / nodes;
            let expected = images * slots as f64 / SLOTS as f64;
            (counts[i] as f64 - expected).powi(2) / expected
        })
        .sum()
}
