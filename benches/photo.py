"""The photo that is measured with: a real JPEG of 800x600 and about 99 KB, made of china.jpg once.

Run as a program it makes the photo, with the Python that has Pillow: photo.py SOURCE TARGET
"""
import subprocess
import sys
from pathlib import Path

SIZE, BYTES = (800, 600), 99_000
PILLOW = "pillow>=11,<13"


def photo(source, target, venv):
    """The photo's bytes. If it is not there yet, Pillow is installed in `venv` to make it."""
    if not target.exists():
        print(f"making {target.name} with Pillow, which goes into {venv.name}", flush=True)
        python = venv / "bin/python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PILLOW]
        subprocess.run([python, *install], check=True)
        subprocess.run([python, __file__, source, target], check=True)
    return target.read_bytes()


def make(source, target):
    """Of all qualities the one that comes nearest to the wanted number of bytes."""
    from io import BytesIO

    from PIL import Image, ImageOps

    picture = ImageOps.fit(Image.open(source).convert("RGB"), SIZE, Image.Resampling.LANCZOS)
    candidates = []
    for quality in range(40, 96):
        file = BytesIO()
        picture.save(file, "JPEG", quality=quality)
        candidates.append((file.getvalue(), quality))
    best, quality = min(candidates, key=lambda candidate: abs(len(candidate[0]) - BYTES))
    part = target.with_suffix(".part")
    part.write_bytes(best)
    part.replace(target)
    print(f"{target.name}: {SIZE[0]}x{SIZE[1]}, quality {quality}, {len(best):,} bytes")


if __name__ == "__main__":
    make(*map(Path, sys.argv[1:]))
