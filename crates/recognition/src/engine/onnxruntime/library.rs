//! The shared library: found among files of several versions, tried, loaded.
//!
//! A broken library must not take the process down with it. `dlopen` of a truncated file ends in
//! SIGBUS, which nobody can catch; so the library is first loaded by another process, a short one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ort::environment::{Environment, EnvironmentBuilder};

use super::one_session::OneSession;
use crate::engine::spare::Pools;
use crate::error::printable;
use crate::files::real_path;

const FILE_NAME: &str = "libonnxruntime.so";

/// The library, loaded, and what it runs graphs with.
pub struct Library {
    pub environment: Environment,
    pub pools: Arc<Pools<OneSession>>,
    /// How many sessions there are.
    pub sessions: Arc<AtomicUsize>,
    path: PathBuf,
    /// Those that were tried before it, each with what is wrong with it.
    passed_over: Vec<String>,
}

impl Library {
    /// The first that can be used, or why none can. A place is a file, or a folder of libraries, of
    /// which the highest version is tried first.
    pub fn find(places: &[PathBuf]) -> Result<Library, String> {
        let mut passed_over = Vec::new();
        for path in candidates(places) {
            let told = |problem: String| format!("{}: {problem}", path.display());
            match load(&path) {
                Ok(builder) => match settle(builder) {
                    Ok(environment) => {
                        let (pools, sessions) = (Pools::new(), Arc::default());
                        return Ok(Library { environment, pools, sessions, path, passed_over });
                    }
                    Err(problem) => {
                        // It stays loaded, and a process has one: no other can be tried.
                        passed_over.push(told(problem));
                        break;
                    }
                },
                Err(problem) => passed_over.push(told(problem)),
            }
        }
        Err(if passed_over.is_empty() {
            format!("no {FILE_NAME} was found")
        } else {
            passed_over.join("; ")
        })
    }

    pub fn describe(&self) -> String {
        let mut text = format!("onnxruntime: {}", self.path.display());
        if !self.passed_over.is_empty() {
            text += &format!(" (passed over {})", self.passed_over.join("; "));
        }
        text
    }
}

/// The files to try, in this order, each once.
fn candidates(places: &[PathBuf]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for path in places.iter().flat_map(|place| in_place(place)) {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    all
}

/// The libraries at a place: the file itself, or those of that folder, the highest version first.
/// What cannot be opened keeps its name, so that the reason told is about it.
fn in_place(place: &Path) -> Vec<PathBuf> {
    let without_links = |path: PathBuf| real_path(&path).unwrap_or(path);
    if place.is_file() {
        return vec![without_links(place.to_owned())];
    }
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let mut found: Vec<(Vec<u64>, PathBuf)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| file_name(path).starts_with(FILE_NAME) && path.is_file())
        .map(|entry| {
            let path = without_links(entry.clone());
            let version = version(file_name(&path)).or_else(|| version(file_name(&entry)));
            // A version of no numbers is below all others.
            (version.unwrap_or_default(), path)
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The numbers behind `libonnxruntime.so.`, unless anything else stands there.
fn version(file_name: &str) -> Option<Vec<u64>> {
    let numbers = file_name.strip_prefix(FILE_NAME)?.strip_prefix('.')?;
    numbers.split('.').map(|number| number.parse().ok()).collect()
}

fn load(path: &Path) -> Result<EnvironmentBuilder, String> {
    check_elsewhere(path)?;
    // The first call into the crate, and by this function: any other panics without a library. It
    // checks the version, too, and keeps a library only if that is right.
    contained(|| ort::init_from(path).map_err(|error| printable(&error.to_string())))
}

/// What of the library is the same for all sessions.
fn settle(builder: EnvironmentBuilder) -> Result<Environment, String> {
    contained(|| {
        let builder = builder.with_name("redis-image").with_telemetry(false);
        builder.build().map_err(|error| printable(&error.to_string()))
    })
}

/// The crate panics where a library gives it nothing: a panic of the module's start ends the server.
fn contained<T>(action: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(action))
        .unwrap_or_else(|_| Err("it is not what it claims to be".to_owned()))
}

/// Has another process load the library: this very program, which is asked for its version and
/// ends. If that process dies of it, this one would have, too.
fn check_elsewhere(path: &Path) -> Result<(), String> {
    // Named from within its folder: LD_PRELOAD is a list, which a space or a colon in a path would split.
    let folder = path.parent().unwrap_or(Path::new("/"));
    let output = Command::new("/proc/self/exe")
        .arg("--version")
        .current_dir(folder)
        .env("LD_PRELOAD", Path::new(".").join(path.file_name().unwrap_or_default()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("it could not be tried: {error}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if output.status.code().is_none() {
        return Err(format!("loading it crashes a process ({})", output.status));
    }
    if complaint.contains("cannot be preloaded") {
        return Err(format!("it cannot be loaded: {}", printable(&complaint)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of its own, which is removed when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn of(files: &[&str]) -> Folder {
            let thread = std::thread::current();
            let test = thread.name().unwrap_or_default().replace(':', "-");
            let name = format!("redis-image-library-{}-{test}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for file in files {
                std::fs::write(folder.join(file), "not a library").unwrap();
            }
            Folder(folder)
        }

        fn link(self, name: &str, target: &str) -> Folder {
            symlink(target, self.0.join(name)).unwrap();
            self
        }

        fn candidates(&self) -> Vec<String> {
            let all = candidates(std::slice::from_ref(&self.0));
            all.iter().map(|path| file_name(path).to_owned()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let folder = Folder::of(&[
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.22.0",
            "libonnxruntime.so.1.22",
            "libonnxruntime.so.1.22.10",
            "libonnxruntime.so.2",
        ]);
        let expected = ["2", "1.22.10", "1.22.0", "1.22", "1.9.0"];
        assert_eq!(folder.candidates(), expected.map(|version| format!("{FILE_NAME}.{version}")));
    }

    #[test]
    fn what_tells_no_version_comes_last() {
        let folder = Folder::of(&[
            "libonnxruntime.so",
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.30.0.part",
            "libonnxruntime_providers_shared.so",
            "libother.so.9",
        ]);
        let expected =
            ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.30.0.part", "libonnxruntime.so"];
        assert_eq!(folder.candidates(), expected);
    }

    #[test]
    fn a_link_has_the_version_of_its_target_and_is_no_second_library() {
        let folder = Folder::of(&["libonnxruntime.so.1.22.0", "libonnxruntime.so.1.9.0"])
            .link("libonnxruntime.so", "libonnxruntime.so.1")
            .link("libonnxruntime.so.1", "libonnxruntime.so.1.22.0");
        assert_eq!(folder.candidates(), ["libonnxruntime.so.1.22.0", "libonnxruntime.so.1.9.0"]);
    }

    #[test]
    fn a_target_without_a_version_has_that_of_its_link() {
        let folder = Folder::of(&["runtime.bin", "libonnxruntime.so.1.9.0"])
            .link("libonnxruntime.so.1.10.0", "runtime.bin")
            .link("libonnxruntime.so.3", "away");
        assert_eq!(folder.candidates(), ["runtime.bin", "libonnxruntime.so.1.9.0"]);
    }

    #[test]
    fn every_place_is_tried_in_its_order_and_named_with_its_reason() {
        let low = Folder::of(&["libonnxruntime.so.1.9.0"]);
        let file = low.0.join("other.so");
        std::fs::write(&file, "not a library").unwrap();
        let places = [file, low.0.join("nothing"), low.0.clone()];
        let Err(reasons) = Library::find(&places) else { panic!("text is no library") };
        let reasons: Vec<&str> = reasons.split("; ").collect();
        for (reason, name) in reasons.iter().zip(["other.so", "libonnxruntime.so.1.9.0"]) {
            let expected = format!("{}: it cannot be loaded", low.0.join(name).display());
            assert!(reason.starts_with(&expected), "{reason}");
        }
        assert_eq!(reasons.len(), 2, "{reasons:?}");
    }
}
