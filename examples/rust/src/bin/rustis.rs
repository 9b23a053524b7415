//! Photos with rustis, on one server and on a cluster.
//!
//!     rustis 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input

use clients::{PATIENCE, Server, run};
use rustis::ErrorKind;
use rustis::client::{Client, IntoConfig};
use rustis::resp::{BulkString, cmd};
use std::collections::HashMap;

struct Rustis {
    shared: Client,
    waiting: Client,
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("HOST:PORT");
    let paths: Vec<String> = arguments.collect();
    let one = connect(format!("redis://{address}")).await.map_err(text)?;
    let info: String = one.send(cmd("INFO").arg("cluster"), None).await.map_err(text)?;
    let is_cluster = info.contains("cluster_enabled:1");
    let url = format!("redis{}://{address}", if is_cluster { "+cluster" } else { "" });
    let shared = connect(url.clone()).await.map_err(text)?;
    let waiting = connect(url).await.map_err(text)?;
    run(Rustis { shared, waiting }, &paths).await
}

async fn connect(url: String) -> rustis::Result<Client> {
    let mut config = url.into_config()?;
    config.command_timeout = PATIENCE;
    Client::connect(config).await
}

impl Server for Rustis {
    async fn ask(
        &self,
        waits: bool,
        command: &'static str,
        key: &str,
        rest: Vec<Vec<u8>>,
    ) -> Result<Option<String>, String> {
        let client = if waits { &self.waiting } else { &self.shared };
        let mut command = cmd(command).key(key);
        for argument in rest {
            command = command.arg(BulkString::from(argument));
        }
        client.send(command, None).await.map_err(text)
    }

    async fn meta(&self, key: &str, photo: &[u8]) -> Result<[String; 2], String> {
        let command =
            cmd("IMAGE.RECOGNIZE").key(key).arg(BulkString::from(photo.to_vec())).arg("WITHMETA");
        let fields: HashMap<String, String> =
            self.shared.send(command, None).await.map_err(text)?;
        Ok(["source", "sha256"].map(|name| fields.get(name).cloned().unwrap_or_default()))
    }
}

/// An error of the server's is told as it came, without what rustis puts around it.
fn text(error: rustis::Error) -> String {
    match error.kind() {
        ErrorKind::Redis(error) => error.to_string(),
        other => other.to_string(),
    }
}
