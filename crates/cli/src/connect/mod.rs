//! The servers, as every subcommand sees them: one type for a single server, Sentinel and a cluster, that finds the
//! node of a key, and tries again what passes by itself.
//!
//! It stands on the `redis` crate's connections, but not on its cluster client: that one has one connection a node,
//! where a request that waits for its recognition holds up all others, and its errors don't name the node.

mod address;
mod options;
mod pool;
mod retry;
mod sentinel;
mod topology;

pub use address::Address;
pub use options::Options;
pub use retry::{Tries, is_temporary};
pub use topology::{ServerNode, Topology, map, slot_of, text};

use crate::error::Error;
use crate::terminal::tell;
use futures_util::future::join_all;
use options::{ServerPlace, Target};
use pool::{Batch, Pool};
use redis::{Cmd, Pipeline, Value, cmd};
use retry::{Remedy, remedy};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a reply may take that waits for no recognition.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a node left unanswered is asked again by so many at a time.
const AGAIN_AT_ONCE: usize = 32;

/// Redirections in a row that are followed at once.
const MOST_HOPS: usize = 5;

/// Cheap to clone; all clones share connections and what is known of the nodes.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    place: RwLock<ServerPlace>,
    retry_for: Duration,
    known: RwLock<Known>,
    /// When it was asked for in vain for the last time, and why.
    refreshing: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

#[derive(Clone, Default)]
struct Known {
    topology: Arc<Topology>,
    /// Counts the times it was asked for.
    generation: u64,
    /// Counts the times that the masters were others than before.
    changes: u64,
}

impl Connection {
    /// Finds the nodes, waiting for them if need be.
    pub async fn open(options: &Options) -> Result<Connection, Error> {
        // A second call finds it installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Target { place, access, retry_for } = options.target()?;
        let connection = Connection {
            shared: Arc::new(Shared {
                pool: Pool::new(access),
                place: RwLock::new(place),
                retry_for,
                known: RwLock::default(),
                refreshing: tokio::sync::Mutex::default(),
            }),
        };
        let mut tries = connection.tries();
        let mut is_first = true;
        while let Err(error) = connection.refresh(0).await {
            if remedy(&error) == Remedy::None {
                return Err(error);
            }
            if std::mem::take(&mut is_first) && !retry_for.is_zero() {
                tell(&format!("redis-image: {error}; trying again for {} s", retry_for.as_secs()));
            }
            tries.pause(error, Duration::ZERO).await?;
        }
        Ok(connection)
    }

    pub fn is_cluster(&self) -> bool {
        matches!(*read(&self.shared.place), ServerPlace::Cluster(_))
    }

    /// The tries of one request, limited by `--retry-for`.
    pub fn tries(&self) -> Tries {
        Tries::new(self.shared.retry_for)
    }

    /// The reply to a command that concerns `key`, of the master that has it.
    pub async fn run(&self, key: &[u8], command: &Cmd) -> Result<Value, Error> {
        self.run_within(key, command, PATIENCE).await
    }

    /// The same for a command that may wait for long.
    pub async fn run_within(
        &self,
        key: &[u8],
        command: &Cmd,
        patience: Duration,
    ) -> Result<Value, Error> {
        let slot = slot_of(key);
        let mut tries = self.tries();
        let mut redirected = Remedy::None;
        let mut hops = 0;
        loop {
            let known = self.known();
            let (address, batch) = match &redirected {
                Remedy::Moved(address) => (Some(address), Batch::Command(command)),
                Remedy::Ask(address) => (Some(address), Batch::Asking(command)),
                _ => (known.topology.owner(slot), Batch::Command(command)),
            };
            let (error, outage) = match address {
                Some(address) => match self.send(address, batch, patience).await {
                    Ok(value) => return Ok(value),
                    Err(error) => (error, self.shared.pool.outage(address)),
                },
                None => (no_master(slot), Duration::ZERO),
            };
            redirected = remedy(&error);
            match &redirected {
                Remedy::None => return Err(error),
                Remedy::Moved(_) if hops < MOST_HOPS => {
                    // Where the map can't be had the redirection alone must do.
                    let _ = self.refresh(known.generation).await;
                    hops += 1;
                }
                Remedy::Ask(_) if hops < MOST_HOPS => hops += 1,
                _ => {
                    redirected = Remedy::None;
                    hops = 0;
                    tries.pause(error, outage).await?;
                    let _ = self.refresh(known.generation).await;
                }
            }
        }
    }

    /// One try on the master of `key`, or where that one sends it, for a command that must not be repeated unseen.
    pub async fn run_once(
        &self,
        key: &[u8],
        command: &Cmd,
        patience: Duration,
    ) -> Result<Value, Error> {
        let known = self.known();
        let slot = slot_of(key);
        let mut outcome = match known.topology.owner(slot) {
            Some(address) => self.send(address, Batch::Command(command), patience).await,
            None => Err(no_master(slot)),
        };
        if let Err(error) = &outcome
            && let Remedy::Ask(address) = remedy(error)
        {
            outcome = self.send(&address, Batch::Asking(command), patience).await;
        }
        if let Err(error) = &outcome
            && remedy(error) != Remedy::None
        {
            let _ = self.refresh(known.generation).await;
        }
        outcome
    }

    /// Many commands, each with its key: one pipeline a node, the replies in the order of the commands. What a node
    /// could not answer is asked again, one by one.
    pub async fn run_many(&self, commands: &[(Vec<u8>, Cmd)]) -> Vec<Result<Value, Error>> {
        let known = self.known();
        let mut by_node: HashMap<&Address, Vec<usize>> = HashMap::new();
        for (place, (key, _)) in commands.iter().enumerate() {
            if let Some(address) = known.topology.owner(slot_of(key)) {
                by_node.entry(address).or_default().push(place);
            }
        }
        let pipelines = by_node.into_iter().map(|(address, places)| async move {
            let mut pipeline = Pipeline::with_capacity(places.len());
            for place in &places {
                pipeline.add_command(commands[*place].1.clone());
            }
            let batch = Batch::Pipeline(&pipeline, places.len());
            let replies = self.shared.pool.send(address, batch, PATIENCE).await;
            (places, replies.unwrap_or_default())
        });
        let mut answered: Vec<Option<Result<Value, Error>>> = vec![None; commands.len()];
        for (places, replies) in join_all(pipelines).await {
            for (place, reply) in places.into_iter().zip(replies) {
                let is_final = reply.as_ref().err().is_none_or(|e| remedy(e) == Remedy::None);
                answered[place] = is_final.then_some(reply);
            }
        }
        if answered.iter().any(Option::is_none) {
            let _ = self.refresh(known.generation).await;
        }
        let at_once = &Semaphore::new(AGAIN_AT_ONCE);
        let again = answered.into_iter().zip(commands).map(|(reply, (key, command))| async move {
            match reply {
                Some(reply) => reply,
                None => {
                    let _permit = at_once.acquire().await;
                    self.run(key, command).await
                }
            }
        });
        join_all(again).await
    }

    /// Every node there is, replicas included, as the servers say now.
    pub async fn nodes(&self) -> Result<Vec<ServerNode>, Error> {
        self.refresh(self.known().generation).await?;
        let topology = self.known().topology;
        if self.is_cluster() {
            return Ok(topology.nodes.clone());
        }
        let mut nodes = topology.nodes.clone();
        // Who may not ask for the role sees the one server.
        if let Ok(role) = self.run_on(&nodes[0].address, &cmd("ROLE"), PATIENCE).await {
            topology::add_replicas(&mut nodes, &role);
        }
        Ok(nodes)
    }

    /// How often something happened by which results may have been lost: other masters, or one that was silent and is
    /// back, maybe without its data.
    pub fn upsets(&self) -> u64 {
        self.known().changes + self.shared.pool.recoveries()
    }

    /// Asks again which nodes there are.
    pub async fn look_again(&self) {
        // Where nobody answers, what is known stays.
        let _ = self.refresh(self.known().generation).await;
    }

    /// The masters that have slots, as far as known.
    pub fn masters(&self) -> Vec<Address> {
        self.known().topology.owners()
    }

    /// The node that a key belongs to, as far as known.
    pub fn node_of(&self, key: &[u8]) -> Option<Address> {
        self.known().topology.owner(slot_of(key)).cloned()
    }

    /// Once, on this very node; nothing is tried again.
    pub async fn run_on(
        &self,
        address: &Address,
        command: &Cmd,
        patience: Duration,
    ) -> Result<Value, Error> {
        self.send(address, Batch::Command(command), patience).await
    }

    async fn send(
        &self,
        address: &Address,
        batch: Batch<'_>,
        patience: Duration,
    ) -> Result<Value, Error> {
        let replies = self.shared.pool.send(address, batch, patience).await?;
        replies.into_iter().next().unwrap_or_else(|| {
            Err(Error::Lost { node: address.to_string(), why: "an empty reply".to_owned() })
        })
    }

    fn known(&self) -> Known {
        read(&self.shared.known).clone()
    }

    /// Asks for the nodes again, unless somebody did since `generation`.
    async fn refresh(&self, generation: u64) -> Result<(), Error> {
        let came = Instant::now();
        let mut in_vain = self.shared.refreshing.lock().await;
        let known = self.known();
        if known.generation > generation {
            return Ok(());
        }
        // Who waited while it was asked for in vain needs not ask the same again.
        if let Some((when, why)) = &*in_vain
            && *when > came
        {
            return Err(why.clone());
        }
        let topology = match self.ask_for_topology(&known).await {
            Ok(topology) => topology,
            Err(error) => {
                *in_vain = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        };
        if topology != *known.topology {
            let addresses: Vec<Address> =
                topology.nodes.iter().map(|node| node.address.clone()).collect();
            self.shared.pool.keep(&addresses);
        }
        let mut owners = [known.topology.owners(), topology.owners()];
        owners.iter_mut().for_each(|owners| owners.sort());
        let is_other = !owners[0].is_empty() && owners[0] != owners[1];
        *self.shared.known.write().unwrap_or_else(PoisonError::into_inner) = Known {
            topology: Arc::new(topology),
            generation: known.generation + 1,
            changes: known.changes + u64::from(is_other),
        };
        Ok(())
    }

    async fn ask_for_topology(&self, known: &Known) -> Result<Topology, Error> {
        let place = read(&self.shared.place).clone();
        match place {
            ServerPlace::Server(address) => {
                let asked = self.shards(&address).await;
                if let Ok(topology) = &asked
                    && !topology.owners().is_empty()
                {
                    *self.shared.place.write().unwrap_or_else(PoisonError::into_inner) =
                        ServerPlace::Cluster(vec![address]);
                    return asked;
                }
                match asked {
                    // No cluster, an old server, or a user who may not ask.
                    Err(Error::Reply { word, .. }) if word == "ERR" || word == "NOPERM" => {
                        Ok(Topology::single(address))
                    }
                    Err(error) => Err(error),
                    Ok(_) => Err(no_master(0)),
                }
            }
            ServerPlace::Cluster(seeds) => self.ask_cluster(known, seeds).await,
            ServerPlace::Sentinel { sentinels, master } => {
                self.ask_sentinels(&sentinels, &master).await.map(Topology::single)
            }
        }
    }

    /// The first node that answers; those that are known before those that were given. Each time another one is first,
    /// as a node that is cut off from the others tells what was true before.
    async fn ask_cluster(&self, known: &Known, seeds: Vec<Address>) -> Result<Topology, Error> {
        let healthy = known.topology.nodes.iter().filter(|node| node.health == "online");
        let mut nodes: Vec<Address> = healthy.map(|node| node.address.clone()).collect();
        let turn = known.generation as usize % nodes.len().max(1);
        nodes.rotate_left(turn);
        let mut last = None;
        for address in nodes.into_iter().chain(seeds) {
            match self.shards(&address).await {
                Ok(topology) if !topology.nodes.is_empty() => return Ok(topology),
                Ok(_) => {}
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| no_master(0)))
    }

    async fn shards(&self, address: &Address) -> Result<Topology, Error> {
        let command = cmd("CLUSTER").arg("SHARDS").take();
        // A node that hangs must not keep us from asking the next.
        let reply = self.run_on(address, &command, Duration::from_secs(5)).await?;
        Topology::from_shards(&reply, address, self.shared.pool.is_tls()).ok_or_else(|| {
            Error::Lost {
                node: address.to_string(),
                why: "its reply to CLUSTER SHARDS is not understood".to_owned(),
            }
        })
    }

    async fn ask_sentinels(&self, sentinels: &[Address], master: &str) -> Result<Address, Error> {
        let command = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).take();
        let mut last =
            Error::usage(format!("no Sentinel knows a master `{master}`: check --master"));
        for sentinel in sentinels {
            match self.shared.pool.ask_sentinel(sentinel, &command).await {
                Ok(Value::Array(parts)) => {
                    let parts: Vec<String> = parts.iter().filter_map(text).collect();
                    if let [host, port] = parts.as_slice()
                        && let Ok(port) = port.parse()
                    {
                        return Ok(Address { host: host.clone(), port });
                    }
                }
                Ok(_) => {}
                Err(Error::Reply { node, word, sentence }) => {
                    last = Error::usage(format!(
                        "Sentinel {node}: {word} {sentence} (see --sentinel-user and the variable \
                         REDIS_IMAGE_SENTINEL_PASSWORD)"
                    ));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn no_master(slot: u16) -> Error {
    Error::Reply {
        node: "any".to_owned(),
        word: "CLUSTERDOWN".to_owned(),
        sentence: format!("no master has slot {slot}: see `redis-cli --cluster check`"),
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
