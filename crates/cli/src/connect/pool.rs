//! Open connections to each node. A request has one to itself: `IMAGE.RECOGNIZE` blocks its connection, so that several
//! on a shared one would be recognised one after the other.

use super::address::Address;
use super::options::Access;
use crate::error::Error;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisConnectionInfo, RedisError, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// A connection that was not used for so long may have been closed by the server (`timeout`).
const MOST_IDLE: Duration = Duration::from_secs(5);
/// A node that hangs is tried so often.
const BETWEEN_TRIES: Duration = Duration::from_secs(5);
/// What a refusal takes at most.
const AT_ONCE: Duration = Duration::from_secs(1);

pub struct Pool {
    access: Access,
    nodes: Mutex<HashMap<Address, Arc<NodePool>>>,
    /// How often a node that was silent answered again.
    recoveries: AtomicU64,
}

#[derive(Default)]
struct NodePool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// With the moment of their last reply.
    idle: Vec<(MultiplexedConnection, Instant)>,
    /// When somebody got an answer for the last time.
    answered: Option<Instant>,
    silence: Option<Silence>,
}

/// A node that answers nobody.
struct Silence {
    since: Instant,
    /// When it was last tried, and how that ended.
    tried: Instant,
    error: Error,
    /// It let us wait, where others refuse at once.
    hangs: bool,
}

impl State {
    /// A connection to go on with, if there is one.
    fn take_idle(&mut self) -> Option<MultiplexedConnection> {
        let (connection, since) = self.idle.pop()?;
        if since.elapsed() < MOST_IDLE {
            return Some(connection);
        }
        self.idle.clear();
        None
    }

    /// One at a time asks a node that hangs, so that it costs the others nothing: they get the error of the last one.
    fn may_try(&mut self) -> Result<(), Error> {
        if let Some(silence) = &mut self.silence {
            if silence.hangs && silence.tried.elapsed() < BETWEEN_TRIES {
                return Err(silence.error.clone());
            }
            silence.tried = Instant::now();
        }
        Ok(())
    }

    fn fell_silent(&mut self, began: Instant, error: &Error) {
        // The others are as old as this one, and most likely as broken.
        self.idle.clear();
        let since = match &self.silence {
            Some(silence) => silence.since,
            None => self.answered.map_or(began, |answered| answered.max(began)),
        };
        let hangs = began.elapsed() > AT_ONCE;
        self.silence = Some(Silence { since, tried: Instant::now(), error: error.clone(), hangs });
    }
}

/// What is sent in one go.
pub enum Batch<'a> {
    Command(&'a Cmd),
    /// Behind an ASKING, which concerns the very next command.
    Asking(&'a Cmd),
    Pipeline(&'a Pipeline, usize),
}

impl Pool {
    pub fn new(access: Access) -> Pool {
        Pool { access, nodes: Mutex::default(), recoveries: AtomicU64::new(0) }
    }

    pub fn recoveries(&self) -> u64 {
        self.recoveries.load(Relaxed)
    }

    pub fn is_tls(&self) -> bool {
        self.access.tls.is_some()
    }

    /// The replies, error replies among them as values; an error where none came.
    pub async fn send(
        &self,
        address: &Address,
        batch: Batch<'_>,
        patience: Duration,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        let node = self.node(address);
        let (idle, hung) = {
            let mut state = node.lock();
            state.may_try()?;
            (state.take_idle(), state.silence.as_ref().is_some_and(|silence| silence.hangs))
        };
        let began = Instant::now();
        let exchange = async {
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.access.connect(address, &self.access.login).await?,
            };
            if hung {
                greet(&mut connection, address).await?;
            }
            let replies = exchange(&mut connection, batch).await;
            Ok::<_, Error>((connection, replies.map_err(|why| told(address, &why))?))
        };
        let outcome = match tokio::time::timeout(patience, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(lost(address, format!("nothing came for {} s", patience.as_secs()))),
        };
        let mut state = node.lock();
        match outcome {
            Ok((connection, replies)) => {
                let now = Instant::now();
                state.idle.push((connection, now));
                state.answered = Some(now);
                if state.silence.take().is_some() {
                    self.recoveries.fetch_add(1, Relaxed);
                }
                Ok(replies
                    .into_iter()
                    .map(|reply| reply.map_err(|why| told(address, &why)))
                    .collect())
            }
            Err(error) => {
                state.fell_silent(began, &error);
                Err(error)
            }
        }
    }

    /// Once, on a connection of its own, with a Sentinel's login.
    pub async fn ask_sentinel(&self, address: &Address, command: &Cmd) -> Result<Value, Error> {
        let exchange = async {
            let mut connection = self.access.connect(address, &self.access.sentinel_login).await?;
            let reply = connection.send_packed_command(command).await;
            reply.and_then(Value::extract_error).map_err(|why| told(address, &why))
        };
        match tokio::time::timeout(CONNECT_TIME, exchange).await {
            Ok(reply) => reply,
            Err(_) => Err(lost(address, format!("nothing came for {} s", CONNECT_TIME.as_secs()))),
        }
    }

    /// For how long nobody got an answer of this node.
    pub fn outage(&self, address: &Address) -> Duration {
        let node = self.node(address);
        let state = node.lock();
        state.silence.as_ref().map_or(Duration::ZERO, |silence| silence.since.elapsed())
    }

    /// Forgets the connections and outages of nodes that are not among these.
    pub fn keep(&self, addresses: &[Address]) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|address, _| addresses.contains(address));
    }

    fn node(&self, address: &Address) -> Arc<NodePool> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.entry(address.clone()).or_default().clone()
    }
}

impl NodePool {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Access {
    async fn connect(
        &self,
        address: &Address,
        login: &RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, Error> {
        let info = self.info(address, login)?;
        let client = match &self.tls {
            Some(tls) => Client::build_with_tls(info, tls.clone()),
            None => Client::open(info),
        };
        // How long a reply may take is the caller's matter.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME))
            .set_response_timeout(None);
        let client = client.map_err(|why| Error::usage(why.to_string()))?;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|why| told(address, &why))
    }
}

/// A node that hung is asked for a sign of life before it gets something that may take long. An error is one.
async fn greet(connection: &mut MultiplexedConnection, address: &Address) -> Result<(), Error> {
    let (ping, time) = (redis::cmd("PING"), CONNECT_TIME);
    match tokio::time::timeout(time, connection.send_packed_command(&ping)).await {
        Ok(Err(why)) if why.code().is_none() => Err(told(address, &why)),
        Ok(_) => Ok(()),
        Err(_) => Err(lost(address, format!("nothing came for {} s", time.as_secs()))),
    }
}

type Replies = Vec<Result<Value, RedisError>>;

async fn exchange(
    connection: &mut MultiplexedConnection,
    batch: Batch<'_>,
) -> Result<Replies, RedisError> {
    let single = match batch {
        Batch::Command(command) => connection.send_packed_command(command).await,
        Batch::Asking(command) => {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.cmd("ASKING").add_command(command.clone());
            return Ok(many(connection, &pipeline, 2).await?.into_iter().skip(1).collect());
        }
        Batch::Pipeline(pipeline, count) => return many(connection, pipeline, count).await,
    };
    match single {
        Err(error) if error.code().is_none() => Err(error),
        reply => Ok(vec![reply.and_then(Value::extract_error)]),
    }
}

async fn many(
    connection: &mut MultiplexedConnection,
    pipeline: &Pipeline,
    count: usize,
) -> Result<Replies, RedisError> {
    let replies = connection.send_packed_commands(pipeline, 0, count).await?;
    Ok(replies.into_iter().map(Value::extract_error).collect())
}

fn lost(address: &Address, why: String) -> Error {
    Error::Lost { node: address.to_string(), why }
}

fn told(address: &Address, error: &RedisError) -> Error {
    let reply = |word: &str, sentence: &str| Error::Reply {
        node: address.to_string(),
        word: word.to_owned(),
        sentence: sentence.to_owned(),
    };
    if let Some(word) = error.code() {
        return reply(word, error.detail().unwrap_or_default());
    }
    match error.kind() {
        // At the login, where the crate keeps Redis's text inside its own.
        redis::ErrorKind::AuthenticationFailed => {
            reply("WRONGPASS", error.detail().unwrap_or("the server refused the login"))
        }
        redis::ErrorKind::InvalidClientConfig => Error::usage(error.to_string()),
        // No other try makes it valid.
        _ => {
            let why = error.to_string();
            let spoken = why.to_ascii_lowercase();
            match spoken.contains("certificate") || spoken.contains("fatal alert") {
                true => Error::Tls { node: address.to_string(), why },
                false => lost(address, why),
            }
        }
    }
}
