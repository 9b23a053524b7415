//! Every node there is: those of the cluster, or the master with its replicas and theirs.

use std::collections::{BTreeSet, HashSet};

use futures_util::future::join_all;

use super::node::{Node, probe};
use crate::connect::{Address, Connection};

/// No cluster is larger, by Redis's own documentation.
const MAX_NODES: usize = 1000;

/// All nodes, ordered by address, beginning with those that are known. A replica names its master, a master its
/// replicas.
pub async fn all_nodes(connection: &Connection, known: Vec<Address>) -> Vec<Node> {
    let mut asked = HashSet::new();
    let mut to_ask: Vec<Address> =
        known.into_iter().filter(|address| asked.insert(address.clone())).collect();
    let mut found: Vec<Node> = Vec::new();
    let mut run_ids = HashSet::new();
    while !to_ask.is_empty() && found.len() < MAX_NODES {
        let answers = join_all(to_ask.iter().map(|address| probe(connection, address))).await;
        let mut named = BTreeSet::new();
        for node in answers {
            named.extend(node.others.iter().cloned());
            // The same node under two names counts once: under the one that was tried first.
            if node.run_id.is_empty() || run_ids.insert(node.run_id.clone()) {
                found.push(node);
            }
        }
        to_ask = named.into_iter().filter(|address| asked.insert(address.clone())).collect();
    }
    found.sort_by_key(|node| Address::parse(&node.address, 0));
    found
}
