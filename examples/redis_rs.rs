//! Photos through a Redis Cluster with redis-rs (the crate `redis` with its feature `cluster`).
//!
//!     redis_rs 127.0.0.1:7000 photo.jpg …      a batch; then each photo whose name comes on standard input

use redis::cluster::{ClusterClient, ClusterConnection, cluster_pipe};
use redis::{RedisError, RedisResult, Value, cmd, from_redis_value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("HOST:PORT of a node");
    let paths: Vec<String> = arguments.collect();
    let photos: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<Result<_, _>>()?;

    let mut cluster = ClusterClient::builder([format!("redis://{address}")])
        .use_protocol(redis::ProtocolVersion::RESP3)
        .response_timeout(Duration::from_secs(60)) // longer than a request may wait
        .build()?
        .get_connection()?;

    for (path, result) in paths.iter().zip(recognise_all(&mut cluster, &photos)) {
        println!("batch\t{}\t{}", name(path), shown(result));
    }

    let key = key_of(&photos[0]);
    let result: String = cmd("IMAGE.GET").arg(&key).query(&mut cluster)?;
    println!("get\t{}\t{result}", name(&paths[0]));
    let details = cmd("IMAGE.RECOGNIZE").arg(&key).arg(&photos[0]).arg("WITHMETA").take();
    let meta: HashMap<String, Value> = details.query(&mut cluster)?;
    let text = |field: &str| from_redis_value::<String>(meta[field].clone());
    println!("meta\t{}\t{}\t{}", name(&paths[0]), text("source")?, text("sha256")?);

    for path in std::io::stdin().lines() {
        let path = path?;
        let result = recognise(&mut cluster, &std::fs::read(&path)?);
        println!("photo\t{}\t{}", name(&path), shown(result));
    }
    Ok(())
}

/// Asks first, and uploads only on a miss; asks again where that can help. MOVED, ASK, and nodes that have gone are
/// redis-rs's own business.
fn recognise(cluster: &mut ClusterConnection, photo: &[u8]) -> RedisResult<String> {
    let key = key_of(photo);
    let mut wait = Duration::from_millis(100);
    loop {
        let stored: RedisResult<Option<String>> = cmd("IMAGE.GET").arg(&key).query(cluster);
        let result = match stored {
            Ok(Some(result)) => Ok(result),
            Ok(None) => cmd("IMAGE.RECOGNIZE").arg(&key).arg(photo).query(cluster),
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

/// Not so BADIMAGE and the like: the same again would give the same.
fn may_pass(error: &RedisError) -> bool {
    match error.code() {
        Some(word) => {
            ["QUEUEFULL", "TIMEOUT", "UNBLOCKED", "CLUSTERDOWN", "TRYAGAIN"].contains(&word)
        }
        None => error.is_io_error() || error.is_connection_dropped(),
    }
}

/// A batch: NOWAIT queues all, in one round trip to each node; GET … WAIT collects, a result or an error for each photo.
/// A pipeline of redis-rs's cluster gives no results at all when one command fails, hence one GET after the other: they
/// carry no photo.
fn recognise_all(cluster: &mut ClusterConnection, photos: &[Vec<u8>]) -> Vec<RedisResult<String>> {
    let mut batch = cluster_pipe();
    for photo in photos {
        batch.cmd("IMAGE.RECOGNIZE").arg(key_of(photo)).arg(photo).arg("NOWAIT");
    }
    if let Err(error) = batch.exec(cluster) {
        eprintln!("not all were accepted: {error}");
    }
    let collect = |photo: &Vec<u8>| {
        let get = cmd("IMAGE.GET").arg(key_of(photo)).arg("WAIT").arg(30_000).take();
        let result: Option<String> = get.query(cluster)?;
        result.map_or_else(|| recognise(cluster, photo), Ok) // nil: it was not accepted
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
