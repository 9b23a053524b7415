//! Photos with fred, on one server and on a cluster.
//!
//!     fred 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input

use clients::{PATIENCE, Server, run};
use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};

struct Fred {
    shared: Client,
    waiting: Client,
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("HOST:PORT");
    let paths: Vec<String> = arguments.collect();
    let one = connect(&format!("redis://{address}")).await.map_err(text)?;
    let info: String = one
        .custom(CustomCommand::new_static("INFO", None, false), vec!["cluster"])
        .await
        .map_err(text)?;
    let is_cluster = info.contains("cluster_enabled:1");
    let url = format!("redis{}://{address}", if is_cluster { "-cluster" } else { "" });
    let shared = connect(&url).await.map_err(text)?;
    let waiting = connect(&url).await.map_err(text)?;
    run(Fred { shared, waiting }, &paths).await
}

async fn connect(url: &str) -> Result<Client, Error> {
    let client = Builder::from_config(Config::from_url(url)?)
        .with_performance_config(|config| config.default_command_timeout = PATIENCE)
        .set_policy(ReconnectPolicy::new_exponential(0, 100, 2000, 2))
        .build()?;
    client.init().await?;
    Ok(client)
}

impl Server for Fred {
    async fn ask(
        &self,
        waits: bool,
        command: &'static str,
        key: &str,
        rest: Vec<Vec<u8>>,
    ) -> Result<Option<String>, String> {
        let client = if waits { &self.waiting } else { &self.shared };
        custom(client, command, key, rest).await?.convert().map_err(text)
    }

    async fn meta(&self, key: &str, photo: &[u8]) -> Result<[String; 2], String> {
        let rest = vec![photo.to_vec(), b"WITHMETA".to_vec()];
        let flat: Vec<String> =
            custom(&self.shared, "IMAGE.RECOGNIZE", key, rest).await?.convert().map_err(text)?;
        let value = |name: &str| {
            let position = flat.iter().step_by(2).position(|field| field == name);
            position.and_then(|position| flat.get(2 * position + 1)).cloned().unwrap_or_default()
        };
        Ok([value("source"), value("sha256")])
    }
}

/// `FirstKey` tells fred that the first argument is the key, and so the node.
async fn custom(
    client: &Client,
    command: &'static str,
    key: &str,
    rest: Vec<Vec<u8>>,
) -> Result<Value, String> {
    let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
    let mut arguments: Vec<Value> = vec![key.into()];
    arguments.extend(rest.into_iter().map(|bytes| Value::Bytes(bytes.into())));
    client.custom(command, arguments).await.map_err(text)
}

/// An error of the server's is told as it came.
fn text(error: Error) -> String {
    error.details().to_owned()
}
