//! Connections that only listen: MONITOR, or a subscription, as raw text.

use super::{Ask, PATIENCE, Server, wait_until};
use redis::cmd;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// Reads on a thread of its own until the server closes the connection.
pub struct Watch {
    heard: Arc<Mutex<Vec<u8>>>,
    connection: TcpStream,
}

impl Watch {
    pub fn monitor(server: &Server) -> Watch {
        Watch::of(server, "MONITOR\r\n")
    }

    /// All keyspace events of database 0.
    pub fn events(server: &Server) -> Watch {
        Watch::of(server, "PSUBSCRIBE __key*@0__:*\r\n")
    }

    fn of(server: &Server, command: &str) -> Watch {
        let mut connection = TcpStream::connect(("127.0.0.1", server.port)).expect("connects");
        connection.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        connection.write_all(command.as_bytes()).expect("the server takes the command");
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (mut reader, sink) = (connection.try_clone().expect("a handle"), heard.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(bytes @ 1..) = reader.read(&mut buffer) {
                sink.lock().expect("the other side lives").extend_from_slice(&buffer[..bytes]);
            }
        });
        let watch = Watch { heard, connection };
        wait_until("the watch has begun", || !watch.text().is_empty());
        watch
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().expect("the reader lives")).into_owned()
    }

    /// What a monitor has heard so far.
    pub fn until_now(&self, server: &Server) -> String {
        let mark = format!("mark:{}", self.text().len());
        cmd("ECHO").arg(&mark).text(&mut server.client());
        wait_until("the mark", || self.text().contains(&mark));
        self.text()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.connection.shutdown(std::net::Shutdown::Both);
    }
}
