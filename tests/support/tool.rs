//! The command-line program, as a user starts it.

use super::server::module_path;
use serde_json::Value;
use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// `redis-image`, which cargo builds next to the module.
pub fn tool() -> Command {
    let path = module_path().with_file_name("redis-image");
    assert!(path.is_file(), "no program at {}: `make test` builds it", path.display());
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("REDIS_IMAGE_") {
            command.env_remove(name);
        }
    }
    command
}

/// What the program printed, and its exit status.
#[derive(Debug)]
pub struct Told {
    pub out: String,
    pub err: String,
    pub status: i32,
}

pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Told {
    told(tool().args(arguments).output().expect("the program starts"))
}

pub fn told(output: Output) -> Told {
    Told {
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
        status: output.status.code().expect("it was not killed"),
    }
}

impl Told {
    /// The standard output, which is JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
