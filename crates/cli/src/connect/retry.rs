//! What is worth another try, and when.
//!
//! A request ends when it has been tried for `--retry-for`, or when its node has not answered anybody for so long: of
//! ten thousand photos, those of a node that stays away cost one wait, not ten thousand.

use super::address::Address;
use crate::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another try changes nothing.
    None,
    /// Another node has the slot.
    Moved(Address),
    /// Another node has this key already.
    Ask(Address),
    /// It passes: wait, look who is master now, try again.
    Wait,
}

pub fn remedy(error: &Error) -> Remedy {
    let (word, sentence) = match error {
        Error::Lost { .. } => return Remedy::Wait,
        Error::Reply { word, sentence, .. } => (word.as_str(), sentence.as_str()),
        _ => return Remedy::None,
    };
    let named =
        || sentence.split_ascii_whitespace().nth(1).and_then(|text| Address::parse(text, 0));
    match word {
        "MOVED" => named().map_or(Remedy::Wait, Remedy::Moved),
        "ASK" => named().map_or(Remedy::Wait, Remedy::Ask),
        // The last two: a script that runs too long; a master that waits for its replicas.
        "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "READONLY" | "UNBLOCKED" | "MASTERDOWN"
        | "BUSY" | "NOREPLICAS" => Remedy::Wait,
        _ => Remedy::None,
    }
}

/// May it work later, without anybody changing the call?
pub fn is_temporary(error: &Error) -> bool {
    match error {
        Error::GaveUp { .. } => true,
        Error::Reply { word, .. }
            if ["QUEUEFULL", "TIMEOUT", "MISCONF", "OOM"].contains(&word.as_str()) =>
        {
            true
        }
        error => remedy(error) != Remedy::None,
    }
}

/// The tries of one request.
pub struct Tries {
    limit: Duration,
    failing_since: Option<Instant>,
    pause: Duration,
}

impl Tries {
    pub fn new(limit: Duration) -> Tries {
        Tries { limit, failing_since: None, pause: FIRST_PAUSE }
    }

    /// Waits before the next try, or gives up; `outage` is how long the node has answered nobody.
    pub async fn pause(&mut self, error: Error, outage: Duration) -> Result<(), Error> {
        let failing = self.failing_since.get_or_insert_with(Instant::now).elapsed();
        let waited = failing.max(outage);
        if waited >= self.limit {
            return Err(Error::GaveUp { after: waited, last: Box::new(error) });
        }
        tokio::time::sleep(jittered(self.pause).min(self.limit - waited)).await;
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// Half to the whole of `pause`, so that many clients don't come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(word: &str, sentence: &str) -> Error {
        Error::Reply {
            node: "a:1".to_owned(),
            word: word.to_owned(),
            sentence: sentence.to_owned(),
        }
    }

    #[test]
    fn a_redirection_names_its_node() {
        let there = Address { host: "10.0.0.2".to_owned(), port: 7001 };
        assert_eq!(remedy(&reply("MOVED", "12 10.0.0.2:7001")), Remedy::Moved(there.clone()));
        assert_eq!(remedy(&reply("ASK", "12 10.0.0.2:7001")), Remedy::Ask(there));
        assert_eq!(remedy(&reply("MOVED", "12")), Remedy::Wait);
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for word in ["TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY", "UNBLOCKED", "MASTERDOWN"] {
            assert_eq!(remedy(&reply(word, "")), Remedy::Wait, "{word}");
        }
        for word in ["ERR", "BADIMAGE", "NOMODEL", "NOPERM", "WRONGTYPE", "WRONGPASS"] {
            assert_eq!(remedy(&reply(word, "")), Remedy::None, "{word}");
        }
    }

    #[tokio::test]
    async fn the_node_s_outage_counts_as_much_as_the_request_s_own() {
        let mut tries = Tries::new(Duration::from_secs(60));
        let lost = reply("LOADING", "");
        tries.pause(lost.clone(), Duration::from_secs(59)).await.unwrap();
        let error = tries.pause(lost, Duration::from_secs(61)).await.unwrap_err();
        assert!(matches!(error, Error::GaveUp { after, .. } if after.as_secs() == 61));
    }
}
