//! `IMAGE.MODELS RELOAD`: what is taken over from changed folders, and what goes on meanwhile.

use crate::commands::{RED_RESULT, labels, stored_field};
use crate::models::{models, text};
use crate::support::crowd::{assert_settled, role};
use crate::support::tiny::{Flaw, Model, folder};
use crate::support::watch::Watch;
use crate::support::*;
use redis::{Cmd, cmd};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn reload() -> Cmd {
    cmd("IMAGE.MODELS").arg("RELOAD").take()
}

/// What became of each model.
#[track_caller]
fn reloaded(server: &Server) -> BTreeMap<String, String> {
    redis::from_redis_value(reload().value(&mut server.client_resp3())).expect("a map")
}

/// The same, and its labels are fewer.
fn other() -> Model {
    Model::new().replace("top = 3", "top = 2")
}

fn lazy(model: Model) -> Model {
    model.replace("task =", "lazy = true\ntask =")
}

fn broken() -> Model {
    Model::flawed(Flaw::FourScores)
}

fn state(server: &Server, model: &str) -> String {
    text(&models(server)[model], "state")
}

fn error(server: &Server, model: &str) -> String {
    text(&models(server)[model], "error")
}

fn of(model: &str, payload: &[u8]) -> Cmd {
    recognize("k", payload).arg(&["MODEL", model]).take()
}

/// A reload does not pass a model's folder while this lives.
struct Hold(std::path::PathBuf);

impl Hold {
    fn on(folder: &Path) -> Hold {
        let file = folder.join("test-hold");
        fs::write(&file, "").expect("written");
        Hold(file)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn what_has_changed_is_taken_over_and_what_has_not_stays_as_it_is() {
    let folder = folder(&[
        ("tiny", Model::new()),
        ("changing", Model::new()),
        ("leaving", Model::new()),
        ("repaired", broken()),
        ("spoilt", Model::new()),
        ("still-bad", broken()),
    ]);
    let server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    let red = photos::red();
    for model in ["tiny", "changing", "leaving", "spoilt"] {
        of(model, &red).text(&mut client);
    }
    let coming = cmd("CONFIG").arg(&["SET", "image.model", "coming"]).take();
    assert!(coming.error(&mut client).contains("there is no model"));

    let path = |name: &str| folder.path().join(name);
    other().write(&path("changing"));
    fs::remove_dir_all(path("leaving")).expect("removed");
    Model::new().write(&path("repaired"));
    broken().write(&path("spoilt"));
    other().write(&path("coming"));
    fs::write(path("half-way"), "a file").expect("written");
    fs::create_dir(path(".hidden")).expect("made");
    let fates = reloaded(&server);
    let simple = |name: &str| fates[name].as_str();
    assert_eq!(simple("tiny"), "kept");
    assert_eq!(simple("changing"), "changed");
    assert_eq!(simple("leaving"), "removed");
    assert_eq!(simple("repaired"), "added");
    assert_eq!(simple("coming"), "added");
    for name in ["spoilt", "still-bad"] {
        assert!(fates[name].starts_with("failed: ") && fates[name].contains('4'), "{fates:?}");
    }
    assert_eq!(fates.len(), 7, "{fates:?}");

    // What is kept keeps its counters, too.
    assert_eq!(server.model_count("tiny", "computed"), 1);
    assert_eq!(server.model_count("changing", "computed"), 0);
    assert_eq!(labels(&of("changing", &red).text(&mut client)), ["red", "green"]);
    assert_eq!(of("repaired", &red).text(&mut client), RED_RESULT);
    let refused = of("leaving", &red).error(&mut client);
    assert!(refused.starts_with("NOMODEL ") && refused.contains("leaving"), "{refused}");
    assert!(get("k").arg(&["MODEL", "leaving"]).error(&mut client).starts_with("NOMODEL "));
    assert!(!models(&server).contains_key("leaving"));
    assert!(of("still-bad", &red).error(&mut client).starts_with("NOMODEL "));

    // What cannot be loaded leaves the old one at work, and says so.
    assert_eq!(server.model_count("spoilt", "computed"), 1);
    assert_eq!(of("spoilt", &photos::unique(&red)).text(&mut client), RED_RESULT);
    assert_eq!(state(&server, "spoilt"), "ready");
    assert!(error(&server, "spoilt").contains("is not served"), "{}", error(&server, "spoilt"));
    assert!(server.log().contains("spoilt failed: "), "{}", server.log());
    assert_eq!(error(&server, "tiny"), "");

    assert_eq!(coming.text(&mut client), "OK");
    assert_eq!(labels(&recognize("default", &red).text(&mut client)), ["red", "green"]);

    // Put back, it is what is served already.
    Model::new().write(&path("spoilt"));
    fs::remove_dir_all(path("coming")).expect("removed");
    let flat = reload().list(&mut client);
    assert_eq!(flat.len(), 2 * 6, "a flat list in RESP2: {flat:?}");
    let of_spoilt = flat.iter().position(|word| word == "spoilt").expect("it is listed");
    assert_eq!(flat[of_spoilt + 1], "kept");
    assert_eq!(error(&server, "spoilt"), "");
    assert!(recognize("default", &red).error(&mut client).starts_with("NOMODEL "));
    assert!(server.log().contains("the default model is not there"));
    wait_until("what was replaced is freed", || server.count("replaced_models") == 0);
    assert_eq!(server.count("reloads"), 2);
}

#[test]
fn a_result_of_the_old_version_is_served_no_more_and_replaced() {
    let folder = folder(&[("tiny", Model::new())]);
    let mut server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    let red = photos::red();
    recognize("k", &red).text(&mut client);
    let old = stored_field(&mut client, "k");
    other().write(&folder.path().join("tiny"));
    assert_eq!(reloaded(&server)["tiny"], "changed");
    assert_eq!(stored_field(&mut client, "k"), old);
    assert!(get("k").reply(&mut client).is_nil());
    assert_eq!(labels(&recognize("k", &red).text(&mut client)), ["red", "green"]);
    assert_ne!(stored_field(&mut client, "k"), old);
    assert_eq!(cmd("HLEN").arg("k").number(&mut client), 2);
    assert_settled(&mut server);
}

#[test]
fn jobs_under_way_end_with_the_model_they_began_with() {
    let folder = folder(&[("tiny", Model::new()), ("leaving", Model::new())]);
    let mut server = Server::with()
        .models(folder.path())
        .setting("model", "tiny")
        .setting("threads", 2)
        .config("notify-keyspace-events", "Kd")
        .start();
    let mut client = server.client();
    let watch = Watch::events(&server);
    let slow = photos::slow(4000);
    let version = text(&models(&server)["tiny"], "version");
    let at_work = server.send(recognize("k", &slow).arg("WITHMETA"));
    wait_until("a worker is busy", || server.count("workers_busy") == 1);
    let leaving = server.send(&of("leaving", &photos::slow(4000)));
    wait_until("both are busy", || server.count("workers_busy") == 2);
    let queued = server.send(&recognize("queued", &photos::unique(&photos::red())));
    wait_until("one waits", || server.count("queue_length") == 1);

    other().write(&folder.path().join("tiny"));
    fs::remove_dir_all(folder.path().join("leaving")).expect("removed");
    let fates = reloaded(&server);
    assert_eq!((fates["tiny"].as_str(), fates["leaving"].as_str()), ("changed", "removed"));
    assert_eq!(server.count("workers_busy"), 2, "they are not waited for");
    assert_eq!(server.count("replaced_models"), 2, "and the models are still held");

    // The same picture once more is another job; who waits for the key gets what comes first.
    let again = server.send(&recognize("again", &slow));
    let waits = server.send(get("k").arg(&["WAIT", "60000"]));
    let meta = at_work.reply().list();
    assert!(meta.contains(&version) && meta.contains(&RED_RESULT.to_owned()), "{meta:?}");
    assert_eq!(waits.reply().text(), RED_RESULT);
    assert_eq!(leaving.reply().text(), RED_RESULT);
    assert_eq!(queued.reply().text(), RED_RESULT);
    assert_eq!(labels(&again.reply().text()), ["red", "green"]);

    assert_settled(&mut server);
    assert_eq!((server.count("stored"), server.count("not_stored_replaced")), (1, 3));
    assert_eq!(cmd("KEYS").arg("*").list(&mut client), ["again"], "nobody would be served those");
    wait_until("the events", || watch.text().matches("image.failed").count() == 3);
    wait_until("the old models are freed", || server.count("replaced_models") == 0);
}

#[test]
fn one_reload_at_a_time_and_everything_else_goes_on() {
    let folder = folder(&[("tiny", Model::new())]);
    let mut server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    let hold = Hold::on(&folder.path().join("tiny"));
    let first = server.send(&reload());
    wait_until("it runs", || server.count("reloading") == 1);
    let refused = reload().error(&mut client);
    assert!(refused.starts_with("ERR ") && refused.contains("already"), "{refused}");
    assert!(cmd("IMAGE.RELOAD").error(&mut client).starts_with("ERR "));
    assert_eq!(recognize("k", &photos::red()).text(&mut client), RED_RESULT);
    drop(hold);
    assert_eq!(first.reply().list(), ["tiny", "kept"]);

    // Whoever waits for it may leave, or be told to.
    for leave in ["disconnect", "unblock"] {
        let hold = Hold::on(&folder.path().join("tiny"));
        let waiting = server.send(&reload());
        wait_until("it runs", || server.count("reloading") == 1);
        if leave == "unblock" {
            cmd("CLIENT").arg("UNBLOCK").arg(waiting.client_id).number(&mut client);
            let error = waiting.reply().error();
            assert!(error.starts_with("TIMEOUT "), "{error}");
        } else {
            drop(waiting);
        }
        drop(hold);
        wait_until("it has ended all the same", || server.count("reloading") == 0);
    }
    assert_eq!(server.count("reloads"), 3);
    assert_settled(&mut server);
}

#[test]
fn where_nobody_may_wait_it_is_only_started() {
    let folder = folder(&[("tiny", Model::new())]);
    let mut server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    let in_multi = redis::pipe().atomic().add_command(reload()).query::<Vec<String>>(&mut client);
    assert_eq!(in_multi.expect("EXEC"), ["STARTED"]);
    wait_until("it has ended", || server.count("reloads") == 1);
    other().write(&folder.path().join("tiny"));
    let script = "return redis.call('IMAGE.MODELS', 'RELOAD')";
    assert_eq!(cmd("EVAL").arg(script).arg(0).text(&mut client), "STARTED");
    wait_until("it has ended", || server.count("reloads") == 2);
    assert_eq!(labels(&recognize("k", &photos::red()).text(&mut client)), ["red", "green"]);
    assert_settled(&mut server);
}

#[test]
fn a_lazy_model_stays_lazy_until_it_is_used() {
    let folder = folder(&[
        ("tiny", Model::new()),
        ("unused", lazy(Model::new())),
        ("used", lazy(Model::new())),
    ]);
    let server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let mut client = server.client();
    let red = photos::red();
    of("used", &red).text(&mut client);
    for name in ["unused", "used", "new"] {
        lazy(other()).write(&folder.path().join(name));
    }
    let fates = reloaded(&server);
    assert_eq!([&fates["unused"], &fates["used"], &fates["new"]], ["changed", "changed", "added"]);
    for (name, wanted) in [("unused", "waiting"), ("used", "ready"), ("new", "waiting")] {
        assert_eq!(state(&server, name), wanted, "{name}");
    }
    for name in ["unused", "used", "new"] {
        assert_eq!(labels(&of(name, &red).text(&mut client)), ["red", "green"], "{name}");
    }
    // One in use is not exchanged for one that does not work.
    lazy(broken()).write(&folder.path().join("used"));
    assert!(reloaded(&server)["used"].starts_with("failed: "));
    assert_eq!(labels(&of("used", &photos::unique(&red)).text(&mut client)), ["red", "green"]);
}

#[test]
fn a_folder_that_cannot_be_read_removes_no_model() {
    let parent = folder(&[]);
    let (there, away) = (parent.path().join("there"), parent.path().join("away"));
    Model::new().write(&there.join("tiny"));
    let server = Server::with().models(&there).setting("model", "tiny").start();
    fs::rename(&there, &away).expect("moved");
    let refused = reload().error(&mut server.client());
    assert!(refused.starts_with("ERR ") && refused.contains("there"), "{refused}");
    assert_eq!(recognize("k", &photos::red()).text(&mut server.client()), RED_RESULT);
    fs::rename(&away, &there).expect("moved");
    assert_eq!(reloaded(&server)["tiny"], "kept");
}

#[test]
fn a_rule_for_image_reload_counts_for_both_spellings() {
    let server = Server::start();
    let mut admin = server.client();
    let mut user = |name: &str, rules: &[&str]| {
        cmd("ACL").arg(&["SETUSER", name, "on", ">pw"]).arg(rules).text(&mut admin);
        server.client_of(name, "pw")
    };
    let mut reader = user("reader", &["-@all", "+image.models", "+eval"]);
    let mut all_but = user("all-but", &["+@all", "-image.reload"]);
    for client in [&mut reader, &mut all_but] {
        cmd("IMAGE.MODELS").value(client);
        assert!(reload().error(client).starts_with("NOPERM "));
        assert!(cmd("IMAGE.RELOAD").error(client).starts_with("NOPERM "));
        let script = "return redis.call('IMAGE.MODELS', 'RELOAD')";
        assert!(cmd("EVAL").arg(script).arg(0).error(client).contains("NOPERM"));
    }
    let mut operator = user("operator", &["-@all", "+image.models", "+image.reload"]);
    assert_eq!(reload().list(&mut operator), ["tiny", "kept"]);
    assert_eq!(cmd("IMAGE.RELOAD").list(&mut operator), ["tiny", "kept"]);
    assert_eq!(server.count("reloads"), 2);
    for wrong in [&["RELOAD", "now"] as &[&str], &["RELAOD"]] {
        assert!(cmd("IMAGE.MODELS").arg(wrong).error(&mut operator).starts_with("ERR "));
    }
}

#[test]
fn a_demotion_unblocks_who_waits_and_the_reload_goes_on() {
    let folder = folder(&[("tiny", Model::new())]);
    let mut server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let master = Server::start();
    let hold = Hold::on(&folder.path().join("tiny"));
    let waiting = server.send(&reload());
    wait_until("it runs", || server.count("reloading") == 1);
    cmd("REPLICAOF").arg("127.0.0.1").arg(master.port).text(&mut server.client());
    let error = waiting.reply().error();
    assert!(error.starts_with("UNBLOCKED "), "{error}");
    other().write(&folder.path().join("tiny"));
    drop(hold);
    wait_until("it has ended", || server.count("reloads") == 1);
    server.wait_for_sync(&master);
    assert_eq!(role(&server), "slave");
    let result = recognize_ro("k", &photos::red()).text(&mut server.client());
    assert_eq!(labels(&result), ["red", "green"]);
    assert_eq!(reloaded(&server)["tiny"], "kept");
    assert_settled(&mut server);
}

#[test]
fn a_server_ends_cleanly_while_models_are_loaded() {
    let folder = folder(&[("tiny", Model::new()), ("a-first", Model::new())]);
    let mut server = Server::with().models(folder.path()).setting("model", "tiny").start();
    let hold = Hold::on(&folder.path().join("a-first"));

    // A shutdown that fails changes nothing.
    let in_the_way = server.folder().join("dump.rdb");
    fs::create_dir_all(in_the_way.join("in the way")).expect("a folder");
    let waiting = server.send(&reload());
    wait_until("it runs", || server.count("reloading") == 1);
    assert!(server.send(cmd("SHUTDOWN").arg("SAVE")).reply().error().starts_with("ERR "));
    fs::remove_dir_all(&in_the_way).expect("removed");
    assert_eq!(recognize("k", &photos::red()).text(&mut server.client()), RED_RESULT);
    drop(hold);
    assert_eq!(waiting.reply().list(), ["a-first", "kept", "tiny", "kept"]);

    let hold = Hold::on(&folder.path().join("a-first"));
    let waiting = server.send(&reload());
    wait_until("it runs", || server.count("reloading") == 1);
    assert!(server.shutdown(&["NOSAVE"]).success(), "{}", server.log());
    assert!(!server.log().contains("BUG REPORT"), "{}", server.log());
    let reply = waiting.reply();
    assert!(matches!(reply, Reply::Lost(_) | Reply::Error(_)), "{reply:?}");
    drop(hold);
    server.start_again();
    assert_eq!(reloaded(&server)["tiny"], "kept");
}
