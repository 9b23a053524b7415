//! Whether a node's keys can be evicted, and whether they are on disk. For results this is a matter of taste; galleries
//! must stay, as nothing computes an enrolment again.

use super::findings::Findings;
use super::node::{Node, Role};

/// What threatens the galleries of a node that holds some.
pub fn diagnose(node: &Node, galleries: u64, findings: &mut Findings) {
    let its = match galleries {
        1 => "its gallery".to_owned(),
        count => format!("its {count} galleries"),
    };
    let mut verdict = Verdict { node, findings };
    check_eviction(&its, &mut verdict);
    check_disk(&its, &mut verdict);
}

struct Verdict<'a> {
    node: &'a Node,
    findings: &'a mut Findings,
}

impl Verdict<'_> {
    fn note(&mut self, text: String) {
        self.findings.notes.push(format!("{}: {text}", self.node.address));
    }

    /// Wrong on a master. A replica holds what its master holds: its own settings count once it is a master.
    fn threat(&mut self, text: String) {
        match self.node.role {
            Role::Replica => self.note(format!("after a failover to it: {text}")),
            _ => self.findings.problems.push(format!("{}: {text}", self.node.address)),
        }
    }
}

fn check_eviction(its: &str, verdict: &mut Verdict) {
    let storage = &verdict.node.storage;
    let Some((policy, maxmemory)) = storage.maxmemory_policy.as_ref().zip(storage.maxmemory) else {
        return verdict.note(format!("not told: INFO memory, so whether {its} can be evicted"));
    };
    if !policy.starts_with("allkeys-") {
        return;
    }
    let advice = "set volatile-lru, and image.ttl so that results make room (redis.conf.example)";
    if maxmemory == 0 {
        verdict.note(format!(
            "maxmemory-policy {policy} evicts nothing while maxmemory is 0, and would evict {its} with one; {advice}"
        ));
    } else {
        verdict.threat(format!("maxmemory-policy {policy} can evict {its}; {advice}"));
    }
}

fn check_disk(its: &str, verdict: &mut Verdict) {
    let storage = &verdict.node.storage;
    match (storage.append_only, storage.save_points.as_deref()) {
        (None, _) => verdict.note(format!("not told: INFO persistence, so whether {its} are on disk")),
        (Some(true), _) if storage.append_failed => {
            verdict.threat("its append-only file cannot be written; its log says why".to_owned());
        }
        (Some(true), _) => (),
        // Among what the node has not told.
        (Some(false), None) => (),
        (Some(false), Some("")) => {
            let is_copied = verdict.node.role == Role::Master && !verdict.node.others.is_empty();
            // A master that restarts at once stays the master, and its replicas copy what it then has: nothing.
            let replicas = if is_copied { ", and its replicas are emptied, too" } else { "" };
            verdict.threat(format!(
                "nothing of {its} is on disk (no append-only file, no save points): a restart begins empty{replicas}; \
                 send CONFIG SET appendonly yes, then put `appendonly yes` into its redis.conf"
            ));
        }
        (Some(false), Some(_)) if storage.save_failed => verdict.threat(format!(
            "the last save of {its} failed, and there is no append-only file; its log says why"
        )),
        (Some(false), Some(points)) => verdict.note(format!(
            "of {its} only the last save is on disk (save {points}, no append-only file): a crash loses who was enrolled \
             since, and brings back who was forgotten; CONFIG SET appendonly yes keeps both"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::Storage;
    use super::*;

    fn node(role: Role, storage: Storage) -> Node {
        Node { address: "a:1".to_owned(), role, storage, ..Node::default() }
    }

    /// As in `redis.conf.example`.
    fn safe() -> Storage {
        Storage {
            maxmemory: Some(1 << 30),
            maxmemory_policy: Some("volatile-lru".to_owned()),
            append_only: Some(true),
            ..Storage::default()
        }
    }

    fn with_policy(policy: &str, maxmemory: u64) -> Storage {
        let maxmemory_policy = Some(policy.to_owned());
        Storage { maxmemory_policy, maxmemory: Some(maxmemory), ..safe() }
    }

    fn saved_at(points: &str) -> Storage {
        let save_points = Some(points.to_owned());
        Storage { append_only: Some(false), save_points, ..safe() }
    }

    fn judged(node: &Node) -> Findings {
        let mut findings = Findings::default();
        diagnose(node, 2, &mut findings);
        findings
    }

    #[track_caller]
    fn assert_wrong(node: &Node, words: &[&str]) {
        let findings = judged(node);
        let [problem] = &findings.problems[..] else { panic!("{findings:?}") };
        assert!(words.iter().all(|word| problem.contains(word)), "{problem}");
        assert!(findings.notes.is_empty(), "{findings:?}");
    }

    #[track_caller]
    fn assert_noted(node: &Node, words: &[&str]) {
        let findings = judged(node);
        let [note] = &findings.notes[..] else { panic!("{findings:?}") };
        assert!(words.iter().all(|word| note.contains(word)), "{note}");
        assert!(findings.problems.is_empty(), "{findings:?}");
    }

    #[test]
    fn what_never_evicts_galleries_and_writes_them_to_disk_is_fine() {
        for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
            for role in [Role::Master, Role::Replica] {
                let findings = judged(&node(role, with_policy(policy, 1 << 30)));
                assert!(findings.problems.is_empty() && findings.notes.is_empty(), "{policy}");
            }
        }
    }

    #[test]
    fn a_policy_that_evicts_any_key_is_wrong_where_there_is_a_limit() {
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            let wrong = node(Role::Master, with_policy(policy, 1));
            assert_wrong(&wrong, &["a:1: ", policy, "its 2 galleries", "volatile-lru"]);
            assert_noted(&node(Role::Master, with_policy(policy, 0)), &[policy, "maxmemory is 0"]);
            assert_noted(&node(Role::Replica, with_policy(policy, 1)), &["failover", policy]);
        }
    }

    #[test]
    fn nothing_on_disk_is_wrong_and_replicas_are_no_substitute() {
        let alone = node(Role::Master, saved_at(""));
        assert_wrong(&alone, &["no append-only file, no save points", "begins empty;"]);
        let replica = crate::connect::Address::parse("b:2", 0).expect("an address");
        let copied = Node { others: vec![replica], ..alone };
        assert_wrong(&copied, &["begins empty", "its replicas are emptied"]);
        assert_noted(&node(Role::Replica, saved_at("")), &["failover", "nothing of its 2"]);
    }

    #[test]
    fn saves_alone_are_a_note_that_says_what_may_be_lost() {
        let words = ["save 3600 1", "enrolled since", "brings back who was forgotten"];
        assert_noted(&node(Role::Master, saved_at("3600 1")), &words);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_wrong() {
        let append = Storage { append_failed: true, ..safe() };
        assert_wrong(&node(Role::Master, append), &["append-only file cannot be written"]);
        let save = Storage { save_failed: true, ..saved_at("3600 1") };
        assert_wrong(&node(Role::Master, save), &["last save", "failed"]);
        // With an append-only file the other one is a backup.
        let backup = Storage { save_failed: true, ..safe() };
        assert!(judged(&node(Role::Master, backup)).problems.is_empty());
    }

    #[test]
    fn what_a_server_does_not_tell_is_a_note() {
        let silent = Storage { maxmemory_policy: None, ..safe() };
        assert_noted(&node(Role::Master, silent), &["not told: INFO memory"]);
        let silent = Storage { append_only: None, ..safe() };
        assert_noted(&node(Role::Master, silent), &["not told: INFO persistence"]);
    }
}
