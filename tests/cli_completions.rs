//! `redis-image completions`: a script that the shell takes.

use crate::support::tool::run;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn every_shell_gets_its_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = run(["completions", shell]);
        assert_eq!(told.status, 0, "{told:?}");
        for word in ["recognize", "status", "bench", "models"] {
            assert!(told.out.contains(word), "{shell}: {word}");
        }
    }
    let refused = run(["completions", "command.com"]);
    assert_eq!(refused.status, 2, "{refused:?}");
}

#[test]
fn bash_completes_subcommands_with_it() {
    let script = run(["completions", "bash"]).out;
    let ask = "\ncomplete=$(complete -p redis-image)\ncomplete=${complete#*-F }\nCOMP_WORDS=(redis-image sta)\nCOMP_CWORD=1\n\
               ${complete%% *} redis-image sta redis-image\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash")
        .arg("--norc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash is there");
    let mut input = bash.stdin.take().expect("piped");
    input.write_all((script + ask).as_bytes()).expect("written");
    drop(input);
    let output = bash.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "status");
}
