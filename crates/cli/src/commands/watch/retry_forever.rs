//! Answers at any price: a camera's picture is given up only for reasons of its own.

use crate::connect::{Connection, is_temporary};
use crate::error::Error;
use crate::gallery::{self, Gallery};
use crate::recognizer::{Recognized, Recognizer};
use crate::stop::Stop;
use crate::terminal::tell;
use serde_json::Value as Json;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);
/// An outage is told once in a while, not with every try.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

pub struct RetryForever {
    recognizer: Recognizer,
    stop: Stop,
    warned: Mutex<Option<Instant>>,
}

/// A key or model that the frame itself names; what is wrong with it is the frame's own fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameFields {
    pub key: Option<Vec<u8>>,
    pub model: Option<String>,
}

impl RetryForever {
    pub fn new(recognizer: Recognizer, stop: Stop) -> RetryForever {
        RetryForever { recognizer, stop, warned: Mutex::default() }
    }

    pub fn connection(&self) -> &Connection {
        self.recognizer.connection()
    }

    pub fn key_of(&self, digest: &str) -> Vec<u8> {
        self.recognizer.key_of(digest)
    }

    /// The result, or an error that the picture is the reason for. It ends early when it is time to stop, with the error
    /// that it was waiting out.
    pub async fn recognize(
        &self,
        payload: &[u8],
        wishes: &FrameFields,
    ) -> Result<Recognized, Unanswered> {
        loop {
            let (key, model) = (wishes.key.as_deref(), wishes.model.as_deref());
            match self.recognizer.recognize(payload, key, model).await {
                Ok(recognized) => return Ok(recognized),
                Err(error) if is_passing(&error, wishes) => {
                    self.pause(&error).await.map_err(|_| Unanswered::Stopped)?;
                }
                Err(error) => return Err(Unanswered::Refused(error)),
            }
        }
    }

    /// Who of the gallery is in a result.
    pub async fn identify(&self, gallery: &str, result: &str) -> Result<Json, Unanswered> {
        let gallery = Gallery::new(self.connection(), gallery);
        loop {
            match gallery.identify(result, &gallery::Wishes::default()).await {
                Ok(people) => return Ok(people),
                // A gallery that is not there, or not yet, is no fault of the picture.
                Err(error)
                    if is_passing(&error, &FrameFields::default())
                        || ["NOGALLERY", "STALE", "WRONGTYPE"].contains(&error.word()) =>
                {
                    self.pause(&error).await.map_err(|_| Unanswered::Stopped)?;
                }
                Err(error) => return Err(Unanswered::Refused(error)),
            }
        }
    }

    /// Tells of the error, and waits; an error if it is time to stop.
    pub async fn pause(&self, error: &Error) -> Result<(), Stopped> {
        self.warn(error);
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => Ok(()),
            () = self.stop.wait() => Err(Stopped),
        }
    }

    pub fn warn(&self, error: &Error) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|last| last.elapsed() > BETWEEN_WARNINGS) {
            *warned = Some(Instant::now());
            tell(&format!("redis-image: {error}; trying again"));
        }
    }
}

#[derive(Debug)]
pub struct Stopped;

#[derive(Debug)]
pub enum Unanswered {
    /// The picture can't be recognised, ever.
    Refused(Error),
    /// It was time to stop; the picture is as good as before.
    Stopped,
}

/// Is it a matter of the nodes, which somebody will put right?
fn is_passing(error: &Error, wishes: &FrameFields) -> bool {
    match error.word() {
        "NOMODEL" => wishes.model.is_none(),
        "NOPERM" => wishes.key.is_none(),
        "NOAUTH" | "WRONGPASS" | "TLS" => true,
        _ => is_temporary(error) || error.is_without_module(),
    }
}
