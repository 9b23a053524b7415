//! What of the file system cannot be left to the standard library.

use std::fs::{File, read_link};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf, absolute};

/// The path of an existing file without symbolic links.
///
/// Not `std::fs::canonicalize`, which has the C library allocate the answer and frees it here. Valkey loads modules with
/// RTLD_DEEPBIND, so that ours have the C library's `free`; where jemalloc is a shared library (Debian's packages) all
/// else in the process, the C library included, has jemalloc's `malloc`: the server dies of it.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let file = File::open(path)?;
    read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).or_else(|_| absolute(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test runs in no server")]
    fn a_path_loses_its_links() {
        let folder = scratch_folder();
        let (file, link) = (folder.join("file"), folder.join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(real_path(&link).unwrap(), std::fs::canonicalize(&file).unwrap());
        assert!(real_path(&folder.join("none")).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn scratch_folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("redis-image-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}
