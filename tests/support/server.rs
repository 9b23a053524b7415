//! A redis-server: its process and its folder.

use super::client::{Ask, Pending, connect};
use super::{PATIENCE, tiny, wait_for, wait_until};
use redis::{Cmd, Connection, ProtocolVersion, cmd};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;
use tempfile::TempDir;

pub struct Builder {
    lines: Vec<(String, String)>,
    module_arguments: Vec<String>,
    models: Option<PathBuf>,
    module: bool,
    cluster: bool,
    filtered: bool,
}

pub struct Server {
    folder: TempDir,
    pub port: u16,
    process: Option<Child>,
    filtered: bool,
}

impl Builder {
    /// Adds a line to redis.conf.
    pub fn config(mut self, name: &str, value: impl ToString) -> Builder {
        self.lines.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a line `image.NAME VALUE` to redis.conf.
    pub fn setting(self, name: &str, value: impl ToString) -> Builder {
        self.config(&format!("image.{name}"), value)
    }

    /// Adds arguments after the module's path in `loadmodule`.
    pub fn module_arguments(mut self, arguments: &[&str]) -> Builder {
        self.module_arguments.extend(arguments.iter().map(|text| text.to_string()));
        self
    }

    /// Names the models folder. By default the server has its own, with the model `tiny`.
    pub fn models(mut self, folder: &Path) -> Builder {
        self.models = Some(folder.to_owned());
        self
    }

    /// Takes the repository's models, with `mobilenetv2` as the default. Without their weights the test is skipped.
    pub fn real_models(self) -> Builder {
        self.models(&super::needs::models()).setting("model", "mobilenetv2")
    }

    pub fn without_module(mut self) -> Builder {
        self.module = false;
        self
    }

    pub fn append_only(self) -> Builder {
        self.config("appendonly", "yes")
    }

    pub fn replica_of(self, master: &Server) -> Builder {
        self.config("replicaof", format!("127.0.0.1 {}", master.port))
    }

    pub fn cluster(mut self) -> Builder {
        self.cluster = true;
        self
    }

    /// The process is killed if it changes a thread's priority or cores, as under Debian's unit for redis-server.
    pub fn without_scheduling(mut self) -> Builder {
        self.filtered = true;
        self
    }

    pub fn start(self) -> Server {
        for _ in 0..20 {
            let folder =
                tempfile::Builder::new().prefix("redis-image-").tempdir().expect("a folder");
            let port = free_port();
            self.write_configuration(folder.path(), port);
            let mut server = Server { folder, port, process: None, filtered: self.filtered };
            if server.launch() {
                return server;
            }
            assert!(
                server.log().contains("Address already in use"),
                "the server ended:\n{}",
                server.log()
            );
        }
        panic!("no free port found");
    }

    /// For a server that must fail to start. Returns its log.
    pub fn start_in_vain(self) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        self.write_configuration(folder.path(), port);
        let mut server = Server { folder, port, process: None, filtered: self.filtered };
        assert!(!server.launch(), "the server started although it should not");
        server.log()
    }

    fn write_configuration(&self, folder: &Path, port: u16) {
        let mut lines: Vec<(String, String)> = vec![
            ("port".into(), port.to_string()),
            ("bind".into(), "127.0.0.1".into()),
            ("dir".into(), folder.display().to_string()),
            ("save".into(), String::new()),
            ("repl-diskless-sync-delay".into(), "0".into()),
            ("enable-debug-command".into(), "local".into()),
            ("enable-module-command".into(), "local".into()),
        ];
        lines.extend(lines_for_every_server());
        if self.cluster {
            lines.push(("cluster-enabled".into(), "yes".into()));
            lines.push(("cluster-port".into(), free_port().to_string()));
            lines.push(("cluster-node-timeout".into(), "2000".into()));
        }
        if self.module {
            let models = self.models.clone().unwrap_or_else(|| {
                tiny::Model::new().write(&folder.join("models/tiny"));
                folder.join("models")
            });
            lines.push(("image.models-path".into(), models.display().to_string()));
            if self.models.is_none() {
                lines.push(("image.model".into(), "tiny".into()));
            }
        }
        lines.extend(self.lines.iter().cloned());
        let mut text: String =
            lines.iter().map(|(name, value)| format!("{name} {}\n", quoted(name, value))).collect();
        if self.module {
            text += &format!(
                "loadmodule {} {}\n",
                module_path().display(),
                self.module_arguments.join(" ")
            );
        }
        fs::write(folder.join("redis.conf"), text).expect("redis.conf is written");
    }
}

impl Server {
    /// A server with the module and the model `tiny`, and otherwise default settings.
    pub fn start() -> Server {
        Server::with().start()
    }

    pub fn with() -> Builder {
        Builder {
            lines: Vec::new(),
            module_arguments: Vec::new(),
            models: None,
            module: true,
            cluster: false,
            filtered: false,
        }
    }

    /// A connection that speaks RESP2.
    #[track_caller]
    pub fn client(&self) -> Connection {
        connect(self.port, ProtocolVersion::RESP2, None).expect("the server takes a client")
    }

    #[track_caller]
    pub fn client_resp3(&self) -> Connection {
        connect(self.port, ProtocolVersion::RESP3, None).expect("the server takes a client")
    }

    #[track_caller]
    pub fn client_of(&self, user: &str, password: &str) -> Connection {
        connect(self.port, ProtocolVersion::RESP2, Some((user, password)))
            .expect("the server takes the user")
    }

    /// Sends `command` on a connection of its own, without waiting for the reply.
    #[track_caller]
    pub fn send(&self, command: &Cmd) -> Pending {
        Pending::send(self.client(), command)
    }

    /// The fields of `INFO image`, without the `image_` before each.
    pub fn info(&self) -> BTreeMap<String, String> {
        self.info_of("image")
    }

    pub fn info_of(&self, section: &str) -> BTreeMap<String, String> {
        let text = cmd("INFO").arg(section).text(&mut self.client());
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| {
                (name.strip_prefix("image_").unwrap_or(name).to_owned(), value.to_owned())
            })
            .collect()
    }

    /// One number from `INFO image`.
    #[track_caller]
    pub fn count(&self, field: &str) -> i64 {
        let info = self.info();
        let text =
            info.get(field).unwrap_or_else(|| panic!("INFO image has no {field}: {info:#?}"));
        text.parse().unwrap_or_else(|_| panic!("{field} is no number: {text}"))
    }

    /// One number from a model's line in `INFO image`.
    #[track_caller]
    pub fn model_count(&self, model: &str, field: &str) -> i64 {
        let info = self.info();
        let line = info
            .get(&format!("model_{model}"))
            .unwrap_or_else(|| panic!("no {model} in {info:#?}"));
        let entry = line.split(',').find_map(|entry| entry.strip_prefix(field)?.strip_prefix('='));
        let text = entry.unwrap_or_else(|| panic!("no {field} in {line}"));
        text.parse().unwrap_or_else(|_| panic!("{field} is no number: {text}"))
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Whether the process is still running.
    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().expect("a child").is_none())
    }

    /// Its working folder: redis.conf, the log, the data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(
            &fs::read(self.folder.path().join("server.log")).unwrap_or_default(),
        )
        .into_owned()
    }

    /// Kills the process, as a power cut would. The folder stays.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Sends `SHUTDOWN` with `arguments` (`NOSAVE`, `SAVE`, …) and returns the exit status.
    #[track_caller]
    pub fn shutdown(&mut self, arguments: &[&str]) -> ExitStatus {
        let _ = self.send(cmd("SHUTDOWN").arg(arguments)).reply();
        self.wait_for_end()
    }

    /// Waits until the process has ended by itself.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let process = self.process.as_mut().expect("the server runs");
        let status = wait_for("the end of the server", || process.try_wait().expect("a child"));
        self.process = None;
        status
    }

    /// Starts the server with the same folder, port and redis.conf.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server still runs");
        assert!(self.launch(), "the server ended:\n{}", self.log());
    }

    /// Waits until this replica has caught up with `master`.
    #[track_caller]
    pub fn wait_for_sync(&self, master: &Server) {
        wait_until("the replica's link", || {
            self.info_of("replication").get("master_link_status").is_some_and(|s| s == "up")
        });
        // Before that, the master does not hand over to this replica.
        let own = format!(",port={},state=online,", self.port);
        wait_until("the master's view of the replica", || {
            master.info_of("replication").values().any(|value| value.contains(&own))
        });
        let offset = |server: &Server| server.info_of("replication")["master_repl_offset"].clone();
        let goal = offset(master).parse::<i64>().expect("an offset");
        wait_until("the replica's offset", || {
            offset(self).parse::<i64>().expect("an offset") >= goal
        });
    }

    /// Starts the process. Returns false if it ended before it answered.
    fn launch(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("server.log"))
            .expect("a log");
        let mut command = Command::new(program());
        command
            .arg(self.folder.path().join("redis.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        if self.filtered {
            super::seccomp::forbid_scheduling(&mut command);
        }
        let process = command.spawn().expect("redis-server is installed");
        let pid = process.id();
        self.process = Some(process);
        let deadline = Instant::now() + 3 * PATIENCE;
        while Instant::now() < deadline {
            if !self.is_alive() {
                self.process = None;
                return false;
            }
            if answering_pid(self.port) == Some(pid) {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the server does not answer:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() && !harness::is_skipping() {
            eprintln!(
                "--- log of the server on port {} ---\n{}\n---",
                self.port,
                telling_part(&self.log())
            );
        }
    }
}

/// The beginning of the crash report, or the end of the log if there is none.
fn telling_part(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let start = match lines.iter().position(|line| line.contains("REDIS BUG REPORT START")) {
        Some(crash) => crash.saturating_sub(20),
        None => lines.len().saturating_sub(100),
    };
    lines[start..].iter().take(100).map(|line| format!("{line}\n")).collect()
}

/// The server's program.
pub fn program() -> OsString {
    std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// The ID of the process that answers on `port` and has loaded its data. Another test's server may have taken the port.
pub fn answering_pid(port: u16) -> Option<u32> {
    let mut client = connect(port, ProtocolVersion::RESP2, None).ok()?;
    cmd("PING").query::<String>(&mut client).ok()?;
    let text: String = cmd("INFO").arg("server").query(&mut client).ok()?;
    text.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().parse().ok()
}

/// A free port below those that the system uses for outgoing connections. So it is free again when a server restarts.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() * 61 % 12000) as u16;
    wait_for("a free port", || {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20000 + start.wrapping_add(step) % 12000;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}

pub fn module_path() -> PathBuf {
    let path = match std::env::var_os("REDIS_IMAGE_MODULE") {
        Some(path) => PathBuf::from(path),
        None => {
            let test = std::env::current_exe().expect("the test's own path");
            test.ancestors().nth(2).expect("target/debug/deps/").join("libredis_image.so")
        }
    };
    assert!(
        path.is_file(),
        "no module at {}: `make test` builds it, REDIS_IMAGE_MODULE names another",
        path.display()
    );
    path
}

/// The lines `name value` that REDIS_IMAGE_CONFIG adds to every redis.conf. A test's own lines come after them.
fn lines_for_every_server() -> Vec<(String, String)> {
    let text = std::env::var("REDIS_IMAGE_CONFIG").unwrap_or_default();
    let line = |line: &str| {
        let (name, value) = line.trim().split_once(' ').expect("REDIS_IMAGE_CONFIG: `name value`");
        (name.to_owned(), value.trim().to_owned())
    };
    text.lines().filter(|text| !text.trim().is_empty()).map(line).collect()
}

fn quoted(name: &str, value: &str) -> String {
    let several_words = ["replicaof", "save"].contains(&name) && !value.is_empty();
    if several_words { value.to_owned() } else { format!("\"{value}\"") }
}
