//! One photo through the servers: ask for its stored result, upload it where there is none, wait out a full queue.

use crate::connect::{Connection, PATIENCE, Tries, map, text};
use crate::digest;
use crate::error::Error;
use clap::Args;
use redis::{Cmd, Value, cmd};
use std::time::Duration;

/// A node that hangs must not keep the others waiting.
const CHECK_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Recognition")]
pub struct RecognizeOptions {
    /// The model; default: the servers' image.model
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// How many photos are with the servers at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Results expire after so many seconds; default: the servers' image.ttl
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub ex: Option<u64>,

    /// What stands before the digest in the key of a result
    #[arg(long, value_name = "TEXT", default_value = "image:")]
    pub key_prefix: String,

    /// How long a photo may wait for its recognition until it is asked for again
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

pub struct Recognizer {
    connection: Connection,
    options: RecognizeOptions,
    /// Compute again what is stored.
    refresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Stored,
    /// For us, or at the same time for somebody else.
    Computed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognized {
    pub source: Source,
    /// The result's JSON, byte for byte as it is stored.
    pub result: String,
}

/// One photo of which the digest is known.
#[derive(Debug, Clone, Copy)]
pub struct Photo<'a> {
    pub key: &'a [u8],
    pub digest: &'a str,
    pub model: Option<&'a str>,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Stored => "stored",
            Source::Computed => "computed",
        }
    }
}

impl Recognizer {
    pub fn new(connection: Connection, options: RecognizeOptions, refresh: bool) -> Recognizer {
        Recognizer { connection, options, refresh }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn model(&self) -> Option<&str> {
        self.options.model.as_deref()
    }

    pub fn key_of(&self, digest: &str) -> Vec<u8> {
        format!("{}{digest}", self.options.key_prefix).into_bytes()
    }

    /// Would every request fail? A master without the module or the model, a login that is refused. A node that does
    /// not answer now may do so in a minute.
    pub async fn check(&self) -> Result<(), Error> {
        for address in self.connection.masters() {
            match self.connection.run_on(&address, &cmd("IMAGE.MODELS"), CHECK_PATIENCE).await {
                Ok(models) => {
                    if let Some(model) = self.model() {
                        knows_model(&models, model, &address.to_string())?;
                    }
                }
                Err(error) if error.is_without_module() => return Err(error),
                Err(error) if ["NOAUTH", "WRONGPASS"].contains(&error.word()) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// The stored results of these digests, asked for in one pipeline a node; of none where everything is computed again.
    pub async fn stored(&self, digests: &[String]) -> Vec<Result<Option<String>, Error>> {
        if self.refresh {
            return vec![Ok(None); digests.len()];
        }
        let asks: Vec<(Vec<u8>, Cmd)> = digests
            .iter()
            .map(|digest| {
                let key = self.key_of(digest);
                let command = self.get(Photo { key: &key, digest, model: self.model() });
                (key, command)
            })
            .collect();
        let replies = self.connection.run_many(&asks).await;
        replies.into_iter().map(|reply| reply.map(|value| text(&value))).collect()
    }

    /// Asks first, then uploads. `key` and `model` where they are not the usual ones.
    pub async fn recognize(
        &self,
        payload: &[u8],
        key: Option<&[u8]>,
        model: Option<&str>,
    ) -> Result<Recognized, Error> {
        let digest = digest::of(payload);
        let usual = self.key_of(&digest);
        let photo =
            Photo { key: key.unwrap_or(&usual), digest: &digest, model: model.or(self.model()) };
        if !self.refresh {
            let reply = self.connection.run(photo.key, &self.get(photo)).await?;
            if let Some(result) = text(&reply) {
                return Ok(Recognized { source: Source::Stored, result });
            }
        }
        self.upload(photo, payload).await
    }

    /// The result of an upload. What passes by itself is tried again; after a `TIMEOUT` the job goes on over there, so
    /// that the photo is not sent again before its result was asked for.
    pub async fn upload(&self, photo: Photo<'_>, payload: &[u8]) -> Result<Recognized, Error> {
        let command = self.recognize_command(photo, payload);
        let mut tries = self.connection.tries();
        loop {
            let patience = self.timeout() + PATIENCE;
            let error = match self.connection.run_within(photo.key, &command, patience).await {
                Ok(reply) => return recognized(&reply),
                Err(error) => error,
            };
            match error.word() {
                "QUEUEFULL" => tries.pause(error, Duration::ZERO).await?,
                "TIMEOUT" => {
                    tries.pause(error, Duration::ZERO).await?;
                    if let Some(result) = self.wait_for(photo, &mut tries).await? {
                        return Ok(Recognized { source: Source::Computed, result });
                    }
                }
                _ => return Err(error),
            }
        }
    }

    /// The result of a request that goes on without us; none if nothing goes on.
    async fn wait_for(&self, photo: Photo<'_>, tries: &mut Tries) -> Result<Option<String>, Error> {
        let command = self.get(photo).arg("WAIT").arg(self.milliseconds()).take();
        let patience = self.timeout() + PATIENCE;
        loop {
            match self.connection.run_within(photo.key, &command, patience).await {
                Ok(reply) => return Ok(text(&reply)),
                Err(error) if error.word() == "TIMEOUT" => {
                    tries.pause(error, Duration::ZERO).await?;
                }
                // Of that request; ours may fare better.
                Err(error) if error.word() == "QUEUEFULL" => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn get(&self, photo: Photo<'_>) -> Cmd {
        let mut command = cmd("IMAGE.GET").arg(photo.key).take();
        if let Some(model) = photo.model {
            command.arg("MODEL").arg(model);
        }
        command.arg("SHA256").arg(photo.digest);
        command
    }

    fn recognize_command(&self, photo: Photo<'_>, payload: &[u8]) -> Cmd {
        let mut command = cmd("IMAGE.RECOGNIZE").arg(photo.key).arg(payload).take();
        if let Some(model) = photo.model {
            command.arg("MODEL").arg(model);
        }
        if let Some(seconds) = self.options.ex {
            command.arg("EX").arg(seconds);
        }
        if self.refresh {
            command.arg("REFRESH");
        }
        command.arg("TIMEOUT").arg(self.milliseconds()).arg("WITHMETA");
        command
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.options.timeout)
    }

    fn milliseconds(&self) -> u64 {
        1000 * self.options.timeout
    }
}

/// Of a reply with `WITHMETA`.
fn recognized(reply: &Value) -> Result<Recognized, Error> {
    let fields = map(reply).unwrap_or_default();
    let field = |name: &str| fields.get(name).and_then(|value| text(value));
    match (field("source"), field("result")) {
        (Some(source), Some(result)) => Ok(Recognized {
            source: if source == "stored" { Source::Stored } else { Source::Computed },
            result,
        }),
        _ => Err(Error::usage(
            "the reply to IMAGE.RECOGNIZE is not understood: is the module of another version?",
        )),
    }
}

fn knows_model(models: &Value, wanted: &str, node: &str) -> Result<(), Error> {
    let Value::Array(models) = models else { return Ok(()) };
    let models: Vec<_> = models.iter().filter_map(map).collect();
    let field = |model: &std::collections::BTreeMap<String, &Value>, name: &str| {
        model.get(name).and_then(|value| text(value)).unwrap_or_default()
    };
    let refused = |sentence: String| Error::Reply {
        node: node.to_owned(),
        word: "NOMODEL".to_owned(),
        sentence,
    };
    match models.iter().find(|model| field(model, "name") == wanted) {
        Some(model) if field(model, "state") == "failed" => Err(refused(format!(
            "the model {wanted} could not be loaded: {}",
            field(model, "error")
        ))),
        Some(_) => Ok(()),
        None => {
            let names: Vec<String> = models.iter().map(|model| field(model, "name")).collect();
            Err(refused(format!("there is no model {wanted}, only {}", names.join(", "))))
        }
    }
}
