//! Which files are meant by the paths of a command line, and where the picture of each is to be drawn.

use crate::error::Error;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// What the module reads. Inside a folder other files are passed over; one that is named is always taken.
const ENDINGS: [&str; 7] = ["jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp"];

#[derive(Debug, Default)]
pub struct Files {
    /// Each once, sorted by name.
    pub paths: BTreeSet<PathBuf>,
    pub standard_input: bool,
    /// Paths that lead nowhere, and folders that can't be read.
    pub failures: Vec<(String, Error)>,
}

impl Files {
    /// Files, folders with all they hold, patterns (where the shell did not expand them), `-` for standard input.
    /// What lies in `left_out` is no photo of the user's.
    pub fn find(arguments: &[PathBuf], left_out: Option<&Path>) -> Files {
        let left_out = left_out.and_then(|folder| fs::canonicalize(folder).ok());
        let mut files = Files::default();
        for argument in arguments {
            if argument.as_os_str() == "-" {
                files.standard_input = true;
                continue;
            }
            match fs::metadata(argument) {
                Ok(about) if about.is_dir() => files.walk(argument, left_out.as_deref()),
                Ok(_) => {
                    files.paths.insert(argument.clone());
                }
                Err(why) => files.expand(argument, left_out.as_deref(), &why),
            }
        }
        files
    }

    fn expand(&mut self, argument: &Path, left_out: Option<&Path>, why: &std::io::Error) {
        let pattern = argument.to_str().filter(|text| text.contains(['*', '?', '[']));
        let Some(Ok(matches)) = pattern.map(glob::glob) else {
            return self.fail(argument, Error::file(argument, why));
        };
        let mut found = false;
        for path in matches.flatten() {
            found = true;
            if path.is_dir() {
                self.walk(&path, left_out);
            } else {
                self.paths.insert(path);
            }
        }
        if !found {
            self.fail(argument, Error::file(argument, "no file has such a name"));
        }
    }

    fn walk(&mut self, folder: &Path, left_out: Option<&Path>) {
        if left_out.is_some() && fs::canonicalize(folder).ok().as_deref() == left_out {
            return;
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(why) => return self.fail(folder, Error::file(folder, why)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_hidden(&path) {
                continue;
            }
            if is_folder {
                self.walk(&path, left_out);
            } else if is_photo(&path) && path.is_file() {
                self.paths.insert(path);
            }
        }
    }

    fn fail(&mut self, path: &Path, error: Error) {
        self.failures.push((path.display().to_string(), error));
    }
}

/// A file of a name that the module can read, and that no program keeps for itself.
pub fn is_photo(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    !is_hidden(path) && ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether it lies in a folder that is hidden, or is hidden itself.
pub fn has_hidden(path: &Path) -> bool {
    path.components().any(|part| is_hidden(Path::new(&part)))
}

/// The folder that all of the paths lie in.
pub fn common_folder<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> PathBuf {
    let folders = paths.map(|path| whole(path).parent().map(Path::to_owned).unwrap_or_default());
    folders
        .reduce(|one, other| {
            let same = one.components().zip(other.components()).take_while(|(a, b)| a == b);
            same.map(|(component, _)| component).collect()
        })
        .unwrap_or_default()
}

/// Where the picture of `path` is drawn: as deep under `target` as it lies under `common`, and of a kind that can be
/// written.
pub fn drawn(path: &Path, common: &Path, target: &Path) -> PathBuf {
    let path = whole(path);
    let inside = path.strip_prefix(common).unwrap_or(&path);
    // Whatever a path is made of, nothing is written outside `target`.
    let inside: PathBuf =
        inside.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let mut name = target.join(inside).into_os_string();
    if !["jpg", "jpeg", "png"].contains(&ending.to_ascii_lowercase().as_str()) {
        name.push(".png");
    }
    name.into()
}

/// From the root, with `..` resolved.
fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }

    #[test]
    fn folders_are_walked_patterns_expanded_and_what_is_named_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in
            ["a.jpg", "deep/er/b.PNG", "notes.txt", ".hidden.jpg", ".git/c.jpg", "seen/a.jpg"]
        {
            touch(&root.join(name));
        }
        let names = |arguments: &[PathBuf]| -> Vec<String> {
            let files = Files::find(arguments, Some(&root.join("seen")));
            let name = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
            files.paths.iter().map(name).collect()
        };
        assert_eq!(names(&[root.to_owned()]), ["a.jpg", "deep/er/b.PNG"]);
        assert_eq!(names(&[root.join("notes.txt"), root.join("a.jpg"), root.to_owned()]).len(), 3);
        assert_eq!(names(&[root.join("**/*.PNG")]), ["deep/er/b.PNG"]);
        let files = Files::find(&[root.join("none.jpg"), root.join("*.gif"), "-".into()], None);
        assert!(files.standard_input && files.paths.is_empty());
        assert_eq!(files.failures.len(), 2);
    }

    #[test]
    fn every_drawn_picture_has_a_place_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let paths = ["a/x.jpg", "b/x.jpg", "b/x.webp"].map(|name| root.join(name));
        paths.iter().for_each(|path| touch(path));
        let common = common_folder(paths.iter());
        assert_eq!(common, root);
        let drawn = paths.map(|path| drawn(&path, &common, Path::new("out")).display().to_string());
        assert_eq!(drawn, ["out/a/x.jpg", "out/b/x.jpg", "out/b/x.webp.png"]);
    }
}
