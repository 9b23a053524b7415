//! One Sentinel, which alone decides about a master that it calls `images`.

use super::client::connect;
use super::server::free_port;
use super::{Server, wait_until};
use redis::{Connection, ProtocolVersion};
use std::fs;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub struct Sentinel {
    process: Child,
    pub port: u16,
    _folder: TempDir,
}

impl Sentinel {
    pub fn of(master: &Server) -> Sentinel {
        let folder = tempfile::Builder::new().prefix("redis-image-").tempdir().expect("a folder");
        let port = free_port();
        let file = folder.path().join("sentinel.conf");
        let lines = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor images 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds images 1000\nsentinel failover-timeout images 5000\n",
            folder.path().display(),
            master.port
        );
        fs::write(&file, lines).expect("sentinel.conf is written");
        let program = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let process = Command::new(program)
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let sentinel = Sentinel { process, port, _folder: folder };
        wait_until("the Sentinel answers", || connect(port, ProtocolVersion::RESP2, None).is_ok());
        sentinel
    }

    pub fn client(&self) -> Connection {
        connect(self.port, ProtocolVersion::RESP2, None).expect("the Sentinel takes a client")
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
