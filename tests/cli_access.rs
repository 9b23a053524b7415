//! How the tool is let in: password, ACL user, TLS.

use crate::cli_recognize::{assert_all_right, folder_of, url};
use crate::cli_stream::{Consumer, pending};
use crate::support::tool::{Told, run, told, tool};
use crate::support::*;
use redis::cmd;
use std::path::Path;
use std::process::Command;

fn recognize_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Told {
    let mut command = tool();
    command.args(["recognize", "--output", "json"]).args(arguments).arg(folder);
    command.envs(environment.iter().copied());
    told(command.output().expect("the program starts"))
}

/// Makes the user `tool` as the help says.
fn make_user(server: &Server, subcommand: &str) {
    let help = run([subcommand, "--help"]).out;
    let lines = help.lines().map(str::trim).filter(|line| line.starts_with("ACL SETUSER tool"));
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert!(!lines.is_empty(), "{help}");
    for line in lines {
        let rules: Vec<&str> = line[1..].iter().map(|word| word.trim_matches('\'')).collect();
        cmd("ACL").arg(&rules).text(&mut server.client());
    }
}

#[test]
fn the_user_that_the_help_describes_can_do_all_of_it() {
    let server = Server::start();
    make_user(&server, "recognize");
    let folder = folder_of(10);
    let secret = [("REDIS_IMAGE_PASSWORD", "secret")];
    let url = url(&server);
    let first = recognize_with(folder.path(), &["--url", &url, "--user", "tool"], &secret);
    assert_eq!(first.status, 0, "{first:?}");
    assert_all_right(&first.out, 10, Some("computed"));
    let in_url = format!("redis://tool:secret@127.0.0.1:{}", server.port);
    let second = recognize_with(folder.path(), &["--url", &in_url], &[]);
    assert_all_right(&second.out, 10, Some("stored"));

    let elsewhere = ["--url", &url, "--user", "tool", "--key-prefix", "other:"];
    let refused = recognize_with(folder.path(), &elsewhere, &secret);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.err.contains("NOPERM"), "{refused:?}");
    let wrong = [("REDIS_IMAGE_PASSWORD", "wrong")];
    let refused = recognize_with(folder.path(), &["--url", &url, "--user", "tool"], &wrong);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.err.contains("WRONGPASS"), "{refused:?}");
    assert!(!refused.err.contains("wrong\""), "no password is shown: {refused:?}");
}

#[test]
fn the_user_that_the_help_describes_can_consume_a_stream() {
    let server = Server::start();
    let mut client = server.client();
    make_user(&server, "recognize");
    make_user(&server, "watch");
    cmd("XADD").arg(&["frames", "*", "image"]).arg(photos::red()).text(&mut client);
    let let_in = ["--user", "tool", "--password", "secret"];
    let mut consumer = Consumer::start(&server, "c", &let_in);
    wait_until("the frame is told and acknowledged", || {
        cmd("XLEN").arg("found").number(&mut client) == 1 && pending(&mut client) == 0
    });
    assert_eq!(consumer.signal(libc::SIGTERM), Some(0));
    let log = cmd("ACL").arg("LOG").value(&mut client);
    let log = format!("{log:?}");
    for command in ["xreadgroup", "xautoclaim", "xgroup", "xack", "xadd", "image."] {
        assert!(!log.contains(command), "{log}");
    }
}

#[test]
fn a_server_with_a_password_is_told_from_one_that_is_not_there() {
    let server = Server::start();
    cmd("CONFIG").arg(&["SET", "requirepass", "secret"]).text(&mut server.client());
    let folder = folder_of(3);
    let refused = recognize_with(folder.path(), &["--url", &url(&server)], &[]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(
        refused.err.contains("NOAUTH") && refused.err.contains("REDIS_IMAGE_PASSWORD"),
        "{refused:?}"
    );
    let let_in = recognize_with(
        folder.path(),
        &["--url", &url(&server)],
        &[("REDIS_IMAGE_PASSWORD", "secret")],
    );
    assert_all_right(&let_in.out, 3, Some("computed"));
}

/// A certificate authority, and a certificate for 127.0.0.1 that it signed.
fn certificates(folder: &Path) {
    let script = r#"
        set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout node.key -out node.csr
        printf 'subjectAltName=IP:127.0.0.1\n' > node.ext
        openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile node.ext -out node.pem
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other-ca -keyout other.key -out other.pem
    "#;
    let made = Command::new("sh").arg("-c").arg(script).current_dir(folder).output();
    let made = made.expect("a shell is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn tls_is_spoken_and_certificates_are_verified() {
    needs::tls();
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = server::free_port();
    let server = Server::with()
        .config("tls-port", port)
        .config("tls-cert-file", file("node.pem"))
        .config("tls-key-file", file("node.key"))
        .config("tls-ca-cert-file", file("ca.pem"))
        .start();
    let pictures = folder_of(10);
    let url = format!("rediss://127.0.0.1:{port}");
    let own = ["--tls-cert", &file("node.pem"), "--tls-key", &file("node.key")];
    let with =
        |more: &[&str]| recognize_with(pictures.path(), &[&["--url", &url], more].concat(), &[]);

    let let_in = with(&[&["--tls-ca", &file("ca.pem")], &own[..]].concat());
    assert_eq!(let_in.status, 0, "{let_in:?}");
    assert_all_right(&let_in.out, 10, Some("computed"));
    let unverified = with(&[&["--insecure"], &own[..]].concat());
    assert_all_right(&unverified.out, 10, Some("stored"));

    // Another authority's word, and no certificate of our own where the server asks for one.
    let other = with(&[&["--tls-ca", &file("other.pem")], &own[..]].concat());
    assert_eq!(other.status, 2, "{other:?}");
    assert!(other.err.to_lowercase().contains("certificate"), "{other:?}");
    let nobody = with(&["--tls-ca", &file("ca.pem"), "--retry-for", "1"]);
    assert_eq!(nobody.status, 2, "{nobody:?}");
    cmd("CONFIG").arg(&["SET", "tls-auth-clients", "no"]).text(&mut server.client());
    assert_eq!(with(&["--tls-ca", &file("ca.pem")]).status, 0);
}
