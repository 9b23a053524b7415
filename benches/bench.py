#!/usr/bin/env python3
"""Measures hits, misses and PING side by side on redis-servers of its own, and prints ratios.

    bench.py [MODULE]      the module's file; target/release/libredis_image.so by default

Contenders take turns within each round, so that whatever else the machine does meets all of them; medians of the
rounds are compared, with the lowest and highest round in brackets. Only ratios carry over to another machine.
Everything is in target/bench.json, too. REDIS_SERVER names another redis-server.
"""
import csv
import json
import multiprocessing
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target"
SERVER = os.environ.get("REDIS_SERVER", "redis-server")
MODEL = "mobilenetv2"

HIT_ROUNDS, HIT_REQUESTS = 7, 60_000
PAYLOAD_ROUNDS, PAYLOAD_REQUESTS = 7, 500
MISS_ROUNDS, MISS_REQUESTS = 7, 30
RATE_ROUNDS, RATE_SECONDS = 3, 4
PING_ROUNDS, PING_SECONDS = 3, 3
PING_PAUSE = 0.001
LARGE_PAYLOAD = 30_000_000

PHOTO_SIZE, PHOTO_BYTES = (800, 600), 99_000
PILLOW = "pillow>=11,<13"
# INFO's histograms say the upper end of a bucket; its lower end is at most this much below.
INFO_STEP = 1 / 9


# The photo


def photo():
    """A real JPEG of 800x600 and about 99 KB, made of china.jpg once."""
    path = TARGET / "bench-photo.jpg"
    if not path.exists():
        print(f"making {path.relative_to(ROOT)} with Pillow, in target/bench-venv", flush=True)
        python = TARGET / "bench-venv/bin/python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PILLOW]
        subprocess.run([python, *install], check=True)
        subprocess.run([python, __file__, "--make-photo", path], check=True)
    return path.read_bytes()


def make_photo(path):
    """Runs in the environment that has Pillow: the quality that comes nearest to the wanted size."""
    import io

    from PIL import Image, ImageOps

    picture = ImageOps.fit(Image.open(TARGET / "photos/china.jpg").convert("RGB"), PHOTO_SIZE, Image.Resampling.LANCZOS)
    candidates = []
    for quality in range(40, 96):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        candidates.append(file.getvalue())
    best = min(candidates, key=lambda content: abs(len(content) - PHOTO_BYTES))
    part = Path(f"{path}.part")
    part.write_bytes(best)
    part.replace(path)


# Servers and clients


class Client:
    """A connection that sends commands and reads replies of RESP2."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")

    def ask(self, *arguments):
        return self.send(command(*arguments))

    def send(self, encoded):
        self.socket.sendall(encoded)
        return self.read()

    def read(self):
        line = self.replies.readline()
        if not line:
            raise ConnectionError("the server has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest

    def meta(self, encoded):
        """The reply to a command with WITHMETA, as a dict."""
        reply = self.send(encoded)
        return {name.decode(): value.decode() for name, value in zip(reply[::2], reply[1::2])}

    def info(self):
        lines = (line.partition(":") for line in self.ask("INFO", "everything").decode().splitlines())
        return {name: value for name, _, value in lines}

    def model_info(self):
        fields = self.info()[f"image_model_{MODEL}"].split(",")
        return dict(field.split("=") for field in fields)

    def set_threads(self, threads):
        self.ask("CONFIG", "SET", "image.threads", threads)
        wait_until(lambda: self.info()["image_workers"] == str(threads))


def command(*arguments):
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        argument = argument if isinstance(argument, bytes) else str(argument).encode()
        parts += [b"$%d\r\n" % len(argument), argument, b"\r\n"]
    return b"".join(parts)


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not come to rest")
        time.sleep(0.05)


@contextmanager
def server(module):
    """A server with the module on a free port; it ends with the block, however that ends."""
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w+") as log:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        load = ["--loadmodule", str(module), "models-path", str(ROOT / "models"), "threads", "1"]
        process = subprocess.Popen([SERVER, *arguments, *load], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            connect(process, port)
            yield port
        except BaseException as error:
            if not isinstance(error, (KeyboardInterrupt, SystemExit)):
                log.seek(0)
                sys.stderr.write("".join(log.readlines()[-20:]))
            raise
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def connect(process, port):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if Client(port).info()["process_id"] == str(process.pid):
                return
        except (OSError, RuntimeError):
            pass
        time.sleep(0.05)
    raise RuntimeError("the server did not start")


class Misses:
    """Commands whose payloads no server has seen: the same picture, other bytes after its end."""

    def __init__(self, picture, options=("WITHMETA",)):
        self.picture, self.options, self.prefix = picture, options, os.urandom(8)
        self.count = 0

    def next(self):
        self.count += 1
        tail = sha256(self.prefix + self.count.to_bytes(8, "little")).digest()[:8]
        return command(f"bench:{tail.hex()}", self.picture + tail, *self.options, name="IMAGE.RECOGNIZE")


# What is measured


class Table:
    def __init__(self):
        self.rows = []

    def add(self, what, contender, reference=None, ratio=None, target=None, met=None, **raw):
        row = dict(what=what, contender=contender, reference=reference, ratio=ratio, target=target, met=met)
        self.rows.append(row | {"raw": raw})
        print(".", end="", flush=True)
