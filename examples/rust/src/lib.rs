//! What both programs share: the photos named on the command line are recognised as one batch, then a photo for each name
//! that comes on standard input; a line for each tells the step, the photo's name, and the result or the error.

use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::path::Path;
use std::time::Duration;

/// Longer than a request may wait.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Errors that would come again with the same photo. Others, and connections that are lost, pass.
const FINAL: [&str; 6] = ["BADIMAGE", "NOMODEL", "WRONGTYPE", "NOPERM", "ERR", "FAILED"];

/// What a client can do: send on a connection that stays free, or on one that waits.
pub trait Server {
    /// A command, its key, and the rest; nil is none, an error is its text.
    fn ask(
        &self,
        waits: bool,
        command: &'static str,
        key: &str,
        rest: Vec<Vec<u8>>,
    ) -> impl Future<Output = Result<Option<String>, String>>;

    /// `source` and `sha256` of `WITHMETA`.
    fn meta(&self, key: &str, photo: &[u8]) -> impl Future<Output = Result<[String; 2], String>>;
}

/// Asks first, and uploads only on a miss; asks again where that can help.
async fn recognise(server: &impl Server, photo: &[u8]) -> String {
    let key = key_of(photo);
    for attempt in 0..10 {
        match try_once(server, &key, photo).await {
            Ok(Some(result)) => return result,
            Err(error) if FINAL.iter().any(|word| error.starts_with(word)) => return error,
            Ok(None) | Err(_) => (),
        }
        tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
    }
    format!("{key}: given up")
}

async fn try_once(server: &impl Server, key: &str, photo: &[u8]) -> Result<Option<String>, String> {
    let stored = server.ask(false, "IMAGE.GET", key, Vec::new()).await?;
    if stored.is_some() {
        return Ok(stored);
    }
    let rest = vec![photo.to_vec(), b"NOWAIT".to_vec()];
    server.ask(false, "IMAGE.RECOGNIZE", key, rest).await?;
    server.ask(true, "IMAGE.GET", key, vec![b"WAIT".to_vec(), b"30000".to_vec()]).await
}

pub async fn run(server: impl Server, paths: &[String]) -> Result<(), String> {
    let read = |path: &String| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
    let photos: Vec<Vec<u8>> = paths.iter().map(read).collect::<Result<_, _>>()?;
    let batch = join_all(photos.iter().map(|photo| recognise(&server, photo))).await;
    for (path, result) in paths.iter().zip(batch) {
        println!("batch\t{}\t{result}", name(path));
    }
    let key = key_of(&photos[0]);
    let result = server.ask(false, "IMAGE.GET", &key, Vec::new()).await?.unwrap_or_default();
    println!("get\t{}\t{result}", name(&paths[0]));
    let [source, sha256] = server.meta(&key, &photos[0]).await?;
    println!("meta\t{}\t{source}\t{sha256}", name(&paths[0]));
    for path in std::io::stdin().lines().map_while(Result::ok) {
        println!("photo\t{}\t{}", name(&path), recognise(&server, &read(&path)?).await);
    }
    Ok(())
}

fn key_of(photo: &[u8]) -> String {
    let digest: String = Sha256::digest(photo).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("image:{digest}")
}

fn name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
