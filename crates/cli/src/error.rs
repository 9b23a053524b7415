//! Why something did not work, in a sentence that says what to do. Nothing here decides what is tried again; that is
//! `connect::retry`.

use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The exit status where nothing was done: wrong options, no server, a node without the module.
pub const COULD_NOT_WORK: u8 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The call can't work as it was written, or what it needs is not there.
    Usage(String),
    /// An error reply: which node gave it, its first word, the rest.
    Reply { node: String, word: String, sentence: String },
    /// A connection that TLS does not allow, by what either side says of the other's certificate.
    Tls { node: String, why: String },
    /// No reply: the connection was refused or broke, or nothing came in time.
    Lost { node: String, why: String },
    /// It was tried again for so long, and ended like this.
    GaveUp { after: Duration, last: Box<Error> },
    /// A file of this machine.
    File { path: String, why: String },
}

impl Error {
    pub fn usage(sentence: impl Into<String>) -> Error {
        Error::Usage(sentence.into())
    }

    pub fn file(path: &Path, why: impl fmt::Display) -> Error {
        Error::File { path: path.display().to_string(), why: why.to_string() }
    }

    /// The word that a program matches: that of the reply, or `LOST`, `TLS`, `FILE`, `USAGE`.
    pub fn word(&self) -> &str {
        match self {
            Error::Usage(_) => "USAGE",
            Error::Reply { word, .. } => word,
            Error::Tls { .. } => "TLS",
            Error::Lost { .. } => "LOST",
            Error::GaveUp { last, .. } => last.word(),
            Error::File { .. } => "FILE",
        }
    }

    /// The node does not know the module's commands.
    pub fn is_without_module(&self) -> bool {
        match self {
            Error::Reply { word, sentence, .. } => {
                word == "ERR"
                    && sentence.to_ascii_lowercase().starts_with("unknown command 'image.")
            }
            Error::GaveUp { last, .. } => last.is_without_module(),
            _ => false,
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(sentence) => write!(f, "{}", printable(sentence)),
            Error::Reply { node, .. } if self.is_without_module() => write!(
                f,
                "node {node} has not loaded the module redis-image: add `loadmodule \
                 /path/to/libredis_image.so` to its redis.conf and restart it, or run `redis-cli -u redis://{node} \
                 MODULE LOADEX /path/to/libredis_image.so`"
            ),
            Error::Reply { node, word, sentence } => {
                write!(f, "{} {} (node {node}", printable(word), printable(sentence))?;
                match advice(word) {
                    Some(advice) => write!(f, "; {advice})"),
                    None => write!(f, ")"),
                }
            }
            Error::Tls { node, why } => write!(
                f,
                "TLS with node {node}: {}; see --tls-ca, --tls-cert and --insecure",
                printable(why)
            ),
            Error::Lost { node, why } => write!(f, "no reply of node {node}: {}", printable(why)),
            Error::GaveUp { after, last } => {
                write!(f, "{last}; given up after {} s, see --retry-for", after.as_secs())
            }
            Error::File { path, why } => write!(f, "{}: {}", printable(path), printable(why)),
        }
    }
}

/// What to do, where the server's sentence can't know it.
fn advice(word: &str) -> Option<&'static str> {
    Some(match word {
        "NOMODEL" => {
            "`redis-image models fetch` fetches the models, IMAGE.MODELS shows what the node has"
        }
        "NOAUTH" => "give --user and the variable REDIS_IMAGE_PASSWORD",
        "WRONGPASS" => "check --user and the variable REDIS_IMAGE_PASSWORD",
        "NOPERM" => "`redis-image --help` lists what the user must be allowed",
        "QUEUEFULL" => "lower --concurrency, or add threads or nodes",
        "READONLY" => "this is a replica: give the master, --cluster or --sentinel",
        "MOVED" => {
            "the server is a node of a cluster: give --cluster, and allow the user +cluster|shards"
        }
        _ => return None,
    })
}

/// On one line and without control characters, as names and texts come from files and from other machines.
pub fn printable(text: &str) -> String {
    text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_the_module_is_named_with_the_remedy() {
        let error = Error::Reply {
            node: "10.0.0.7:6379".to_owned(),
            word: "ERR".to_owned(),
            sentence: "unknown command 'IMAGE.GET', with args beginning with: 'k' ".to_owned(),
        };
        assert!(error.is_without_module());
        let text = error.to_string();
        assert!(text.contains("10.0.0.7:6379") && text.contains("loadmodule"), "{text}");
    }

    #[test]
    fn what_others_wrote_can_not_steer_the_terminal() {
        let error = Error::usage("a\u{1b}[2Jb\n");
        assert_eq!(error.to_string(), "a\u{fffd}[2Jb");
    }
}
