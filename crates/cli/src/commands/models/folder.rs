//! What a folder of models says about itself: the files that its manifests name, where each comes from, and whether it
//! is there and right. The manifest itself is judged by the module; here only the files count.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Value;

/// One folder with a manifest, or the engine's library, which is fetched the same way.
pub struct ModelFolder {
    pub name: String,
    pub task: String,
    pub licence: String,
    pub files: Vec<Needed>,
    /// Why the manifest says nothing: it cannot be read.
    pub problem: Option<String>,
}

/// A file that a model needs.
pub struct Needed {
    pub target: PathBuf,
    /// Lists of labels have none: they come with the manifest.
    pub sha256: Option<String>,
    pub origin: Option<Origin>,
}

/// The package, `name==version`, and where in it the file is.
#[derive(Clone)]
pub struct Origin {
    pub package: String,
    pub path: String,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Condition {
    Right { bytes: u64 },
    Missing,
    Wrong { sha256: String },
    Unreadable(String),
}

impl Needed {
    /// Within its folder.
    pub fn name(&self) -> String {
        self.target.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub fn condition(&self) -> Condition {
        let found = File::open(&self.target).and_then(|mut file| {
            let mut hasher = Hashing { hasher: Sha256::new(), inner: io::sink() };
            let bytes = io::copy(&mut file, &mut hasher)?;
            Ok((bytes, hasher.finish()))
        });
        match (found, &self.sha256) {
            (Ok((_, found)), Some(expected)) if found != *expected => {
                Condition::Wrong { sha256: found }
            }
            (Ok((bytes, _)), _) => Condition::Right { bytes },
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Condition::Missing,
            (Err(error), _) => Condition::Unreadable(error.to_string()),
        }
    }

    /// A sentence, unless the file is there and right.
    pub fn complaint(&self) -> Option<String> {
        let path = self.target.display();
        match (self.condition(), &self.sha256) {
            (Condition::Right { .. }, _) => None,
            (Condition::Missing, _) => Some(format!("{path} is missing")),
            (Condition::Wrong { sha256 }, expected) => Some(format!(
                "{path} has the SHA-256 {sha256}, not {}",
                expected.as_deref().unwrap_or_default()
            )),
            (Condition::Unreadable(reason), _) => Some(format!("{path}: {reason}")),
        }
    }
}

/// Passes on what is written, and hashes it.
pub struct Hashing<W> {
    pub hasher: Sha256,
    pub inner: W,
}

impl<W> Hashing<W> {
    pub fn finish(self) -> String {
        self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<W: io::Write> io::Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// All models of a folder, by name.
pub fn read_all(folder: &Path) -> Result<Vec<ModelFolder>, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", folder.display());
    let mut models = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.join(MANIFEST).is_file() {
            models.push(read(&path));
        }
    }
    models.sort_by(|one, other| one.name.cmp(&other.name));
    if models.is_empty() {
        return Err(format!("{} holds no model: no folder with a {MANIFEST}", folder.display()));
    }
    Ok(models)
}

const MANIFEST: &str = "model.toml";

fn read(folder: &Path) -> ModelFolder {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut model = ModelFolder {
        name,
        task: String::new(),
        licence: String::new(),
        files: vec![],
        problem: None,
    };
    if let Err(problem) = read_manifest(folder, &mut model) {
        model.problem = Some(format!("{}: {problem}", folder.join(MANIFEST).display()));
    }
    model
}

fn read_manifest(folder: &Path, model: &mut ModelFolder) -> Result<(), String> {
    let text = fs::read_to_string(folder.join(MANIFEST)).map_err(|error| error.to_string())?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let text_of = |key: &str| table.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    model.task = text_of("task");
    model.licence = text_of("licence");
    collect_files(folder, &table, &mut model.files)
}

/// Graphs, labels, characters: whatever part of the manifest names a `file`.
fn collect_files(
    folder: &Path,
    table: &toml::Table,
    files: &mut Vec<Needed>,
) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Named {
        file: String,
        sha256: Option<String>,
        package: Option<String>,
        path: Option<String>,
    }
    if table.get("file").is_some_and(Value::is_str) {
        let named: Named = table.clone().try_into().map_err(|error| format!("{error}"))?;
        if !is_plain_name(&named.file) {
            return Err(format!("{:?} is no name of a file in the folder itself", named.file));
        }
        let origin = match (named.package, named.path) {
            (Some(package), Some(_)) if !is_pinned(&package) => {
                return Err(format!("{package:?} is no package of the form name==version"));
            }
            (Some(package), Some(path)) => Some(Origin { package, path }),
            (None, _) => None,
            (Some(package), None) => {
                return Err(format!("{}: the path inside {package} is not named", named.file));
            }
        };
        files.push(Needed { target: folder.join(named.file), sha256: named.sha256, origin });
    }
    for value in table.values() {
        if let Value::Table(inner) = value {
            collect_files(folder, inner, files)?;
        }
    }
    Ok(())
}

fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
}

/// pip would also take a URL, a path or a version that moves.
fn is_pinned(package: &str) -> bool {
    let is_word = |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.+!".contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits)
    };
    package.split_once("==").is_some_and(|(name, version)| is_word(name) && is_word(version))
}

/// The name under which the engine's library is fetched and checked, as if it were a model.
pub const ONNXRUNTIME: &str = "onnxruntime";

/// onnxruntime's library for this machine, beside the folder of models, where the module looks for it first.
pub fn onnxruntime(models: &Path) -> Result<ModelFolder, String> {
    /// The same pin that the Makefile's script reads.
    const PIN: &str = include_str!("../../../../../models/onnxruntime.toml");
    #[derive(Deserialize)]
    struct Pin {
        version: String,
        sha256: std::collections::BTreeMap<String, String>,
    }
    let pin: Pin = toml::from_str(PIN).map_err(|error| error.to_string())?;
    let machine = std::env::consts::ARCH;
    let sha256 = pin.sha256.get(machine).ok_or_else(|| {
        format!(
            "onnxruntime {} is known for {}, not for {machine}; the built-in engine tract runs the models",
            pin.version,
            pin.sha256.keys().cloned().collect::<Vec<_>>().join(", ")
        )
    })?;
    let file = format!("libonnxruntime.so.{}", pin.version);
    let models = fs::canonicalize(models).unwrap_or_else(|_| models.to_owned());
    let target = models.parent().unwrap_or(&models).join(ONNXRUNTIME).join(&file);
    let origin = Origin {
        package: format!("onnxruntime=={}", pin.version),
        path: format!("onnxruntime/capi/{file}"),
    };
    Ok(ModelFolder {
        name: ONNXRUNTIME.to_owned(),
        task: "(engine)".to_owned(),
        licence: "MIT".to_owned(),
        files: vec![Needed { target, sha256: Some(sha256.clone()), origin: Some(origin) }],
        problem: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(manifest: &str) -> (tempfile::TempDir, ModelFolder) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tiny");
        fs::create_dir(&path).expect("made");
        fs::write(path.join(MANIFEST), manifest).expect("written");
        let model = read_all(folder.path()).expect("one model").remove(0);
        (folder, model)
    }

    #[test]
    fn every_file_that_a_manifest_names_is_found() {
        let (_folder, model) = model(
            "task = \"text\"\n[graph.read]\nfile = \"read.onnx\"\nsha256 = \"00\"\npackage = \"p==1\"\n\
             path = \"in/read.onnx\"\n[reader]\ncharacters = { file = \"characters.txt\" }\n",
        );
        assert_eq!(model.problem, None);
        let names: Vec<String> = model.files.iter().map(Needed::name).collect();
        assert_eq!(names, ["read.onnx", "characters.txt"]);
        assert_eq!(model.files[0].origin.as_ref().expect("named").path, "in/read.onnx");
        assert!(model.files[1].origin.is_none() && model.files[1].sha256.is_none());
    }

    #[test]
    fn no_file_outside_the_folder_is_touched() {
        for file in ["../x.onnx", "/x.onnx", "a/x.onnx", "..", ""] {
            let (_folder, model) =
                model(&format!("task = \"classify\"\n[graph.classify]\nfile = \"{file}\"\n"));
            assert!(model.files.is_empty(), "{file}");
            assert!(model.problem.expect("told").contains("folder"), "{file}");
        }
    }

    #[test]
    fn only_pinned_packages_are_handed_to_pip() {
        assert!(is_pinned("openvi==0.0.3") && is_pinned("rapidocr-onnxruntime==1.4.4"));
        for wrong in
            ["openvi", "openvi>=1", "./openvi==1", "--pre==1", "a @ b==1", "a==1.*", "==1", "a=="]
        {
            assert!(!is_pinned(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_manifest_that_is_no_toml_is_told_with_its_path() {
        let (folder, model) = model("task = ");
        let problem = model.problem.expect("told");
        assert!(problem.starts_with(&folder.path().display().to_string()), "{problem}");
    }

    #[test]
    fn the_engine_lies_beside_the_models() {
        let folder = tempfile::tempdir().expect("a folder");
        let models = folder.path().join("models");
        fs::create_dir(&models).expect("made");
        if let Ok(engine) = onnxruntime(&models) {
            let beside = fs::canonicalize(folder.path()).expect("there").join(ONNXRUNTIME);
            assert!(engine.files[0].target.starts_with(beside));
        }
    }
}
