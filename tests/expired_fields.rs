//! Fields of a hash that have expired (`HPEXPIRE`; Redis 7.4, Valkey 9): a hash without a living field is no key, even
//! before the server has removed it.

use crate::commands::{RED_RESULT, stored_field};
use crate::support::*;
use redis::{Connection, cmd};

/// A server that keeps what has expired until it is looked at, as a busy one does.
fn server() -> Server {
    let server = Server::start();
    needs::command(&server, "HPEXPIRE");
    cmd("DEBUG").arg(&["SET-ACTIVE-EXPIRE", "0"]).text(&mut server.client());
    server
}

fn expire_fields(client: &mut Connection, key: &str, fields: &[&str]) {
    cmd("HPEXPIRE")
        .arg(key)
        .arg(&["1", "FIELDS", &fields.len().to_string()])
        .arg(fields)
        .value(client);
    wait_until("the fields have expired", || {
        fields.iter().all(|field| cmd("HEXISTS").arg(&[key, field]).number(client) == 0)
    });
}

/// A key with a result, all of whose fields have expired.
fn expired(client: &mut Connection, key: &str) {
    recognize(key, &photos::red()).text(client);
    let field = stored_field(client, key);
    expire_fields(client, key, &["sha256", &field]);
}

#[test]
fn a_hash_whose_fields_have_all_expired_is_no_key() {
    let server = server();
    let mut client = server.client();
    for key in ["get", "get wait", "ro", "same", "other", "large"] {
        expired(&mut client, key);
    }
    assert!(get("get").reply(&mut client).is_nil());
    assert!(get("get wait").arg(&["WAIT", "1000"]).reply(&mut client).is_nil());
    assert_eq!(recognize_ro("ro", &photos::red()).text(&mut client), RED_RESULT);
    let large = photos::padded(&photos::red(), 400_000);
    for (key, payload) in
        [("same", photos::red()), ("other", photos::unique(&photos::red())), ("large", large)]
    {
        let computed = server.model_count("tiny", "computed");
        assert_eq!(recognize(key, &payload).text(&mut client), RED_RESULT);
        assert_eq!(server.model_count("tiny", "computed"), computed + 1, "{key}");
        assert_eq!(get(key).text(&mut client), RED_RESULT, "stored");
        assert_eq!(recognize(key, &payload).text(&mut client), RED_RESULT);
        assert_eq!(server.model_count("tiny", "computed"), computed + 1, "{key}: a hit");
        assert_eq!(cmd("HGET").arg(&[key, "sha256"]).text(&mut client), photos::digest(&payload));
        let field = stored_field(&mut client, key);
        let ttls = cmd("HPTTL").arg(key).arg(&["FIELDS", "2", "sha256", &field]).value(&mut client);
        let ttls: Vec<i64> = redis::from_redis_value(ttls).expect("numbers");
        assert_eq!(ttls, [-1, -1], "{key}: a new result does not expire");
    }
    assert_eq!(server.count("not_stored_foreign"), 0);
}

#[test]
fn a_hash_with_a_living_field_is_what_it_was() {
    let server = server();
    let mut client = server.client();
    // A result that has expired beside a digest that has not: computed anew.
    recognize("ours", &photos::red()).text(&mut client);
    let field = stored_field(&mut client, "ours");
    expire_fields(&mut client, "ours", &[&field]);
    assert!(get("ours").reply(&mut client).is_nil());
    assert_eq!(recognize("ours", &photos::red()).text(&mut client), RED_RESULT);
    assert_eq!(get("ours").text(&mut client), RED_RESULT);
    // Somebody's own: one field has expired, one has not.
    cmd("HSET").arg(&["theirs", "a", "1", "b", "2"]).number(&mut client);
    expire_fields(&mut client, "theirs", &["a"]);
    assert!(get("theirs").error(&mut client).starts_with("WRONGTYPE "));
    assert!(recognize("theirs", &photos::red()).error(&mut client).starts_with("WRONGTYPE "));
    assert_eq!(cmd("HGET").arg(&["theirs", "b"]).text(&mut client), "2");
    // Many fields, in another encoding; first all but one have expired, then all.
    let names: Vec<String> = (0..2000).map(|number| format!("f{number}")).collect();
    for name in &names {
        cmd("HSET").arg("many").arg(name).arg("x").number(&mut client);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    expire_fields(&mut client, "many", &names[1..]);
    assert!(get("many").error(&mut client).starts_with("WRONGTYPE "));
    assert!(recognize("many", &photos::red()).error(&mut client).starts_with("WRONGTYPE "));
    assert_eq!(cmd("HGET").arg(&["many", "f0"]).text(&mut client), "x", "it is still theirs");
    expire_fields(&mut client, "many", &names[..1]);
    assert!(get("many").reply(&mut client).is_nil());
}

#[test]
fn a_replica_and_a_pause_make_no_difference() {
    let master = server();
    let replica = Server::with().replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    expired(&mut client, "k");
    replica.wait_for_sync(&master);
    let mut reader = replica.client();
    wait_until("the replica knows", || {
        cmd("HEXISTS").arg(&["k", "sha256"]).number(&mut reader) == 0
    });
    assert!(get("k").reply(&mut reader).is_nil());
    assert_eq!(recognize_ro("k", &photos::red()).text(&mut reader), RED_RESULT);
    // A replica keeps such a hash as long as its master is away.
    cmd("CLIENT").arg(&["PAUSE", "60000", "WRITE"]).text(&mut client);
    assert!(get("k").reply(&mut client).is_nil());
    assert_eq!(recognize_ro("k", &photos::red()).text(&mut client), RED_RESULT);
    cmd("CLIENT").arg("UNPAUSE").text(&mut client);
    assert_eq!(recognize("k", &photos::red()).text(&mut client), RED_RESULT);
    assert_eq!(get("k").text(&mut client), RED_RESULT);
}
