//! A master and its replicas under the eyes of sentinels.

use crate::commands::RED_RESULT;
use crate::support::crowd::{assert_settled, data_digest, role};
use crate::support::sentinel::Sentinels;
use crate::support::*;
use redis::cmd;
use std::time::Instant;

#[test]
fn a_client_that_asks_the_sentinels_gets_every_result_and_finds_what_was_replicated() {
    let mut master = Server::with().setting("threads", 2).start();
    let mut replicas =
        [(); 2].map(|()| Server::with().setting("threads", 2).replica_of(&master).start());
    replicas.iter().for_each(|replica| replica.wait_for_sync(&master));
    let sentinels = Sentinels::watch(&master, 2);

    let new_picture = || {
        let payload = photos::unique(&photos::red());
        (photos::key_of(&payload), payload)
    };
    let recognized = |count: usize| {
        let pictures: Vec<_> = (0..count).map(|_| new_picture()).collect();
        for (key, payload) in &pictures {
            assert_eq!(sentinels.ask(&recognize(key, payload)).text(), RED_RESULT);
        }
        pictures
    };
    let mut pictures = recognized(10);
    replicas.iter().for_each(|replica| replica.wait_for_sync(&master));
    let pending = master.send(&recognize("under way", &photos::slow(5_000)));
    wait_until("it is under way", || master.count("requests") == 1);
    let old_port = master.port;
    master.kill();
    assert!(matches!(pending.reply(), Reply::Lost(_)));

    // Asked for while there is no master, and afterwards.
    pictures.extend(recognized(10));
    let new_port = sentinels.master_port().expect("the sentinels know one");
    assert_ne!(new_port, old_port);
    for (key, _) in &pictures {
        assert_eq!(sentinels.ask(&get(key)).text_if_any().as_deref(), Some(RED_RESULT), "{key}");
    }
    let new = replicas.iter().find(|replica| replica.port == new_port).expect("one of the two");
    assert_eq!(new.model_count("tiny", "computed"), 10, "nothing is computed again");

    // The old one comes back empty, and is told what it is now.
    master.start_again();
    let patience = Instant::now() + 3 * PATIENCE;
    while role(&master) == "master" {
        assert!(Instant::now() < patience, "nobody tells it that it is a replica");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // On a busy machine the sentinels may change masters once more.
    let nodes = [&master, &replicas[0], &replicas[1]];
    let new = wait_for("two follow the one that the sentinels name", || {
        let port = sentinels.master_port()?;
        let (new, others): (Vec<&Server>, Vec<&Server>) =
            nodes.into_iter().partition(|node| node.port == port);
        others.iter().all(|node| follows(node, port)).then(|| new[0])
    });
    for replica in nodes.iter().filter(|node| node.port != new.port) {
        replica.wait_for_sync(new);
        assert_eq!(data_digest(replica), data_digest(new));
    }
    assert!(get("under way").reply(&mut new.client()).is_nil());
    assert_eq!(cmd("DBSIZE").number(&mut new.client()), 20);
    assert_settled(&mut master);
    replicas.iter_mut().for_each(assert_settled);
}

fn follows(node: &Server, port: u16) -> bool {
    let info = node.info_of("replication");
    info.get("master_port") == Some(&port.to_string()) && info["master_link_status"] == "up"
}
