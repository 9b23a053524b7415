//! One node, asked everything at once.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Cmd, Value, cmd};
use serde::Serialize;

use super::storage::Storage;
use crate::connect::{Address, Connection, map, text};
use crate::error::Error;

/// How long a node may take to answer one question. Its main thread never computes, so this is long.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Default, Serialize)]
pub struct Node {
    pub address: String,
    pub role: Role,
    /// Of a replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Of a replica: `up` or `down`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Redis's or Valkey's version.
    pub server: String,
    /// Why nothing else is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
    pub loading: bool,
    pub cluster_ok: Option<bool>,
    pub storage: Storage,
    /// `None`: this node has no module redis-image.
    pub module: Option<Module>,
    /// What could not be asked, mostly because of the user's ACL.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_told: Vec<String>,
    #[serde(skip)]
    pub run_id: String,
    /// Its master and its replicas.
    #[serde(skip)]
    pub others: Vec<Address>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Master,
    Replica,
    #[default]
    Unknown,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Module {
    pub version: String,
    pub engine: String,
    /// `image.model`; empty where the user may not ask.
    pub default_model: String,
    pub workers: u64,
    pub workers_busy: u64,
    pub queue_length: u64,
    pub queue_bytes: u64,
    pub queue_bytes_limit: u64,
    pub refused: u64,
    pub timed_out: u64,
    pub stored: u64,
    pub not_stored: u64,
    pub galleries: u64,
    pub models: Vec<Model>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Model {
    pub name: String,
    pub task: String,
    pub state: String,
    pub version: String,
    pub engine: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    pub hits: u64,
    pub misses: u64,
    pub joined: u64,
    pub computed: u64,
    pub failed: u64,
    pub wait_ms: Quantiles,
    pub compute_ms: Quantiles,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

impl Module {
    /// Of all look-ups, those that were answered from the store; `None` before the first.
    pub fn hit_rate(&self) -> Option<f64> {
        let hits: u64 = self.models.iter().map(|model| model.hits).sum();
        let misses: u64 = self.models.iter().map(|model| model.misses).sum();
        share(hits, misses)
    }
}

impl Model {
    pub fn hit_rate(&self) -> Option<f64> {
        share(self.hits, self.misses)
    }
}

fn share(hits: u64, misses: u64) -> Option<f64> {
    let all = hits + misses;
    (all > 0).then(|| hits as f64 / all as f64)
}

/// Everything about the node at `address`.
pub async fn probe(connection: &Connection, address: &Address) -> Node {
    let mut node = Node { address: address.to_string(), ..Node::default() };
    let asked = Asked { connection, address };
    if let Err(error) = asked.fill(&mut node).await {
        node.unreachable = Some(reason(&error));
    }
    node
}

struct Asked<'a> {
    connection: &'a Connection,
    address: &'a Address,
}

impl Asked<'_> {
    async fn value(&self, command: &mut Cmd) -> Result<Value, Error> {
        self.connection.run_on(self.address, command, PATIENCE).await
    }

    async fn info(&self, section: &str) -> Result<BTreeMap<String, String>, Error> {
        let reply = self.value(cmd("INFO").arg(section)).await?;
        Ok(parse_info(&text(&reply).unwrap_or_default()))
    }

    async fn fill(&self, node: &mut Node) -> Result<(), Error> {
        let server = self.info("server").await?;
        let field = |name: &str| server.get(name).cloned().unwrap_or_default();
        node.run_id = field("run_id");
        node.server = match server.get("valkey_version") {
            Some(version) => format!("valkey {version}"),
            None => format!("redis {}", field("redis_version")),
        };
        read_replication(node, &self.info("replication").await?);
        let persistence = self.info("persistence").await?;
        node.loading = persistence.get("loading").is_some_and(|flag| flag != "0");
        // The latter is Valkey's name for it.
        if [field("redis_mode"), field("server_mode")].contains(&"cluster".to_owned()) {
            let state = self.value(cmd("CLUSTER").arg("INFO")).await?;
            let state = parse_info(&text(&state).unwrap_or_default());
            node.cluster_ok = Some(state.get("cluster_state").is_some_and(|state| state == "ok"));
        }
        node.storage = Storage::read(&self.info("memory").await?, &persistence);
        let image = self.info("image").await?;
        if image.contains_key("image_version") {
            let mut module = read_module(&image);
            if let Err(error) = self.models(&mut module).await {
                node.not_told.push(format!("IMAGE.MODELS: {}", reason(&error)));
            }
            match self.value(cmd("CONFIG").arg("GET").arg("image.model")).await {
                Ok(pair) => module.default_model = setting(&pair).unwrap_or_default(),
                Err(error) => node.not_told.push(format!("CONFIG GET: {}", reason(&error))),
            }
            if module.galleries > 0 && node.storage.append_only == Some(false) {
                // Renamed or forbidden on many servers, and in no section of INFO.
                let told = self.value(cmd("CONFIG").arg("GET").arg("save")).await;
                let why_not = match told.as_ref().map(setting) {
                    Ok(Some(points)) => {
                        node.storage.save_points = Some(points);
                        None
                    }
                    Ok(None) => Some("it has no such setting".to_owned()),
                    Err(error) => Some(reason(error)),
                };
                node.not_told.extend(why_not.map(|why| {
                    format!("CONFIG GET save, so whether its galleries are saved at all: {why}")
                }));
            }
            node.module = Some(module);
        }
        Ok(())
    }

    /// What INFO does not say of them: why one failed.
    async fn models(&self, module: &mut Module) -> Result<(), Error> {
        let listed = self.value(&mut cmd("IMAGE.MODELS")).await?;
        let Value::Array(listed) = &listed else { return Ok(()) };
        for fields in listed.iter().filter_map(map) {
            let field =
                |name: &str| fields.get(name).and_then(|value| text(value)).unwrap_or_default();
            let name = field("name");
            if let Some(model) = module.models.iter_mut().find(|model| model.name == name) {
                model.task = field("task");
                model.error = field("error");
                model.version = field("version");
            }
        }
        Ok(())
    }
}

/// The value in a reply to CONFIG GET of one setting; `None` where the server has no such setting.
fn setting(pair: &Value) -> Option<String> {
    map(pair)?.into_values().next().and_then(text)
}

/// The fields of a reply to INFO.
fn parse_info(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim_end().to_owned()))
        .collect()
}

/// Without the node's name, which stands before it.
fn reason(error: &Error) -> String {
    match error {
        Error::Lost { why, .. } => why.clone(),
        Error::Reply { word, sentence, .. } => format!("{word} {sentence}"),
        error => error.to_string(),
    }
}

fn read_replication(node: &mut Node, fields: &BTreeMap<String, String>) {
    let address =
        |host: &str, port: &str| Some(Address { host: host.to_owned(), port: port.parse().ok()? });
    if fields.get("role").is_some_and(|role| role == "slave") {
        node.role = Role::Replica;
        node.link = fields.get("master_link_status").cloned();
        let master = fields.get("master_host").zip(fields.get("master_port"));
        if let Some(master) = master.and_then(|(host, port)| address(host, port)) {
            node.master = Some(master.to_string());
            node.others.push(master);
        }
    } else {
        node.role = Role::Master;
    }
    // slave0:ip=127.0.0.1,port=6380,state=online,…
    for number in 0.. {
        let Some(line) = fields.get(&format!("slave{number}")) else { break };
        let entries = entries(line);
        let replica = entries.get("ip").zip(entries.get("port"));
        node.others.extend(replica.and_then(|(host, port)| address(host, port)));
    }
}

fn read_module(info: &BTreeMap<String, String>) -> Module {
    let text = |name: &str| info.get(&format!("image_{name}")).cloned().unwrap_or_default();
    let number = |name: &str| text(name).parse().unwrap_or(0);
    let not_stored = info.iter().filter(|(name, _)| name.starts_with("image_not_stored_"));
    let models = info.iter().filter_map(|(name, line)| {
        Some(read_model(name.strip_prefix("image_model_")?, &entries(line)))
    });
    Module {
        version: text("version"),
        engine: text("engine"),
        default_model: String::new(),
        workers: number("workers"),
        workers_busy: number("workers_busy"),
        queue_length: number("queue_length"),
        queue_bytes: number("queue_bytes"),
        queue_bytes_limit: number("queue_bytes_limit"),
        refused: number("refused"),
        timed_out: number("timed_out"),
        stored: number("stored"),
        not_stored: not_stored.filter_map(|(_, count)| count.parse::<u64>().ok()).sum(),
        galleries: number("galleries"),
        models: models.collect(),
    }
}

fn read_model(name: &str, fields: &BTreeMap<&str, &str>) -> Model {
    let text = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
    let number = |name: &str| text(name).parse().unwrap_or(0);
    let quantiles = |kind: &str| {
        let of = |share: &str| text(&format!("{kind}_ms_{share}")).parse().unwrap_or(0.0);
        Quantiles { p50: of("p50"), p95: of("p95"), p99: of("p99") }
    };
    Model {
        name: name.to_owned(),
        task: String::new(),
        state: text("state"),
        version: text("version"),
        engine: text("engine"),
        error: String::new(),
        hits: number("hits"),
        misses: number("misses"),
        joined: number("joined"),
        computed: number("computed"),
        failed: number("failed"),
        wait_ms: quantiles("wait"),
        compute_ms: quantiles("compute"),
    }
}

/// `name=value,name=value`
fn entries(line: &str) -> BTreeMap<&str, &str> {
    line.split(',').filter_map(|entry| entry.split_once('=')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_section_is_read() {
        let module = read_module(&parse_info(
            "# image_\r\nimage_version:0.1.0\r\nimage_workers:2\r\nimage_queue_length:7\r\n\
             image_not_stored_memory:2\r\nimage_not_stored_slot:1\r\n\
             image_model_tiny:state=ready,version=0a1b2c3d,engine=tract,hits=3,misses=1,wait_ms_p95=1.50,\
             compute_ms_p99=20.25\r\nimage_model_gone:state=failed\r\n",
        ));
        assert_eq!((module.version.as_str(), module.workers, module.queue_length), ("0.1.0", 2, 7));
        assert_eq!(module.not_stored, 3);
        assert_eq!(module.hit_rate(), Some(0.75));
        let tiny = module.models.iter().find(|model| model.name == "tiny").expect("read");
        assert_eq!((tiny.version.as_str(), tiny.hits), ("0a1b2c3d", 3));
        assert_eq!((tiny.wait_ms.p95, tiny.compute_ms.p99), (1.5, 20.25));
        assert!(module.models.iter().any(|model| model.name == "gone" && model.state == "failed"));
    }

    #[test]
    fn masters_and_replicas_name_each_other() {
        let mut master = Node::default();
        read_replication(
            &mut master,
            &parse_info(
                "role:master\nslave0:ip=10.0.0.2,port=6379,state=online\nslave1:ip=::1,port=7,state=online\n",
            ),
        );
        let others: Vec<String> = master.others.iter().map(Address::to_string).collect();
        assert_eq!((master.role, others.len()), (Role::Master, 2));
        assert_eq!(others[1], "[::1]:7");

        let mut replica = Node::default();
        read_replication(
            &mut replica,
            &parse_info(
                "role:slave\nmaster_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:down\n",
            ),
        );
        assert_eq!(replica.master.as_deref(), Some("10.0.0.1:6379"));
        assert_eq!((replica.role, replica.link.as_deref()), (Role::Replica, Some("down")));
    }
}
