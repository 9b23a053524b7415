//! A model's folder: its manifest and the files that the manifest names.

use std::fs;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::LoadError;
use super::manifest::{Graph, Manifest};

/// Longest name of a model: it becomes part of a field's name in every stored result.
const MAX_NAME: usize = 64;
/// A manifest or a list of labels larger than this is not one.
const MAX_TEXT: u64 = 4 << 20;
/// The largest ONNX file that is read into memory.
const MAX_WEIGHTS: u64 = 1 << 30;

/// One folder of `models/`.
pub struct Folder {
    path: PathBuf,
    name: String,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Folder, LoadError> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !Folder::is_name(name) {
            return Err(LoadError(format!(
                "the folder's name must be 1 to {MAX_NAME} letters, digits, '-', '_' or '.'"
            )));
        }
        Ok(Folder { path: path.to_owned(), name: name.to_owned() })
    }

    /// Whether a model may have this name.
    pub fn is_name(name: &str) -> bool {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('.') && name.chars().all(allowed)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn manifest(&self) -> Result<Manifest, LoadError> {
        Manifest::parse(&self.text("model.toml")?)
    }

    /// The lines of a text file, one label each.
    pub fn labels(&self, file: &str) -> Result<Vec<String>, LoadError> {
        let labels: Vec<String> = self.text(file)?.lines().map(str::to_owned).collect();
        if labels.is_empty() || labels.iter().any(String::is_empty) {
            return Err(LoadError(format!("{file}: there must be a label on every line")));
        }
        Ok(labels)
    }

    /// The ONNX file of a graph, if it is the one that the manifest means.
    pub fn weights(&self, graph: &Graph) -> Result<Vec<u8>, LoadError> {
        let bytes = self.read(&graph.file, MAX_WEIGHTS)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        if sha256 != graph.sha256 {
            return Err(LoadError(format!(
                "{}: wrong SHA-256: the file has {sha256}, the manifest wants {}; fetch it again with `make models` or correct model.toml",
                graph.file, graph.sha256
            )));
        }
        Ok(bytes)
    }

    fn text(&self, file: &str) -> Result<String, LoadError> {
        String::from_utf8(self.read(file, MAX_TEXT)?)
            .map_err(|_| LoadError(format!("{file}: not UTF-8 text")))
    }

    fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, LoadError> {
        let mut parts = Path::new(file).components();
        let inside = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !inside {
            return Err(LoadError(format!("{file}: must be the name of a file in this folder")));
        }
        let path = self.path.join(file);
        let failed = |error: std::io::Error| {
            let advice = if file.ends_with(".onnx") { "; fetch it with `make models`" } else { "" };
            LoadError(format!("{file}: {error}{advice}"))
        };
        let size = fs::metadata(&path).map_err(failed)?.len();
        if size > limit {
            return Err(LoadError(format!("{file}: {size} bytes, more than {limit}")));
        }
        fs::read(&path).map_err(failed)
    }
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_models() {
        for name in ["mobilenetv2", "open-nsfw", "a", "v1.2_x"] {
            assert!(Folder::is_name(name), "{name}");
        }
        for name in ["", ".", "..", ".git", "a b", "a/b", "a@b", "\u{e9}", &"x".repeat(65)] {
            assert!(!Folder::is_name(name), "{name}");
        }
    }

    #[test]
    fn files_outside_the_folder_are_refused() {
        let folder = Folder::open(Path::new("/tmp/model")).expect("a good name");
        for file in ["../secret", "/etc/passwd", "a/b", "", ".."] {
            let error = folder.read(file, 1).expect_err("must be refused");
            assert!(error.0.contains("in this folder"), "{file}: {error}");
        }
    }
}
