//! Which nodes there are, and who is master of which slot, as the servers themselves say.

use super::address::Address;
use redis::Value;
use std::collections::BTreeMap;

pub const SLOTS: u16 = 16384;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    Master,
    Replica,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNode {
    pub address: Address,
    pub role: NodeRole,
    /// As the cluster sees it: `online`, `loading`, `fail`; elsewhere `online`.
    pub health: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    pub nodes: Vec<ServerNode>,
    /// First and last slot, and the place of their master in `nodes`.
    ranges: Vec<(u16, u16, usize)>,
}

impl Topology {
    /// One master of everything.
    pub fn single(address: Address) -> Topology {
        let node = ServerNode { address, role: NodeRole::Master, health: "online".to_owned() };
        Topology { nodes: vec![node], ranges: vec![(0, SLOTS - 1, 0)] }
    }

    /// The reply to `CLUSTER SHARDS`, given by the node at `asked`: an empty host in it means that one's.
    pub fn from_shards(shards: &Value, asked: &Address, tls: bool) -> Option<Topology> {
        let mut topology = Topology::default();
        for shard in list(shards)? {
            let shard = map(shard)?;
            let mut master = None;
            for node in list(shard.get("nodes")?)? {
                let node = map(node)?;
                let Some(node) = ServerNode::from_shards(&node, asked, tls) else { continue };
                if node.role == NodeRole::Master && (master.is_none() || node.health == "online") {
                    master = Some(topology.nodes.len());
                }
                topology.nodes.push(node);
            }
            let (Some(master), Some(slots)) = (master, shard.get("slots")) else { continue };
            for range in list(slots)?.chunks_exact(2) {
                topology.ranges.push((slot(&range[0])?, slot(&range[1])?, master));
            }
        }
        Some(topology)
    }

    pub fn owner(&self, slot: u16) -> Option<&Address> {
        let range = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
        Some(&self.nodes[range.2].address)
    }

    /// The masters that have slots, each once.
    pub fn owners(&self) -> Vec<Address> {
        let mut owners: Vec<usize> = self.ranges.iter().map(|range| range.2).collect();
        owners.sort_unstable();
        owners.dedup();
        owners.into_iter().map(|place| self.nodes[place].address.clone()).collect()
    }
}

impl ServerNode {
    fn from_shards(
        node: &BTreeMap<String, &Value>,
        asked: &Address,
        tls: bool,
    ) -> Option<ServerNode> {
        let field = |name: &str| node.get(name).and_then(|value| text(value));
        let host = ["endpoint", "ip"].iter().filter_map(|name| field(name)).find(|host| {
            // Redis writes `?` or nothing where it knows no name.
            !host.is_empty() && host != "?"
        });
        let port = |name: &str| field(name).and_then(|port| port.parse::<u16>().ok());
        let port = if tls { port("tls-port").or_else(|| port("port")) } else { port("port") };
        Some(ServerNode {
            address: Address {
                host: host.unwrap_or_else(|| asked.host.clone()),
                port: port.filter(|port| *port != 0)?,
            },
            role: if field("role")? == "master" { NodeRole::Master } else { NodeRole::Replica },
            health: field("health").unwrap_or_else(|| "online".to_owned()),
        })
    }
}

/// The replicas that a master's reply to `ROLE` names; a replica's makes it one.
pub fn add_replicas(nodes: &mut Vec<ServerNode>, role: &Value) {
    let Some(parts) = list(role) else { return };
    match parts.first().and_then(text).as_deref() {
        Some("slave") => nodes[0].role = NodeRole::Replica,
        Some("master") => {
            for replica in parts.get(2).and_then(list).unwrap_or_default() {
                let fields: Vec<String> =
                    list(replica).unwrap_or_default().iter().filter_map(text).collect();
                let [host, port, ..] = fields.as_slice() else { continue };
                let Ok(port) = port.parse() else { continue };
                nodes.push(ServerNode {
                    address: Address { host: host.clone(), port },
                    role: NodeRole::Replica,
                    health: "online".to_owned(),
                });
            }
        }
        _ => {}
    }
}

fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) | Value::Set(items) => Some(items),
        _ => None,
    }
}

/// A RESP3 map, or the flat array that RESP2 makes of it.
pub fn map(value: &Value) -> Option<BTreeMap<String, &Value>> {
    match value {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| Some((text(name)?, value))).collect(),
        Value::Array(items) => {
            items.chunks_exact(2).map(|pair| Some((text(&pair[0])?, &pair[1]))).collect()
        }
        _ => None,
    }
}

/// A string or a number, as text.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}

/// The slot of a key: of what stands between the first `{` and the next `}`, where that is something.
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let behind = &key[open + 1..];
        behind.iter().position(|byte| *byte == b'}').map(|length| &behind[..length])
    });
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    crc16::State::<crc16::XMODEM>::calculate(hashed) % SLOTS
}

fn slot(value: &Value) -> Option<u16> {
    text(value)?.parse().ok().filter(|slot| *slot < SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn node(port: i64, host: &str, role: &str, health: &str) -> Value {
        let pairs = [("port", Value::Int(port)), ("tls-port", Value::Int(port + 1000))];
        let words = [("ip", host), ("endpoint", host), ("role", role), ("health", health)];
        let mut items: Vec<Value> =
            pairs.into_iter().flat_map(|(name, value)| [word(name), value]).collect();
        items.extend(words.into_iter().flat_map(|(name, value)| [word(name), word(value)]));
        Value::Array(items)
    }

    fn shard(slots: &[i64], nodes: Vec<Value>) -> Value {
        let slots = slots.iter().map(|slot| Value::Int(*slot)).collect();
        Value::Array(vec![word("slots"), Value::Array(slots), word("nodes"), Value::Array(nodes)])
    }

    #[test]
    fn slots_are_those_of_redis() {
        // CLUSTER KEYSLOT gave these.
        assert_eq!(slot_of(b"123456789"), 12739);
        assert_eq!(slot_of(b"foo{hash_tag}"), 2515);
        assert_eq!(slot_of(b"hash_tag"), 2515);
        assert_ne!(slot_of(b"{}foo"), slot_of(b"{}bar"));
    }

    #[test]
    fn a_slot_belongs_to_the_living_master_of_its_shard() {
        let shards = Value::Array(vec![
            shard(
                &[0, 99, 200, 16383],
                vec![node(1, "h", "master", "fail"), node(2, "h", "master", "online")],
            ),
            shard(
                &[100, 199],
                vec![node(3, "", "master", "online"), node(4, "?", "replica", "online")],
            ),
            shard(&[], vec![node(5, "h", "master", "online")]),
        ]);
        let asked = Address { host: "asked".to_owned(), port: 9 };
        let topology = Topology::from_shards(&shards, &asked, false).unwrap();
        let owner = |slot| topology.owner(slot).unwrap().to_string();
        assert_eq!([owner(0), owner(100), owner(16383)], ["h:2", "asked:3", "h:2"]);
        assert_eq!(topology.nodes.len(), 5);
        assert_eq!(topology.nodes[3].role, NodeRole::Replica);
        assert_eq!(topology.owners().len(), 2);
        let secure = Topology::from_shards(&shards, &asked, true).unwrap();
        assert_eq!(secure.owner(0).unwrap().port, 1002);
    }
}
