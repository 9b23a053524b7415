//! What only Sentinels know: replicas that their master has lost.

use super::options::ServerPlace;
use super::topology::{map, text};
use super::{Address, Connection, read};
use redis::{Value, cmd};

impl Connection {
    /// The replicas that the Sentinels have seen, dead ones among them; none without Sentinels.
    pub async fn replicas_of_sentinels(&self) -> Vec<Address> {
        let ServerPlace::Sentinel { sentinels, master } = read(&self.shared.place).clone() else {
            return Vec::new();
        };
        let command = cmd("SENTINEL").arg("REPLICAS").arg(master).take();
        let mut replicas = Vec::new();
        for sentinel in &sentinels {
            if let Ok(Value::Array(listed)) =
                self.shared.pool.ask_sentinel(sentinel, &command).await
            {
                for fields in listed.iter().filter_map(map) {
                    let field = |name: &str| fields.get(name).and_then(|value| text(value));
                    let port = field("port").and_then(|port| port.parse().ok());
                    if let (Some(host), Some(port)) = (field("ip"), port) {
                        replicas.push(Address { host, port });
                    }
                }
            }
        }
        replicas.sort();
        replicas.dedup();
        replicas
    }
}
