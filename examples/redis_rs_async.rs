//! Photos through a Redis Cluster with redis-rs and tokio (the crate `redis` with its features `cluster-async` and
//! `tokio-comp`): one connection, used by many tasks at once.
//!
//!     redis_rs_async 127.0.0.1:7000 photo.jpg …      a batch; then each photo whose name comes on standard input

use futures_util::future::join_all;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, RedisResult, Value, cmd, from_redis_value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("HOST:PORT of a node");
    let paths: Vec<String> = arguments.collect();
    let photos: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<Result<_, _>>()?;

    let mut cluster = ClusterClient::builder([format!("redis://{address}")])
        .use_protocol(redis::ProtocolVersion::RESP3)
        .response_timeout(Duration::from_secs(60)) // longer than a request may wait
        .build()?
        .get_async_connection()
        .await?;

    // A batch: NOWAIT queues all, GET … WAIT collects. An error of either is that photo's alone.
    let accepted =
        ask_all(&cluster, photos.iter().map(|photo| recognize(photo).arg("NOWAIT").take())).await;
    let results =
        ask_all(&cluster, photos.iter().map(|photo| get(photo).arg("WAIT").arg(30_000).take()))
            .await;
    for ((path, accepted), result) in paths.iter().zip(accepted).zip(results) {
        println!("batch\t{}\t{}", name(path), shown(accepted.and(result)));
    }

    let result: String = get(&photos[0]).query_async(&mut cluster).await?;
    println!("get\t{}\t{result}", name(&paths[0]));
    let meta: HashMap<String, Value> =
        recognize(&photos[0]).arg("WITHMETA").query_async(&mut cluster).await?;
    let text = |field: &str| from_redis_value::<String>(meta[field].clone());
    println!("meta\t{}\t{}\t{}", name(&paths[0]), text("source")?, text("sha256")?);

    for path in std::io::stdin().lines() {
        let path = path?;
        let result = recognise(&mut cluster, &std::fs::read(&path)?).await;
        println!("photo\t{}\t{}", name(&path), shown(result));
    }
    Ok(())
}

/// Asks first, and uploads only on a miss. What to do about errors: see redis_rs.rs.
async fn recognise(cluster: &mut ClusterConnection, photo: &[u8]) -> RedisResult<String> {
    match get(photo).query_async(cluster).await? {
        Some(result) => Ok(result),
        None => recognize(photo).query_async(cluster).await,
    }
}

/// All of them at once; the connection carries them side by side, to each node those of its keys.
async fn ask_all(
    cluster: &ClusterConnection,
    commands: impl Iterator<Item = Cmd>,
) -> Vec<RedisResult<String>> {
    join_all(commands.map(|command| {
        let mut cluster = cluster.clone();
        async move { command.query_async(&mut cluster).await }
    }))
    .await
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
