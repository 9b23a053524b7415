//! Runs the tests. It looks like the standard harness and takes the same arguments, but here a test may find out while
//! it runs that something is missing, call [`skip`], and show as `ignored` with its reason.

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::any::Any;
use std::cell::Cell;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

// For what the attribute `#[test]` expands to.
pub use inventory;

/// A function with the attribute `#[test]`, which enters it here.
pub struct Test {
    pub path: &'static str,
    pub run: fn(),
}

inventory::collect!(Test);

/// What [`skip`] unwinds with.
struct Skipped(String);

thread_local! {
    static SKIPPING: Cell<bool> = const { Cell::new(false) };
}

/// Ends this test: it cannot be run here, for this reason. To be called on the test's own thread; on another one it
/// fails the test.
pub fn skip(reason: impl Into<String>) -> ! {
    SKIPPING.set(true);
    resume_unwind(Box::new(Skipped(reason.into())))
}

/// Is this thread unwinding because a test is skipped, not because it failed?
pub fn is_skipping() -> bool {
    SKIPPING.get()
}

/// The folder of reference results, photos and hostile files that lies beside some checkouts; skips the test without it.
pub fn shared_folder() -> PathBuf {
    let folder = match std::env::var_os("REDIS_IMAGE_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    if !folder.join("reference/expected.json").is_file() {
        skip("there is no folder `shared` beside the project");
    }
    folder
}

/// What a test cannot do without; skips the test if there is none.
pub fn need<T>(found: Option<T>, missing: &str) -> T {
    found.unwrap_or_else(|| {
        skip(format!("{missing} is missing: `make models photos onnxruntime` fetches it"))
    })
}

/// The `main` of a test binary.
pub fn main() -> ExitCode {
    let (arguments, filters) = arguments();
    let fits = |name: &str, filter: &String| match arguments.exact {
        true => name == filter,
        false => name.contains(filter),
    };
    let mut tests: Vec<&Test> = inventory::iter::<Test>.into_iter().collect();
    tests.retain(|test| {
        filters.is_empty() || filters.iter().any(|filter| fits(test.name(), filter))
    });
    tests.sort_by_key(|test| test.path);
    let trials = tests
        .into_iter()
        .map(|test| Trial::ignorable_test(test.name(), || test.outcome()))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

impl Test {
    /// The path without the binary's name.
    fn name(&self) -> &'static str {
        self.path.split_once("::").map_or(self.path, |(_, name)| name)
    }

    /// Runs it on a thread with its name, which a panic's message then has.
    fn outcome(&self) -> Result<Completion, Failed> {
        let thread = thread::Builder::new().name(self.name().to_owned()).spawn(self.run);
        match thread.expect("a thread").join() {
            Ok(()) => Ok(Completion::Completed),
            Err(payload) => match payload.downcast::<Skipped>() {
                Ok(skipped) => Ok(Completion::ignored_with(skipped.0)),
                Err(payload) => Err(message(&*payload).into()),
            },
        }
    }
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref().map(|text: &&str| text.to_string())).unwrap_or_default()
}

/// The standard harness takes several filters, libtest-mimic one: where there are more, they are the second value.
fn arguments() -> (Arguments, Vec<String>) {
    const WITH_VALUE: [&str; 6] =
        ["--test-threads", "--logfile", "--skip", "--color", "--format", "-Z"];
    let (mut others, mut filters) = (Vec::new(), Vec::new());
    let mut given = std::env::args();
    others.extend(given.next());
    while let Some(argument) = given.next() {
        if WITH_VALUE.contains(&argument.as_str()) {
            others.push(argument);
            others.extend(given.next());
        } else if argument.starts_with('-') {
            others.push(argument);
        } else {
            filters.push(argument);
        }
    }
    if filters.len() == 1 {
        others.append(&mut filters);
    }
    (Arguments::from_iter(others), filters)
}
