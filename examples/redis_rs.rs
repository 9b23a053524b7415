//! Photos with redis-rs (the crate `redis` with its feature `cluster`), on one server and on a cluster.
//!
//!     redis_rs 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input

use redis::cluster::{ClusterClient, ClusterConnection, cluster_pipe};
use redis::{Client, Cmd, Connection, FromRedisValue, RedisError, RedisResult, Value, cmd};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// Longer than a request may wait.
const PATIENCE: Duration = Duration::from_secs(60);

enum Server {
    One(Box<Connection>),
    Cluster(Box<ClusterConnection>),
}

impl Server {
    fn connect(address: &str) -> RedisResult<Server> {
        let url = format!("redis://{address}?protocol=resp3");
        let mut one = Client::open(url.as_str())?.get_connection()?;
        let info: String = cmd("INFO").arg("cluster").query(&mut one)?;
        if info.contains("cluster_enabled:1") {
            let client = ClusterClient::builder([url]).response_timeout(PATIENCE).build()?;
            return Ok(Server::Cluster(Box::new(client.get_connection()?)));
        }
        one.set_read_timeout(Some(PATIENCE))?;
        Ok(Server::One(Box::new(one)))
    }

    fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Server::One(connection) => command.query(connection),
            Server::Cluster(connection) => command.query(connection),
        }
    }

    /// All of them in one round trip to each node.
    fn send(&mut self, commands: impl Iterator<Item = Cmd>) -> RedisResult<()> {
        match self {
            Server::One(connection) => {
                let mut batch = redis::pipe();
                for command in commands {
                    batch.add_command(command);
                }
                batch.exec(connection)
            }
            Server::Cluster(connection) => {
                let mut batch = cluster_pipe();
                for command in commands {
                    batch.add_command(command);
                }
                batch.exec(connection)
            }
        }
    }
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("HOST:PORT");
    let paths: Vec<String> = arguments.collect();
    let photos: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<Result<_, _>>()?;
    let mut server = Server::connect(&address)?;

    for (path, result) in paths.iter().zip(recognise_all(&mut server, &photos)) {
        println!("batch\t{}\t{}", name(path), shown(result));
    }

    let key = key_of(&photos[0]);
    let result: String = server.query(cmd("IMAGE.GET").arg(&key))?;
    println!("get\t{}\t{result}", name(&paths[0]));
    let details = cmd("IMAGE.RECOGNIZE").arg(&key).arg(&photos[0]).arg("WITHMETA").take();
    let meta: HashMap<String, Value> = server.query(&details)?;
    let text = |field: &str| redis::from_redis_value::<String>(meta[field].clone());
    println!("meta\t{}\t{}\t{}", name(&paths[0]), text("source")?, text("sha256")?);

    for path in std::io::stdin().lines() {
        let path = path?;
        let result = recognise(&mut server, &std::fs::read(&path)?);
        println!("photo\t{}\t{}", name(&path), shown(result));
    }
    Ok(())
}

/// Asks first, and uploads only on a miss; asks again where that can help. MOVED, ASK, and nodes that have gone are
/// redis-rs's own business.
fn recognise(server: &mut Server, photo: &[u8]) -> RedisResult<String> {
    let key = key_of(photo);
    let mut wait = Duration::from_millis(100);
    loop {
        let stored: RedisResult<Option<String>> = server.query(cmd("IMAGE.GET").arg(&key));
        let result = match stored {
            Ok(Some(result)) => Ok(result),
            Ok(None) => server.query(cmd("IMAGE.RECOGNIZE").arg(&key).arg(photo)),
            Err(error) => Err(error),
        };
        match result {
            Err(error) if may_pass(&error) && wait < Duration::from_secs(60) => {
                std::thread::sleep(wait);
                wait *= 2;
            }
            other => return other,
        }
    }
}

/// Not so BADIMAGE and the like: the same again would give the same. An error without a word is redis-rs's own: a node has
/// gone, or nobody knows yet who has its slots.
fn may_pass(error: &RedisError) -> bool {
    error.code().is_none_or(|word| {
        ["QUEUEFULL", "TIMEOUT", "UNBLOCKED", "CLUSTERDOWN", "TRYAGAIN"].contains(&word)
    })
}

/// A batch: NOWAIT queues all, in one round trip to each node; GET … WAIT collects, a result or an error for each photo.
/// A pipeline of redis-rs gives no results at all when one command fails, hence one GET after the other: they carry no
/// photo.
fn recognise_all(server: &mut Server, photos: &[Vec<u8>]) -> Vec<RedisResult<String>> {
    let requests = photos
        .iter()
        .map(|photo| cmd("IMAGE.RECOGNIZE").arg(key_of(photo)).arg(photo).arg("NOWAIT").take());
    if let Err(error) = server.send(requests) {
        eprintln!("not all were accepted: {error}");
    }
    let collect = |photo: &Vec<u8>| {
        let get = cmd("IMAGE.GET").arg(key_of(photo)).arg("WAIT").arg(30_000).take();
        let result: Option<String> = server.query(&get)?;
        result.map_or_else(|| recognise(server, photo), Ok) // nil: it was not accepted
    };
    photos.iter().map(collect).collect()
}

fn key_of(photo: &[u8]) -> String {
    let digest: String = Sha256::digest(photo).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("image:{digest}")
}

fn name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn shown(result: RedisResult<String>) -> String {
    result.unwrap_or_else(|error| {
        format!("{} {}", error.code().unwrap_or("ERROR"), error.detail().unwrap_or_default())
    })
}
