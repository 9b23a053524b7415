//! The order of the module's rooms, as `tools/check-rooms` sees it: it passes, and names what is planted.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::repository;

/// What the check says of a checkout: nothing, or what is wrong.
fn check(checkout: &Path) -> Result<(), String> {
    let script = repository().join("tools/check-rooms");
    let output = Command::new(script).arg(checkout).output().expect("python3");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// The project's sources, with a line added to one of them.
fn with_line(file: &str, line: &str) -> TempDir {
    let checkout = tempfile::tempdir().expect("a folder");
    for folder in ["src", "crates"] {
        copy(&repository().join(folder), &checkout.path().join(folder));
    }
    let changed = checkout.path().join(file);
    let text = fs::read_to_string(&changed).expect("a source");
    fs::write(&changed, format!("{line}\n{text}")).expect("a changed source");
    checkout
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            fs::create_dir_all(to).expect("a folder");
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

#[test]
fn every_room_imports_from_below_and_no_files_import_each_other() {
    assert_eq!(check(repository()), Ok(()));
}

#[test]
fn an_arrow_that_runs_back_up_is_named() {
    let checkout = with_line("src/reply.rs", "use crate::workers::queue::Work;");
    let said = check(checkout.path()).expect_err("a wrong arrow");
    assert!(said.contains("src/reply.rs imports from"), "{said}");
    assert!(said.contains("workers does not stand below reply"), "{said}");
}

#[test]
fn a_name_that_is_only_passed_on_leads_to_its_file() {
    // `galleries` re-exports it from `galleries/pending.rs`.
    let checkout = with_line("src/results/hash.rs", "use crate::galleries::timed_out;");
    let said = check(checkout.path()).expect_err("a wrong arrow");
    assert!(said.contains("src/galleries/pending.rs"), "{said}");
}

#[test]
fn a_circle_of_files_within_a_room_is_named() {
    let checkout = with_line("src/in_flight/db_key.rs", "use super::history::Histories;");
    let said = check(checkout.path()).expect_err("a circle");
    assert!(said.contains("a circle of files"), "{said}");
    assert!(said.contains("src/in_flight/db_key.rs -> "), "{said}");
}

#[test]
fn a_circle_in_another_crate_is_named() {
    let file = "crates/gallery/src/limits.rs";
    let checkout = with_line(file, "use super::binding::Binding;");
    let said = check(checkout.path()).expect_err("a circle");
    assert!(said.contains("crates/gallery/src/limits.rs -> "), "{said}");
}

#[test]
fn a_file_outside_of_the_rooms_is_named() {
    let checkout = with_line("src/lib.rs", "");
    fs::write(checkout.path().join("src/attic.rs"), "").expect("a file");
    let said = check(checkout.path()).expect_err("an unknown room");
    assert!(said.contains("src/attic.rs is in no known room"), "{said}");
}
