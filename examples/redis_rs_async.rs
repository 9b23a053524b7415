//! Photos with redis-rs and tokio (the crate `redis` with its features `cluster-async` and `tokio-comp`), on one server and on
//! a cluster.
//!
//!     redis_rs_async 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input
//!
//! One connection to each node carries the commands of many tasks, and Redis handles nothing more of a connection whose
//! client waits. So one connection sends with NOWAIT and stays free, and another one waits.

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd,
};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// Longer than a request may wait.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
enum Server {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Server {
    async fn connect(address: &str) -> RedisResult<Server> {
        let url = format!("redis://{address}?protocol=resp3");
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let client = Client::open(url.as_str())?;
        let mut one = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let info: String = cmd("INFO").arg("cluster").query_async(&mut one).await?;
        if info.contains("cluster_enabled:1") {
            let client = ClusterClient::builder([url]).response_timeout(PATIENCE).build()?;
            return Ok(Server::Cluster(client.get_async_connection().await?));
        }
        Ok(Server::One(one))
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self.clone() {
            Server::One(mut connection) => command.query_async(&mut connection).await,
            Server::Cluster(mut connection) => command.query_async(&mut connection).await,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("HOST:PORT");
    let paths: Vec<String> = arguments.collect();
    let photos: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<Result<_, _>>()?;
    let (shared, waiting) = (Server::connect(&address).await?, Server::connect(&address).await?);

    // All at once: the connections carry them side by side.
    let batch = join_all(photos.iter().map(|photo| recognise(&shared, &waiting, photo))).await;
    for (path, result) in paths.iter().zip(batch) {
        println!("batch\t{}\t{}", name(path), shown(result));
    }

    let result: String = shared.query(&get(&photos[0])).await?;
    println!("get\t{}\t{result}", name(&paths[0]));
    let meta: HashMap<String, Value> = shared.query(recognize(&photos[0]).arg("WITHMETA")).await?;
    let text = |field: &str| redis::from_redis_value::<String>(meta[field].clone());
    println!("meta\t{}\t{}\t{}", name(&paths[0]), text("source")?, text("sha256")?);

    for path in std::io::stdin().lines() {
        let path = path?;
        let result = recognise(&shared, &waiting, &std::fs::read(&path)?).await;
        println!("photo\t{}\t{}", name(&path), shown(result));
    }
    Ok(())
}

/// Asks first, and uploads only on a miss; asks again where that can help.
async fn recognise(shared: &Server, waiting: &Server, photo: &[u8]) -> RedisResult<String> {
    let mut wait = Duration::from_millis(100);
    loop {
        match try_once(shared, waiting, photo).await {
            Ok(Some(result)) => return Ok(result),
            Err(error) if !may_pass(&error) || wait > Duration::from_secs(60) => return Err(error),
            Ok(None) | Err(_) => (),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
}

async fn try_once(shared: &Server, waiting: &Server, photo: &[u8]) -> RedisResult<Option<String>> {
    let stored: Option<String> = shared.query(&get(photo)).await?;
    if stored.is_some() {
        return Ok(stored);
    }
    let _: String = shared.query(recognize(photo).arg("NOWAIT")).await?;
    waiting.query(get(photo).arg("WAIT").arg(30_000)).await
}

/// As in redis_rs.rs.
fn may_pass(error: &RedisError) -> bool {
    error.code().is_none_or(|word| {
        ["QUEUEFULL", "TIMEOUT", "UNBLOCKED", "CLUSTERDOWN", "TRYAGAIN"].contains(&word)
    })
}

fn recognize(photo: &[u8]) -> Cmd {
    cmd("IMAGE.RECOGNIZE").arg(key_of(photo)).arg(photo).take()
}

fn get(photo: &[u8]) -> Cmd {
    cmd("IMAGE.GET").arg(key_of(photo)).take()
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
