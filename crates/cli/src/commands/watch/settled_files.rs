//! When is a file completely written? inotify tells it: closed after writing, or moved into place. Where nothing was told
//! (files that lay there before, folders that came with files in them, hard links, network file systems), it is a file
//! whose size and time have not changed for a while.

use crate::files::{Files, has_hidden, is_photo};
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// So long after a folder came it is certainly watched.
const WATCH_BEGINS: Duration = Duration::from_secs(1);

pub struct SettledFiles {
    folder: PathBuf,
    /// So long a file of which nothing is told must stay as it is.
    settle: Duration,
    settling: HashMap<PathBuf, Sighting>,
    /// Folders that came: files may have been written to them between our look and the beginning of the watch.
    new_folders: Vec<(PathBuf, Instant)>,
    /// Marks of the files that were handed on: path, size, time. Eight bytes each, as a camera's folder grows.
    done: HashSet<u64>,
}

struct Sighting {
    mark: u64,
    since: Instant,
}

impl SettledFiles {
    pub fn new(folder: PathBuf, settle: Duration) -> SettledFiles {
        SettledFiles {
            folder,
            settle,
            settling: HashMap::new(),
            new_folders: Vec::new(),
            done: HashSet::new(),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that lies there counts as handed on.
    pub fn pass_over_existing(&mut self) {
        for path in Files::find(std::slice::from_ref(&self.folder), None).paths {
            self.done.extend(seen(&path).map(|seen| seen.mark));
        }
    }

    /// Looks at everything in the folder: those that are complete by their age.
    pub fn scan(&mut self) -> Vec<PathBuf> {
        self.scan_folder(&self.folder.clone())
    }

    /// What is complete after this event.
    pub fn on_event(&mut self, event: &notify::Event) -> Vec<PathBuf> {
        if event.need_rescan() {
            return self.scan();
        }
        let Some(path) = event.paths.first() else { return Vec::new() };
        // What a program keeps for itself, a transfer that is under way for example.
        if path.strip_prefix(&self.folder).is_ok_and(has_hidden) {
            return Vec::new();
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.complete(path),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) if path.is_dir() => {
                self.on_folder(path)
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => self.complete(path),
            EventKind::Create(CreateKind::Folder) => self.on_folder(path),
            // A link is complete from the start and never closed; any other new file will be.
            EventKind::Create(_) if is_link(path) => self.sight(path).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Those that have not changed for long enough by now.
    pub fn settled(&mut self) -> Vec<PathBuf> {
        let is_due = |(_, came): &(PathBuf, Instant)| came.elapsed() >= WATCH_BEGINS;
        let (due, later) = std::mem::take(&mut self.new_folders).into_iter().partition(is_due);
        self.new_folders = later;
        let due: Vec<(PathBuf, Instant)> = due;
        let mut complete: Vec<PathBuf> =
            due.iter().flat_map(|(folder, _)| self.scan_folder(folder)).collect();
        let settle = self.settle;
        let done = &mut self.done;
        self.settling.retain(|path, sighting| {
            let Some(seen) = seen(path) else { return false };
            if seen.mark != sighting.mark {
                *sighting = Sighting { mark: seen.mark, since: Instant::now() };
            }
            let is_settled = sighting.since.elapsed() >= settle;
            if is_settled && done.insert(seen.mark) {
                complete.push(path.clone());
            }
            !is_settled
        });
        complete
    }

    pub fn is_waiting(&self) -> bool {
        !self.settling.is_empty()
    }

    /// Files may have come with it.
    fn on_folder(&mut self, folder: &Path) -> Vec<PathBuf> {
        self.new_folders.push((folder.to_owned(), Instant::now()));
        self.scan_folder(folder)
    }

    fn scan_folder(&mut self, folder: &Path) -> Vec<PathBuf> {
        let paths = Files::find(&[folder.to_owned()], None).paths;
        if folder == self.folder {
            // What is no longer there needs no mark.
            let present: HashSet<u64> =
                paths.iter().filter_map(|path| Some(seen(path)?.mark)).collect();
            self.done.retain(|mark| present.contains(mark));
        }
        paths.iter().filter_map(|path| self.sight(path)).collect()
    }

    /// Complete at once if it is old enough.
    fn sight(&mut self, path: &Path) -> Option<PathBuf> {
        let seen = seen(path).filter(|_| is_photo(path))?;
        if self.done.contains(&seen.mark) {
            return None;
        }
        if seen.age.is_some_and(|age| age >= self.settle) {
            return self.complete(path).pop();
        }
        let sighting = Sighting { mark: seen.mark, since: Instant::now() };
        self.settling.entry(path.to_owned()).or_insert(sighting);
        None
    }

    fn complete(&mut self, path: &Path) -> Vec<PathBuf> {
        self.settling.remove(path);
        match seen(path) {
            Some(seen) if is_photo(path) && self.done.insert(seen.mark) => vec![path.to_owned()],
            _ => Vec::new(),
        }
    }
}

struct Seen {
    mark: u64,
    /// Since it was last written; unknown if the clocks disagree.
    age: Option<Duration>,
}

fn seen(path: &Path) -> Option<Seen> {
    let about = fs::metadata(path).ok().filter(|about| about.is_file())?;
    let mut hash = DefaultHasher::new();
    (path, about.len(), about.mtime(), about.mtime_nsec(), about.ino()).hash(&mut hash);
    let age = about.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    Some(Seen { mark: hash.finish(), age })
}

/// Whether an event says anything about a file's being complete; most say that something was written.
pub fn counts(event: &notify::Event) -> bool {
    event.need_rescan()
        || matches!(
            event.kind,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(RenameMode::To))
                | EventKind::Create(_)
        )
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink() || about.nlink() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::Event;

    fn closed(path: &Path) -> Event {
        Event::new(EventKind::Access(AccessKind::Close(AccessMode::Write)))
            .add_path(path.to_owned())
    }

    #[test]
    fn a_closed_file_is_complete_once_per_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let mut settled_files =
            SettledFiles::new(folder.path().to_owned(), Duration::from_secs(3600));
        fs::write(&path, b"one").unwrap();
        assert_eq!(settled_files.on_event(&closed(&path)), std::slice::from_ref(&path));
        assert!(settled_files.on_event(&closed(&path)).is_empty());
        assert!(settled_files.scan().is_empty() && !settled_files.is_waiting());
        fs::write(&path, b"another").unwrap();
        assert_eq!(settled_files.on_event(&closed(&path)), [path]);
        let notes = folder.path().join("notes.txt");
        fs::write(&notes, b"x").unwrap();
        assert!(settled_files.on_event(&closed(&notes)).is_empty());
    }

    #[test]
    fn a_file_of_which_nothing_is_told_must_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        fs::write(&path, b"one").unwrap();
        let mut settled_files =
            SettledFiles::new(folder.path().to_owned(), Duration::from_secs(3600));
        assert!(settled_files.scan().is_empty() && settled_files.is_waiting());
        assert!(settled_files.settled().is_empty());
        settled_files.settle = Duration::ZERO;
        assert_eq!(settled_files.settled(), std::slice::from_ref(&path));
        assert!(settled_files.settled().is_empty() && settled_files.scan().is_empty());
        let linked = folder.path().join("b.jpg");
        fs::hard_link(&path, &linked).unwrap();
        let created = Event::new(EventKind::Create(CreateKind::File)).add_path(linked.clone());
        assert_eq!(settled_files.on_event(&created), [linked]);
    }
}
