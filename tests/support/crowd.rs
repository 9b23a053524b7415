//! Forty requests at the same time, and checks for when they are done.

use super::{Ask, Pending, Reply, Server, get, photos, recognize, server::Builder, wait_until};
use crate::commands::RED_RESULT;
use redis::cmd;

pub const CROWD: usize = 40;
const WORKERS: usize = 30;

/// The first job ends after 1.5 s. By then all requests have reached the server, even through I/O threads on a busy
/// machine. After it one job ends after the other, and the last ten jobs begin.
fn work_milliseconds(member: usize) -> u64 {
    1500 + 20 * member as u64
}

/// Forty clients that wait, each for its own picture.
pub struct Crowd {
    members: Vec<(String, Pending)>,
}

/// A server with fewer workers than a crowd has members.
pub fn crowded() -> Builder {
    Server::with().setting("threads", WORKERS)
}

impl Crowd {
    /// Every fourth picture goes through the hashing thread, every fifth is asked for by `NOWAIT` and `GET … WAIT`.
    pub fn send(server: &Server) -> Crowd {
        let computed = server.model_count("tiny", "computed");
        let clients: Vec<_> = (0..CROWD).map(|_| server.client()).collect();
        let members = clients.into_iter().enumerate().map(|(i, mut client)| {
            let bytes = if i % 4 == 3 { 300_000 } else { 1_000 };
            let milliseconds = work_milliseconds(i);
            let payload = photos::slowed(&photos::padded(&photos::red(), bytes), milliseconds);
            let key = photos::key_of(&payload);
            let mut request = recognize(&key, &payload);
            if i % 5 == 4 {
                assert_eq!(request.arg("NOWAIT").text(&mut client), "ACCEPTED");
                request = get(&key).arg(&["WAIT", "60000"]).take();
            }
            (key, Pending::send(client, &request))
        });
        let crowd = Crowd { members: members.collect() };
        wait_until("the crowd is under way", || {
            let done = server.model_count("tiny", "computed") - computed;
            server.count("requests") + done >= CROWD as i64
        });
        assert!(server.count("requests") > 0, "the crowd was done before the moment came");
        crowd
    }

    /// Each key, with the reply that its client got.
    pub fn replies(self) -> Vec<(String, Reply)> {
        self.members.into_iter().map(|(key, pending)| (key, pending.reply())).collect()
    }

    /// The keys. Every client must get its result.
    #[track_caller]
    pub fn results(self) -> Vec<String> {
        let replies = self.replies();
        for (key, reply) in &replies {
            assert_eq!(reply.text(), RED_RESULT, "{key}");
        }
        replies.into_iter().map(|(key, _)| key).collect()
    }

    /// The keys. Every client must get its result, or the error that this server is no longer a master.
    #[track_caller]
    pub fn results_or_unblocked(self) -> Vec<String> {
        let replies = self.replies();
        for (key, reply) in &replies {
            match reply {
                Reply::Error(error) => assert!(error.starts_with("UNBLOCKED "), "{key}: {error}"),
                reply => assert_eq!(reply.text(), RED_RESULT, "{key}"),
            }
        }
        replies.into_iter().map(|(key, _)| key).collect()
    }
}

/// The server is alive, no request is under way, and nothing is kept for one.
#[track_caller]
pub fn assert_settled(server: &mut Server) {
    assert!(server.is_alive(), "the server has ended");
    assert_eq!(cmd("PING").text(&mut server.client()), "PONG");
    for field in ["requests", "waiting_clients", "queue_bytes", "waiting_stores", "queue_length"] {
        wait_until(&format!("{field} is 0"), || server.count(field) == 0);
    }
    wait_until("the workers are idle", || server.count("workers_busy") == 0);
    assert_eq!(server.info_of("server")["process_id"], server.pid().to_string());
}

#[track_caller]
pub fn assert_stored(server: &Server, keys: &[String]) {
    let mut client = server.client();
    for key in keys {
        assert_eq!(get(key).reply(&mut client).text_if_any().as_deref(), Some(RED_RESULT), "{key}");
    }
}

/// How many of these keys exist.
pub fn existing(server: &Server, keys: &[String]) -> i64 {
    cmd("EXISTS").arg(keys).number(&mut server.client())
}

/// The number of jobs that are done, whether stored, not stored or dropped.
pub fn outcomes(server: &Server) -> i64 {
    let counted =
        |name: &str| name == "stored" || name == "dropped" || name.starts_with("not_stored_");
    let info = server.info();
    let numbers = info.iter().filter(|(name, _)| counted(name));
    numbers.map(|(name, count)| count.parse::<i64>().expect(name)).sum()
}

/// A digest of all the server's data.
pub fn data_digest(server: &Server) -> String {
    cmd("DEBUG").arg("DIGEST").text(&mut server.client())
}

pub fn role(server: &Server) -> String {
    server.info_of("replication")["role"].clone()
}

/// Sends a signal to the server's process. SIGSTOP makes a replica lag behind.
pub fn signal(server: &Server, signal: libc::c_int) {
    // SAFETY: a signal to a child of ours that has not been waited for.
    let status = unsafe { libc::kill(server.pid() as libc::pid_t, signal) };
    assert_eq!(status, 0);
}
