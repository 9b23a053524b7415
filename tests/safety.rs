//! Nobody sees a payload who was not given it, nobody does more than he may, and no text harms the server.

use crate::commands::RED_RESULT;
use crate::support::*;
use redis::{Value, cmd};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;

const MARKER: &str = "BYTES-OF-A-PAYLOAD";
/// Near the start of every PNG: SLOWLOG shows no more than the first 128 bytes of an argument.
const START: &str = "IHDR";

fn marked() -> Vec<u8> {
    photos::unique(&photos::followed_by(&photos::red(), MARKER))
}

#[test]
fn no_byte_of_a_payload_is_shown_or_kept() {
    let server = Server::with()
        .append_only()
        .config("slowlog-log-slower-than", 0)
        .config("slowlog-max-len", 1000)
        .config("loglevel", "debug")
        .start();
    let mut monitor = Monitor::of(&server);
    let mut client = server.client();
    cmd("ACL")
        .arg("SETUSER")
        .arg("stranger")
        .arg(&["on", ">pw", "~other:*", "+@all"])
        .text(&mut client);
    cmd("ACL")
        .arg("SETUSER")
        .arg("nobody")
        .arg(&["on", ">pw", "~*", "-@all", "+ping"])
        .text(&mut client);

    let large = photos::slowed(&photos::padded(&marked(), 400_000), 50);
    recognize("k", &marked()).text(&mut client);
    cmd("IMAGE.RECOGNIZE_AUTO").arg(marked()).text(&mut client);
    recognize("k", &large).text(&mut client);
    recognize("k", &large).text(&mut client);
    recognize_ro("k", &marked()).text(&mut client);
    recognize("n", &marked()).arg("NOWAIT").text(&mut client);
    get("n").arg(&["WAIT", "9000"]).text(&mut client);
    let errors = [
        recognize("k", MARKER.as_bytes()),
        cmd("IMAGE.RECOGNIZE_AUTO").arg(MARKER).take(),
        recognize("k", &marked()).arg("BOGUS").take(),
        recognize("k", &marked()).arg(&["TOP", "x"]).take(),
        recognize("k", &marked()).arg(&["MODEL", "nobody"]).take(),
        recognize("k", &photos::slowed(&marked(), 300)).arg(&["TIMEOUT", "20"]).take(),
        recognize("k", &photos::followed_by(&marked(), "#test:panic#")),
    ];
    for command in errors {
        let error = command.error(&mut client);
        assert!(!error.contains(MARKER), "{error}");
    }
    for user in ["stranger", "nobody"] {
        let mut other = server.client_of(user, "pw");
        for command in [
            recognize("k", &marked()),
            cmd("IMAGE.RECOGNIZE_AUTO").arg(marked()).take(),
            cmd("IMAGE.RECOGNIZE_AUTO").arg(&large).take(),
        ] {
            let error = command.error(&mut other);
            assert!(error.starts_with("NOPERM ") && !error.contains(MARKER), "{error}");
        }
    }
    cmd("MULTI").text(&mut client);
    recognize("m", &marked()).arg("NOWAIT").text(&mut client);
    cmd("EXEC").value(&mut client);
    wait_until("all is done", || {
        server.count("queue_bytes") == 0 && server.count("workers_busy") == 0
    });

    let seen = monitor.until_now(&server);
    assert!(seen.to_uppercase().contains("IMAGE.RECOGNIZE"), "{seen}");
    assert!(!seen.contains(MARKER) && !seen.contains(START), "{seen}");
    let slow_log = all_text(cmd("SLOWLOG").arg("GET").arg(-1).value(&mut client));
    assert!(
        slow_log.contains("IMAGE.RECOGNIZE\n") && slow_log.contains("(redacted)"),
        "{slow_log}"
    );
    let acl_log = all_text(cmd("ACL").arg("LOG").arg(1000).value(&mut client));
    assert!(acl_log.contains("stranger"), "{acl_log}");
    for log in [slow_log, acl_log] {
        assert!(!log.contains(MARKER) && !log.contains(START), "{log}");
    }
    for file in files_below(server.folder()) {
        let bytes = std::fs::read(&file).expect("readable");
        assert!(!contains(&bytes, MARKER.as_bytes()), "{} holds it", file.display());
    }
}

#[test]
fn a_recogniser_may_recognise_under_his_keys_and_nothing_else() {
    let server = Server::start();
    let mut admin = server.client();
    let commands = [
        "-@all",
        "+image.recognize",
        "+image.recognize_auto",
        "+image.recognize_ro",
        "+image.get",
        "+image.models",
    ];
    let mut user = |name: &str, keys: &str| {
        cmd("ACL")
            .arg("SETUSER")
            .arg(name)
            .arg(&["on", ">pw", keys])
            .arg(&commands)
            .text(&mut admin);
        server.client_of(name, "pw")
    };
    let mut recogniser = user("recogniser", "~image:*");
    let mut elsewhere = user("elsewhere", "~other:*");
    let mut reader = user("reader", "%R~image:*");
    let red = photos::red();
    let large = photos::padded(&red, 400_000);
    let key = photos::key_of(&red);

    assert_eq!(cmd("IMAGE.RECOGNIZE_AUTO").arg(&red).text(&mut recogniser), RED_RESULT);
    assert_eq!(cmd("IMAGE.RECOGNIZE_AUTO").arg(&large).text(&mut recogniser), RED_RESULT);
    assert_eq!(recognize(&key, &red).arg("REFRESH").text(&mut recogniser), RED_RESULT);
    assert_eq!(get(&key).text(&mut recogniser), RED_RESULT);
    cmd("IMAGE.MODELS").value(&mut recogniser);
    for refused in [
        recognize("camera:17", &red),
        recognize_ro("camera:17", &red),
        get("camera:17"),
        cmd("HGETALL").arg(&key).take(),
        cmd("DEL").arg(&key).take(),
        cmd("CONFIG").arg("GET").arg("image.*").take(),
    ] {
        let error = refused.error(&mut recogniser);
        assert!(error.starts_with("NOPERM "), "{error}");
    }

    let before = cmd("DBSIZE").number(&mut server.client());
    for client in [&mut elsewhere, &mut reader] {
        for payload in [&photos::unique(&red), &red, &photos::unique(&large)] {
            let error = cmd("IMAGE.RECOGNIZE_AUTO").arg(payload).error(client);
            assert!(error.starts_with("NOPERM "), "{error}");
        }
    }
    assert_eq!(recognize("other:1", &red).text(&mut elsewhere), RED_RESULT);
    assert_eq!(recognize_ro(&key, &red).text(&mut reader), RED_RESULT);
    assert!(recognize(&key, &red).error(&mut reader).starts_with("NOPERM "));
    assert_eq!(cmd("DBSIZE").number(&mut server.client()), before + 1);
}

#[test]
fn odd_bytes_in_any_argument_harm_nothing() {
    let mut server = Server::start();
    let mut client = server.client();
    let red = photos::red();
    let long = vec![b'%'; 100_000];
    let odd: [&[u8]; 7] = [
        b"",
        b"\0",
        b"%s%n%s%n%n%n",
        b"\xff\xfe\0\r\n$5\r\n",
        "\u{100}\u{1F600}".as_bytes(),
        b"\r\n-ERR\r\n+OK\r\n",
        &long,
    ];
    for text in odd {
        assert!(
            recognize("k", &red).arg("MODEL").arg(text).error(&mut client).starts_with("NOMODEL ")
        );
        for option in ["TOP", "EX", "TIMEOUT"] {
            let error = recognize("k", &red).arg(option).arg(text).error(&mut client);
            assert!(error.starts_with("ERR ") && error.is_ascii() && error.len() < 1000, "{error}");
        }
        let error = recognize("k", &red).arg(text).error(&mut client);
        assert!(error.starts_with("ERR ") && error.is_ascii() && error.len() < 1000, "{error}");
        assert!(get("k").arg("SHA256").arg(text).error(&mut client).starts_with("ERR "));
        cmd("CONFIG").arg("SET").arg("image.model").arg(text).error(&mut client);
        assert!(recognize("k", text).error(&mut client).starts_with("BADIMAGE "));

        assert_eq!(recognize(text, &red).text(&mut client), RED_RESULT, "any key will do");
        assert_eq!(get(text).text(&mut client), RED_RESULT);
        let failing = photos::followed_by(&photos::unique(&red), "#test:panic#");
        assert!(recognize(text, &failing).error(&mut client).starts_with("FAILED "));
    }
    cmd("CONFIG").arg("SET").arg("image.key-prefix").arg(b"\xff%n:").reply(&mut client);
    assert_eq!(cmd("IMAGE.RECOGNIZE_AUTO").arg(&red).text(&mut client), RED_RESULT);
    server.info();
    assert!(server.is_alive());
}

/// A connection on which MONITOR runs.
struct Monitor(BufReader<TcpStream>);

impl Monitor {
    fn of(server: &Server) -> Monitor {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(b"MONITOR\r\n").expect("sent");
        let mut monitor = Monitor(BufReader::new(stream));
        monitor.until("+OK");
        monitor
    }

    /// All that it showed, up to a command that is sent now.
    fn until_now(&mut self, server: &Server) -> String {
        cmd("ECHO").arg("the end of the test").text(&mut server.client());
        self.until("the end of the test")
    }

    fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            let mut line = Vec::new();
            assert!(self.0.read_until(b'\n', &mut line).expect("a line") > 0, "MONITOR ended");
            seen += &String::from_utf8_lossy(&line);
        }
        seen
    }
}

/// Every string of a nested reply, one a line.
fn all_text(value: Value) -> String {
    match value {
        Value::Array(items) => items.into_iter().map(all_text).collect(),
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned() + "\n",
        _ => String::new(),
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
