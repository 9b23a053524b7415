//! `redis-image gallery`, `watch --gallery` and `status --gallery`: people on real photos, galleries as files and in step.

use crate::cli_recognize::{lines, url};
use crate::cli_stream::{Consumer, pending};
use crate::support::cluster::Cluster;
use crate::support::galleries::*;
use crate::support::tool::{Told, run};
use crate::support::*;
use redis::{Cmd, Value, cmd};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn server() -> Server {
    Server::with().real_models().setting("timeout", 120_000).start()
}

fn gallery(server: &Server, arguments: &[&str]) -> Told {
    let url = url(server);
    run([&["gallery"], arguments, &["--url", &url]].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Package photos, laid where a test wants them.
fn folder_with(photos: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (place, photo) in photos {
        let path = folder.path().join(place);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, photos::photo(photo)).expect("written");
    }
    folder
}

fn people() -> TempDir {
    folder_with(&[
        ("obama/1.jpg", "obama.jpg"),
        ("obama/2.jpg", "obama2.jpg"),
        ("obama/cat.png", "chelsea.png"),
        ("biden/1.jpg", "biden.jpg"),
    ])
}

/// Whom each photo shows, by the name of its file.
#[track_caller]
fn identified(told: &Told) -> BTreeMap<String, Vec<Option<String>>> {
    let who = |line: Json| {
        let path = Path::new(line["path"].as_str().expect("a path")).to_owned();
        let faces = line["faces"].as_array().unwrap_or_else(|| panic!("{line}")).iter();
        let subjects = faces.map(|face| face["subject"].as_str().map(str::to_owned)).collect();
        (path.file_name().expect("a name").to_string_lossy().into_owned(), subjects)
    };
    lines(&told.out).into_iter().map(who).collect()
}

#[test]
fn a_folder_per_person_is_enrolled_and_its_people_are_identified() {
    let server = server();
    let folder = people();
    let told = gallery(&server, &["enrol", "people", text(folder.path())]);
    assert_eq!(told.status, 1, "{told:?}");
    let refused: Vec<&str> = told.out.lines().filter(|line| line.contains("refused")).collect();
    assert!(
        matches!(refused[..], [line] if line.contains("cat.png") && line.contains("NOFACE")),
        "{told:?}"
    );
    assert_eq!(told.out.lines().count(), 4, "{told:?}");
    assert!(told.err.contains("3 enrolled, 1 refused"), "{told:?}");

    let listed = gallery(&server, &["list", "people", "--json"]);
    let list = listed.json();
    assert_eq!(list["subjects"], serde_json::json!({ "biden": 1, "obama": 2 }));
    assert_eq!((&list["about"]["model"], &list["about"]["samples"]), (&"faces".into(), &3.into()));
    let listed = gallery(&server, &["list", "people"]);
    assert!(listed.out.contains("2 subjects, 3 samples of model faces"), "{listed:?}");

    let visitors = folder_with(&[
        ("obama3.jpg", "obama3.jpg"),
        ("biden.jpg", "biden.jpg"),
        ("astronaut.png", "astronaut.png"),
        ("coffee.png", "coffee.png"),
    ]);
    let ask = |more: &[&str]| {
        gallery(&server, &[&["identify", "people", text(visitors.path())], more].concat())
    };
    let told = ask(&["--output", "json"]);
    assert_eq!(told.status, 0, "{told:?}");
    let named = |name: &str| vec![Some(name.to_owned())];
    let found = identified(&told);
    assert_eq!(found["obama3.jpg"], named("obama"));
    assert_eq!(found["biden.jpg"], named("biden"));
    assert_eq!((&found["astronaut.png"], &found["coffee.png"]), (&vec![None], &vec![]));
    for face in lines(&told.out).iter().flat_map(|line| line["faces"].as_array().expect("faces")) {
        assert_eq!(face["box"].as_array().map(Vec::len), Some(4), "{face}");
    }
    let told = ask(&[]);
    let of = |name: &str| told.out.lines().find(|line| line.contains(name)).expect("a line");
    assert!(of("obama3.jpg").contains("  obama 0."), "{told:?}");
    assert!(of("astronaut.png").contains("  stranger "), "{told:?}");
    assert!(of("coffee.png").contains("  nobody"), "{told:?}");
    // Nobody is as alike as this.
    let strict = identified(&ask(&["--output", "json", "--threshold", "0.99"]));
    assert_eq!(strict["obama3.jpg"], [None]);

    let forgotten = gallery(&server, &["forget", "people", "obama"]);
    assert_eq!(forgotten.status, 0, "{forgotten:?}");
    assert!(forgotten.out.contains("2 samples forgotten, 0 left"), "{forgotten:?}");
    assert!(forgotten.out.contains("not reached:"), "{forgotten:?}");
    let found = identified(&ask(&["--output", "json"]));
    assert_eq!((&found["obama3.jpg"], &found["biden.jpg"]), (&vec![None], &named("biden")));
    let again = gallery(&server, &["forget", "people", "obama"]);
    assert!(again.status == 2 && again.err.contains("NOSUBJECT"), "{again:?}");
    let missing = text(&visitors.path().join("nobody.jpg")).to_owned();
    let told = gallery(&server, &["identify", "people", &missing]);
    assert!(told.status == 1 && told.out.contains("failed"), "{told:?}");
    let nowhere = gallery(&server, &["identify", "nowhere", text(visitors.path())]);
    assert!(nowhere.status == 2 && nowhere.err.contains("NOGALLERY"), "{nowhere:?}");
}

/// Enrols made vectors by the thousand.
fn fill(server: &Server, key: &str, numbers: std::ops::Range<u64>) {
    let mut client = server.client();
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(1000) {
        let mut pipeline = redis::pipe();
        for number in some {
            // Every tenth is a second sample.
            let subject = format!("subject {}", number - u64::from(number % 10 == 9));
            pipeline.add_command(enrol(key, &subject, &vector(*number)));
        }
        pipeline.exec(&mut client).expect("enrolled");
    }
}

#[test]
fn an_exported_gallery_is_imported_to_the_bit() {
    let server = Server::start();
    let mut client = server.client();
    fill(&server, "one", 0..5000);
    for number in [0, 17, 4990] {
        forget("one", &format!("subject {number}")).value(&mut client);
    }
    let listed = gallery(&server, &["list", "one", "--json"]).json();
    assert_eq!(listed["subjects"].as_object().map(serde_json::Map::len), Some(4497));
    let exported = gallery(&server, &["export", "one"]);
    assert_eq!((exported.status, exported.out.lines().count()), (0, 4998), "{}", exported.err);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("people.jsonl");
    let import = |key: &str, content: &str| {
        fs::write(&path, content).expect("written");
        gallery(&server, &["import", key, text(&path)])
    };
    let told = import("two", &exported.out);
    assert_eq!(told.status, 0, "{told:?}");
    assert!(told.err.contains("two: 4997 of 4997 samples imported, 0 were there"), "{told:?}");
    assert_eq!(digest(&server, "two"), digest(&server, "one"));
    assert_eq!(import("two", &exported.out).status, 0);
    assert_eq!(digest(&server, "two"), digest(&server, "one"), "a second time changes nothing");
    assert_eq!(gallery(&server, &["export", "two"]).out, exported.out);
    // Ids go on where they ended, so none is given twice.
    assert_eq!(total(&server, "two", "next_sample"), 5001);

    let lines: Vec<&str> = exported.out.lines().collect();
    let with_line = |number: usize, line: &str| {
        let mut lines = lines.clone();
        lines[number - 1] = line;
        lines.join("\n")
    };
    let vector = |text: &str| format!(r#"{{"subject":"a","sample":9,"vector":"{text}"}}"#);
    for (damaged, sentence) in [
        (with_line(5, &lines[4][..40]), "line 5:"),
        (with_line(4000, &vector("AAAA*")), "line 4000:"),
        (with_line(7, &vector("AACAPw==")), "line 7: its vector is none of 32 numbers"),
        (with_line(1, "{}"), "its first line"),
        (lines[..3000].join("\n"), "4997 samples, but 2999 follow"),
        (String::new(), "empty"),
    ] {
        let told = import("three", &damaged);
        assert!(told.status == 2 && told.err.contains(sentence), "{sentence}: {told:?}");
        assert_eq!(cmd("EXISTS").arg("three").number(&mut client), 0, "{sentence}");
    }
    fill(&server, "other", 7000..7002);
    let before = digest(&server, "other");
    let told = import("other", &exported.out);
    assert!(told.status == 2 && told.err.contains("nothing was imported"), "{told:?}");
    assert_eq!(digest(&server, "other"), before);
    in_other_space("three", "x", 1).value(&mut client);
    let before = digest(&server, "three");
    let told = import("three", &exported.out);
    assert!(told.status == 2 && told.err.contains("space"), "{told:?}");
    assert_eq!(digest(&server, "three"), before);
}

fn in_other_space(key: &str, subject: &str, number: u64) -> Cmd {
    cmd("IMAGE.ENROLL")
        .arg(key)
        .arg(subject)
        .arg("VECTOR")
        .arg(blob(&vector(number)))
        .arg(&["MODEL", MODEL, "SPACE", "12345678"])
        .take()
}

#[test]
fn the_galleries_of_a_cluster_are_brought_in_step_and_drift_is_told() {
    let cluster = Cluster::start(3, || Server::with().append_only());
    // Of three nodes.
    let keys = ["{a}:people", "{b}:people", "{c}:people"];
    let homes = keys.map(|key| cluster.owner(cmd_slot(&cluster, key)));
    assert_eq!(std::collections::BTreeSet::from(homes).len(), 3, "{homes:?}");
    let seed = format!("127.0.0.1:{}", cluster.nodes[0].port);
    let ask = |arguments: &[&str]| run([arguments, &["--cluster", &seed]].concat());
    let sync = |more: &[&str]| ask(&[&["gallery", "sync"], &keys[..], more].concat());
    let status = || {
        let [a, b, c] = keys;
        ask(&["status", "--gallery", a, "--gallery", b, "--gallery", c])
    };
    let home = |place: usize| &cluster.nodes[homes[place]];
    fill(home(0), keys[0], 0..1500);
    enrol(keys[1], "subject 3", &vector(3)).value(&mut home(1).client());
    enrol(keys[1], "somebody else", &vector(9999)).value(&mut home(1).client());

    let told = sync(&["--check"]);
    assert_eq!(told.status, 1, "{told:?}");
    let differs = "{b}:people: 1499 samples are missing, 1 are too many";
    assert!(told.out.contains(differs), "{told:?}");
    assert!(told.out.contains("{c}:people: 1500 samples are missing, 0"), "{told:?}");
    assert_eq!(cmd("EXISTS").arg(keys[2]).number(&mut home(2).client()), 0, "only told");
    let shown = status();
    assert_eq!(shown.status, 1, "{shown:?}");
    assert!(shown.out.contains("{b}:people is not in step with {a}:people"), "{shown:?}");
    assert!(shown.out.contains("{c}:people: NOGALLERY"), "{shown:?}");

    let told = sync(&[]);
    assert_eq!(told.status, 0, "{told:?}");
    assert!(told.out.contains("{b}:people: 1499 enrolled, 0 forgotten, 1 more than"), "{told:?}");
    assert!(told.out.contains("{c}:people: 1500 enrolled, 0 forgotten, 0 more than"), "{told:?}");
    assert_eq!(status().status, 1, "somebody is there besides");
    let told = sync(&["--prune"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert!(told.out.contains("{b}:people: 0 enrolled, 1 forgotten, 0 more than"), "{told:?}");
    let told = sync(&["--check"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert_eq!(told.out.matches("in step").count(), 2, "{told:?}");
    let shown = status();
    assert_eq!(shown.status, 0, "{shown:?}");
    assert!(subjects(home(1), keys[1]).keys().eq(subjects(home(0), keys[0]).keys()));
    let found = who(&identify(keys[2], &vector(1234)), &mut home(2).client());
    assert_eq!(found.as_deref(), Some("subject 1234"));

    // Who is forgotten in the first is forgotten everywhere by the next round.
    forget(keys[0], "subject 7").value(&mut home(0).client());
    assert!(status().out.contains("0 samples are missing, 1 are too many"));
    assert_eq!(sync(&["--prune"]).status, 0);
    let error = forget(keys[2], "subject 7").error(&mut home(2).client());
    assert!(error.starts_with("NOSUBJECT "), "{error}");

    let other = "{b}:other";
    in_other_space(other, "x", 1).value(&mut home(1).client());
    let before = digest(home(1), other);
    for more in [&[][..], &["--check"], &["--prune"]] {
        let told = ask(&[&["gallery", "sync", keys[0], other, keys[2]], more].concat());
        assert!(told.status == 1 && told.err.contains("bound to"), "{more:?}: {told:?}");
        assert!(told.out.starts_with(keys[2]), "the others come after it: {told:?}");
    }
    assert_eq!(digest(home(1), other), before);
    let shown = ask(&["status", "--gallery", keys[0], "--gallery", other]);
    assert!(shown.status == 1 && shown.out.contains("12345678"), "{shown:?}");
}

fn cmd_slot(cluster: &Cluster, key: &str) -> i64 {
    cmd("CLUSTER").arg(&["KEYSLOT", key]).number(&mut cluster.nodes[0].client())
}

#[test]
fn a_model_is_evaluated_on_pairs() {
    let server = server();
    let folder = folder_with(
        &["obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg", "astronaut.png", "chelsea.png"]
            .map(|name| (name, name)),
    );
    let pairs = folder.path().join("pairs.csv");
    let curve = folder.path().join("curve.svg");
    let evaluate = |content: &str, more: &[&str]| {
        fs::write(&pairs, content).expect("written");
        gallery(&server, &[&["evaluate", text(&pairs)], more].concat())
    };
    let content = "a,b,same\nobama.jpg,obama2.jpg,1\nobama.jpg,obama3.jpg,yes\nobama2.jpg,obama3.jpg,true\n\
                   obama.jpg,biden.jpg,0\nbiden.jpg,astronaut.png,no\nobama3.jpg,astronaut.png,false\n\
                   chelsea.png,obama.jpg,0\n";
    let told = evaluate(content, &["--output", "json", "--plot", text(&curve)]);
    assert_eq!(told.status, 0, "{told:?}");
    let found = told.json();
    let counts = ["pairs", "same", "left_out"].map(|name| found[name].as_u64());
    assert_eq!(counts, [Some(6), Some(3), Some(1)]);
    let at = &found["at_threshold"];
    let rates = ["threshold", "accuracy", "false_accepts", "false_rejects"];
    let rates = rates.map(|name| at[name].as_f64());
    assert_eq!(rates, [0.363, 1.0, 0.0, 0.0].map(Some));
    let points = found["curve"].as_array().expect("a curve");
    let ends = [&points[0], &points[points.len() - 1]].map(|end| end["false_rejects"].as_f64());
    assert_eq!(ends, [Some(0.0), Some(1.0)], "nobody is as alike as 1");
    let svg = fs::read_to_string(&curve).expect("drawn");
    assert!(svg.starts_with("<svg ") && svg.contains("6 pairs, 3 of one person"), "{svg}");
    assert_eq!(svg.matches("<polyline ").count(), 3);

    let told = evaluate(content, &["--threshold", "0.99"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert!(told.out.contains("6 pairs, 3 of one person; 1 left out"), "{told:?}");
    let in_use = told.out.lines().find(|line| line.contains("in use")).expect("a line");
    assert!(in_use.contains("0.990") && in_use.contains("100"), "{told:?}");

    for (wrong, sentence) in [
        ("a,b,same\nobama.jpg,biden.jpg,maybe\n", "`same` must be 1 or 0"),
        ("a,b\nobama.jpg,biden.jpg\n", "same"),
        ("a,b,same\nobama.jpg,biden.jpg,0\n", "both kinds"),
        ("", "both kinds"),
    ] {
        let told = evaluate(wrong, &[]);
        assert!(told.status == 2 && told.err.contains(sentence), "{wrong}: {told:?}");
    }
    let told = evaluate(&format!("{content}nobody.jpg,obama.jpg,1\n"), &[]);
    assert!(told.status == 1 && told.err.contains("nobody.jpg"), "{told:?}");
}

#[test]
fn frames_tell_who_is_in_them_whoever_is_killed() {
    let server = Server::with().real_models().setting("threads", 1).start();
    let mut client = server.client();
    for (subject, photo) in [("obama", "obama.jpg"), ("biden", "biden.jpg")] {
        enrol_photo("people", subject, &photos::photo(photo)).value(&mut client);
    }
    let shown = [
        ("obama3.jpg", Some("obama")),
        ("biden.jpg", Some("biden")),
        ("astronaut.png", None),
        ("obama2.jpg", Some("obama")),
    ];
    let frames: BTreeMap<String, Option<&str>> = (0..16)
        .map(|number| {
            let (photo, person) = shown[number % shown.len()];
            let picture = photos::slowed(&photos::unique(&photos::photo(photo)), 250);
            let mut command = cmd("XADD").arg(&["frames", "*", "camera", "door"]).take();
            (command.arg("image").arg(picture).text(&mut client), person)
        })
        .collect();
    // By the gallery's own model.
    let more = ["--gallery", "people", "--concurrency", "2"];
    let told = || cmd("XLEN").arg("found").number(&mut server.client());
    for _ in 0..2 {
        let mut consumer = Consumer::start(&server, "c", &more);
        let before = told();
        wait_until("some frames", || told() >= before + 3);
        consumer.signal(libc::SIGKILL);
    }
    assert!(told() < 16, "the deaths came too late");
    let mut consumer = Consumer::start(&server, "c", &more);
    wait_until("every frame is acknowledged", || told() >= 16 && pending(&mut client) == 0);
    assert_eq!(consumer.signal(libc::SIGTERM), Some(0));

    let entries = cmd("XRANGE").arg(&["found", "-", "+"]).value(&mut client);
    let entries: Vec<(String, BTreeMap<String, String>)> =
        redis::from_redis_value(entries).expect("entries");
    let mut left = frames.clone();
    for (_, fields) in &entries {
        let people: Json = serde_json::from_str(&fields["people"]).expect("JSON");
        let faces = people["faces"].as_array().expect("faces");
        let [face] = &faces[..] else { panic!("{people}") };
        assert_eq!(face["subject"].as_str(), frames[&fields["id"]], "{people}");
        assert!(face.as_object().expect("a map").contains_key("subject"), "null for a stranger");
        assert!(fields["result"].contains("\"faces\"") && fields["camera"] == "door");
        left.remove(&fields["id"]);
    }
    assert!(left.is_empty(), "lost: {left:?}");
}

#[test]
fn subjects_with_vectors_are_those_enrolled_page_by_page() {
    let server = Server::start();
    fill(&server, "g", 0..230);
    for mut client in [server.client(), server.client_resp3()] {
        let (mut cursor, mut pages) = ("0".to_owned(), 0);
        let mut all: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        loop {
            let mut command = cmd("IMAGE.SUBJECTS").arg(&["g", &cursor, "COUNT", "50"]).take();
            let reply = command.arg("WITHVECTORS").value(&mut client);
            let (next, page): (String, Vec<BTreeMap<String, Value>>) =
                redis::from_redis_value(reply).expect("a cursor and a page");
            for mut subject in page {
                let mut take = |name: &str| subject.remove(name).expect("an entry");
                let name: String = redis::from_redis_value(take("subject")).expect("a name");
                let ids: Vec<i64> = redis::from_redis_value(take("samples")).expect("ids");
                let vectors: Vec<Vec<u8>> =
                    redis::from_redis_value(take("vectors")).expect("vectors");
                assert_eq!(ids.len(), vectors.len());
                assert_eq!(all.insert(name, vectors), None, "listed twice");
            }
            pages += 1;
            assert!(pages < 20, "it does not end");
            if next == "0" {
                break;
            }
            cursor = next;
        }
        assert_eq!((pages, all.len()), (5, 207));
        for number in 0..230 {
            let subject = format!("subject {}", number - u64::from(number % 10 == 9));
            assert!(all[&subject].contains(&blob(&vector(number))), "{number}");
        }
    }
    let without = cmd("IMAGE.SUBJECTS").arg(&["g", "0"]).value(&mut server.client());
    assert!(!format!("{without:?}").contains("vectors"));
}
