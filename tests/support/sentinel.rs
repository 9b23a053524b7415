//! Real sentinels that watch a master, and a client that asks them where the master is.

use super::client::{Ask, Reply, connect};
use super::server::{answering_pid, free_port, program};
use super::{PATIENCE, Server, wait_until};
use redis::{Cmd, Connection, ProtocolVersion, cmd};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// One sentinel.
pub struct Sentinel {
    pub port: u16,
    process: Child,
    _folder: TempDir,
}

/// Three sentinels, of which two must agree.
pub struct Sentinels(Vec<Sentinel>);

/// The sentinels' name for the master.
const NAME: &str = "images";

impl Sentinels {
    /// Returns when they know each other and all replicas.
    pub fn watch(master: &Server, replicas: usize) -> Sentinels {
        let sentinels = Sentinels((0..3).map(|_| Sentinel::start(master, 2)).collect());
        for sentinel in &sentinels.0 {
            wait_until("the sentinel knows everybody", || {
                let facts = sentinel.facts();
                facts("num-slaves") == replicas.to_string() && facts("num-other-sentinels") == "2"
            });
        }
        sentinels
    }

    /// The master's port, according to the sentinels.
    pub fn master_port(&self) -> Option<u16> {
        let ask = cmd("SENTINEL").arg(&["GET-MASTER-ADDR-BY-NAME", NAME]).take();
        ask.list(&mut self.0[0].client())[1].parse().ok()
    }

    /// Sends the command to the master, or to its successor, until there is a reply.
    #[track_caller]
    pub fn ask(&self, command: &Cmd) -> Reply {
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            let connection = self
                .master_port()
                .and_then(|port| connect(port, ProtocolVersion::RESP2, None).ok());
            let reply = connection.map(|mut connection| command.reply(&mut connection));
            if let Some(reply) = reply.filter(|reply| !is_no_master(reply)) {
                return reply;
            }
            assert!(Instant::now() < deadline, "there is no master");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn is_no_master(reply: &Reply) -> bool {
    const WORDS: [&str; 4] = ["READONLY", "UNBLOCKED", "LOADING", "MASTERDOWN"];
    match reply {
        Reply::Lost(_) => true,
        Reply::Error(error) => WORDS.iter().any(|word| error.starts_with(word)),
        Reply::Value(_) => false,
    }
}

impl Sentinel {
    /// A sentinel that decides alone.
    pub fn of(master: &Server) -> Sentinel {
        Sentinel::start(master, 1)
    }

    fn start(master: &Server, quorum: usize) -> Sentinel {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir \"{}\"\nlogfile sentinel.log\n\
             sentinel monitor {NAME} 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds {NAME} 3000\n\
             sentinel failover-timeout {NAME} 5000\n",
            folder.path().display(),
            master.port
        );
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, text).expect("sentinel.conf is written");
        let process = Command::new(program())
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let sentinel = Sentinel { port, process, _folder: folder };
        wait_until("the sentinel answers", || answering_pid(port) == Some(sentinel.process.id()));
        sentinel
    }

    pub fn client(&self) -> Connection {
        connect(self.port, ProtocolVersion::RESP2, None).expect("the sentinel takes a client")
    }

    /// What the sentinel knows about the master.
    fn facts(&self) -> impl Fn(&str) -> String + use<> {
        let list = cmd("SENTINEL").arg(&["MASTER", NAME]).list(&mut self.client());
        move |name| {
            let position = list.iter().position(|word| word == name);
            position.map(|at| list[at + 1].clone()).unwrap_or_default()
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
