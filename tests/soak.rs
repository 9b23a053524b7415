//! Everything at once, for half a minute, on a server with all that makes modules crash switched on.

use crate::support::crowd::{assert_settled, data_digest};
use crate::support::watch::Watch;
use crate::support::*;
use redis::{Connection, Value, cmd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 16;
const SECONDS: u64 = 30;
const ACTIONS: u64 = 13;

/// What the clients share.
struct Soak<'a> {
    server: &'a Server,
    /// A picture of each colour with its only right result.
    pictures: Vec<(Vec<u8>, String)>,
    end: Instant,
    failed: AtomicBool,
    done: [AtomicU64; ACTIONS as usize],
}

/// One client with its own sequence of random numbers.
struct Player<'a> {
    soak: &'a Soak<'a>,
    client: Connection,
    random: u64,
}

#[test]
fn a_server_under_every_load_at_once_gives_every_client_the_right_reply() {
    let mut server = Server::with()
        .setting("threads", 3)
        .config("io-threads", 4)
        .config("io-threads-do-reads", "yes")
        .config("notify-keyspace-events", "KEAd")
        .append_only()
        .start();
    let replica = Server::with().replica_of(&server).start();
    replica.wait_for_sync(&server);
    let (monitor, events) = (Watch::monitor(&server), Watch::events(&server));

    let mut client = server.client();
    let pictures = [photos::red(), photos::green(), photos::blue()].map(|picture| {
        let result = recognize("result", &picture).text(&mut client);
        (picture, result)
    });
    for ((_, result), colour) in pictures.iter().zip(["red", "green", "blue"]) {
        let first = format!(r#""labels":[{{"label":"{colour}","#);
        assert!(result.contains(&first) && result.contains(r#","score":1.0}"#), "{result}");
    }
    let soak = Soak {
        server: &server,
        pictures: pictures.to_vec(),
        end: Instant::now() + Duration::from_secs(SECONDS),
        failed: AtomicBool::new(false),
        done: Default::default(),
    };
    std::thread::scope(|scope| {
        for number in 1..=CLIENTS {
            let mut player = Player {
                soak: &soak,
                client: client_of_its_kind(&server, number),
                random: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            };
            scope.spawn(move || player.play());
        }
    });
    let done: Vec<u64> = soak.done.iter().map(|count| count.load(Relaxed)).collect();
    assert!(done.iter().all(|count| *count > 5), "every kind of action took place: {done:?}");

    assert_settled(&mut server);
    // What has expired still counts in a digest until it is deleted.
    cmd("DEL").arg(&["short:0", "short:1", "short:2"]).number(&mut server.client());
    assert!(monitor.until_now(&server).contains("IMAGE.RECOGNIZE"));
    assert!(events.text().contains("image.recognized") && events.text().contains("image.failed"));
    replica.wait_for_sync(&server);
    let digest = data_digest(&server);
    assert_eq!(data_digest(&replica), digest, "on the replica");
    assert_eq!(replica.model_count("tiny", "computed"), 0);
    assert!(server.shutdown(&["NOSAVE"]).success());
    server.start_again();
    assert_eq!(data_digest(&server), digest, "from the append-only file");
}

/// Every fourth client is told of every key that it has read and that changes.
fn client_of_its_kind(server: &Server, number: u64) -> Connection {
    if !number.is_multiple_of(4) {
        return server.client();
    }
    let mut client = server.client_resp3();
    cmd("CLIENT").arg(&["TRACKING", "ON"]).text(&mut client);
    client
}

impl Player<'_> {
    fn play(&mut self) {
        // One failure is enough to be told of.
        while Instant::now() < self.soak.end && !self.soak.failed.load(Relaxed) {
            let action = self.below(ACTIONS);
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.act(action)));
            if let Err(panic) = outcome {
                self.soak.failed.store(true, Relaxed);
                std::panic::resume_unwind(panic);
            }
            self.soak.done[action as usize].fetch_add(1, Relaxed);
        }
    }

    fn act(&mut self, action: u64) {
        match action {
            0 => self.hit(),
            1 => self.miss(),
            2 => self.join(),
            3 => self.batch(),
            4 => self.leave(),
            5 => self.bad_file(),
            6 => self.lose_patience(),
            7 => self.is_killed(),
            8 => assert!(
                cmd("INFO").arg("everything").text(&mut self.client).contains("image_queue_bytes:")
            ),
            9 => self.change_workers(),
            10 => self.is_unblocked(),
            11 => self.change_the_picture(),
            _ => self.live_shortly(),
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    /// One of the pictures, and its result.
    fn picture(&mut self) -> (Vec<u8>, String) {
        let which = self.below(self.soak.pictures.len() as u64);
        self.soak.pictures[which as usize].clone()
    }

    /// A new payload, every fourth large enough for the hashing thread.
    fn new_picture(&mut self, milliseconds: u64) -> (Vec<u8>, String) {
        let (picture, result) = self.picture();
        let bytes = if self.below(4) == 0 { 270_000 + self.below(500_000) } else { 1_000 };
        let padded = photos::padded(&picture, bytes as usize);
        let milliseconds = self.below(milliseconds + 1);
        (photos::slowed(&padded, milliseconds), result)
    }

    fn hit(&mut self) {
        let (picture, result) = self.picture();
        let number = self.below(20);
        let payload = photos::followed_by(&picture, &format!("#hit:{number}#"));
        let key = photos::key_of(&payload);
        assert_eq!(recognize(&key, &payload).text(&mut self.client), result);
        assert_eq!(get(&key).text(&mut self.client), result);
        assert_eq!(recognize_ro(&key, &payload).text(&mut self.client), result);
    }

    fn miss(&mut self) {
        let (payload, result) = self.new_picture(10);
        assert_eq!(cmd("IMAGE.RECOGNIZE_AUTO").arg(&payload).text(&mut self.client), result);
        assert_eq!(get(photos::key_of(&payload)).text(&mut self.client), result);
    }

    /// What several clients send at about the same time.
    fn join(&mut self) {
        let (picture, result) = self.picture();
        let now = self.soak.end.saturating_duration_since(Instant::now()).as_millis() / 100;
        let payload = photos::slowed(&photos::followed_by(&picture, &format!("#now:{now}#")), 20);
        let key = format!("join:{}", self.below(3));
        assert_eq!(recognize(&key, &payload).arg(&["EX", "100000"]).text(&mut self.client), result);
    }

    fn batch(&mut self) {
        let pictures: Vec<_> = (0..4).map(|_| self.new_picture(5)).collect();
        let mut batch = redis::pipe();
        for (payload, _) in &pictures {
            batch.add_command(recognize(photos::key_of(payload), payload).arg("NOWAIT").take());
        }
        for (payload, _) in &pictures {
            batch.add_command(get(photos::key_of(payload)).arg(&["WAIT", "60000"]).take());
        }
        let replies: Vec<String> = batch.query(&mut self.client).expect("every reply");
        let expected = pictures.iter().map(|(_, result)| result.as_str());
        let expected: Vec<&str> = std::iter::repeat_n("ACCEPTED", 4).chain(expected).collect();
        assert_eq!(replies, expected);
    }

    fn leave(&mut self) {
        let (payload, _) = self.new_picture(30);
        let pending = self.soak.server.send(&recognize(photos::key_of(&payload), &payload));
        std::thread::sleep(Duration::from_millis(self.below(40)));
        drop(pending);
    }

    fn bad_file(&mut self) {
        let (mut payload, _) = self.picture();
        payload.truncate(payload.len() / 2);
        let payload = photos::unique(&payload);
        let key = photos::key_of(&payload);
        let error = recognize(&key, &payload).error(&mut self.client);
        assert!(error.starts_with("BADIMAGE "), "{error}");
        assert!(get(&key).reply(&mut self.client).is_nil());
    }

    fn lose_patience(&mut self) {
        let (payload, result) = self.new_picture(30);
        let key = photos::key_of(&payload);
        match recognize(&key, &payload).arg(&["TIMEOUT", "1"]).reply(&mut self.client) {
            Reply::Error(error) => assert!(error.starts_with("TIMEOUT "), "{error}"),
            reply => assert_eq!(reply.text(), result),
        }
        assert_eq!(get(&key).arg(&["WAIT", "60000"]).text(&mut self.client), result);
    }

    fn is_killed(&mut self) {
        let (payload, result) = self.new_picture(30);
        let pending = self.soak.server.send(&recognize(photos::key_of(&payload), &payload));
        let id = pending.client_id.to_string();
        std::thread::sleep(Duration::from_millis(self.below(20)));
        assert_eq!(cmd("CLIENT").arg(&["KILL", "ID", &id]).number(&mut self.client), 1);
        match pending.reply() {
            Reply::Lost(_) => (),
            reply => assert_eq!(reply.text(), result),
        }
    }

    fn change_workers(&mut self) {
        let threads = (1 + self.below(6)).to_string();
        let set = cmd("CONFIG").arg(&["SET", "image.threads", &threads]).value(&mut self.client);
        assert_eq!(set, Value::Okay);
    }

    fn is_unblocked(&mut self) {
        let (payload, result) = self.new_picture(30);
        let pending = self.soak.server.send(&recognize(photos::key_of(&payload), &payload));
        let id = pending.client_id.to_string();
        let how = ["TIMEOUT", "ERROR"][self.below(2) as usize];
        cmd("CLIENT").arg(&["UNBLOCK", &id, how]).number(&mut self.client);
        match pending.reply() {
            Reply::Error(error) => {
                assert!(
                    error.starts_with("TIMEOUT ") || error.starts_with("UNBLOCKED "),
                    "{error}"
                );
            }
            reply => assert_eq!(reply.text(), result),
        }
    }

    /// Several clients put their pictures under one key, and delete it: nobody gets another's result.
    fn change_the_picture(&mut self) {
        let camera = format!("camera:{}", self.below(3));
        let (payload, result) = self.new_picture(10);
        assert_eq!(recognize(&camera, &payload).text(&mut self.client), result);
        let found = get(&camera).arg(&["SHA256", &photos::digest(&payload)]).take();
        let found = found.reply(&mut self.client).text_if_any();
        assert!(found.is_none_or(|found| found == result));
        if self.below(5) == 0 {
            cmd("DEL").arg(&camera).number(&mut self.client);
        }
    }

    /// Keys that expire while they are looked up and stored again.
    fn live_shortly(&mut self) {
        let key = format!("short:{}", self.below(3));
        let (payload, result) = self.new_picture(3);
        let milliseconds = (1 + self.below(20)).to_string();
        for _ in 0..5 {
            let request = recognize(&key, &payload).arg(&["PX", &milliseconds]).take();
            assert_eq!(request.text(&mut self.client), result);
        }
    }
}
