"""Redis-servers of our own, and connections to them."""
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = os.environ.get("REDIS_SERVER", "redis-server")
START_SECONDS = 60
MODEL = "mobilenetv2"


class Client:
    """A connection that sends commands and reads replies of RESP2."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")

    def ask(self, *arguments):
        return self.send(command(*arguments))

    def send(self, *pieces):
        """Sends one encoded command."""
        for piece in pieces:
            self.socket.sendall(piece)
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

    def info(self):
        lines = (line.partition(":") for line in self.ask("INFO", "everything").decode().splitlines())
        return {name: value for name, _, value in lines}

    def model_info(self, model=MODEL):
        fields = self.info()[f"image_model_{model}"].split(",")
        return dict(field.partition("=")[::2] for field in fields)

    def set_threads(self, threads):
        self.ask("CONFIG", "SET", "image.threads", threads)
        wait_until(lambda: self.info()["image_workers"] == str(threads), f"{threads} workers")

    def rest(self):
        """Until nothing is under way, and nothing is kept of what was."""
        wait_until(lambda: self.info().get("image_requests", "0") == "0", "the last misses")
        self.ask("FLUSHALL")


def command(*arguments):
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        argument = argument if isinstance(argument, bytes) else str(argument).encode()
        parts += [b"$%d\r\n" % len(argument), argument, b"\r\n"]
    return b"".join(parts)


def pieces(payload, *arguments):
    """A command in three pieces, as redis-py writes one with a large argument, which it does not copy."""
    before, after = around(payload, *arguments)
    return before + b"$%d\r\n" % len(payload), payload, after


def around(payload, *arguments):
    """A command without one of its arguments: what comes before it and its length, and what after it."""
    mark = b"\0payload"
    encoded = command(*(mark if argument is payload else argument for argument in arguments))
    before, _, after = encoded.partition(b"$%d\r\n%b" % (len(mark), mark))
    return before, after


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)


class Server:
    """A server, which ends with the `with` block, however that ends."""

    def __init__(self, module=None, **settings):
        self.module, self.settings = module, settings

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.log = Path(self.folder.name, "log").open("w+")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        arguments = ["--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", self.folder.name]
        if self.module:
            arguments += ["--loadmodule", self.module]
            arguments += [word for name, value in self.settings.items() for word in (name.replace("_", "-"), value)]
        self.process = subprocess.Popen([SERVER, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        try:
            wait_until(lambda: self.process.poll() is not None or self.answers(), "a server's start", START_SECONDS)
            if self.process.poll() is not None:
                raise RuntimeError("the server did not start")
            self.client = Client(self.port)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind and self.process.poll() is not None:
            self.log.seek(0)
            sys.stderr.write("\nThe server's log ends with:\n" + "".join(self.log.readlines()[-10:]))
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def answers(self):
        """Whether it is this server that answers, and not another program that took the port first."""
        try:
            return Client(self.port).info()["process_id"] == str(self.process.pid)
        except (OSError, RuntimeError):
            return False

    def cpu(self):
        """Seconds that all its threads have used."""
        used = 0
        for path in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                used += int((path / "schedstat").read_text().split()[0])
            except OSError:
                pass  # A thread that ended meanwhile.
        return used / 1e9


def machine_busy():
    """Seconds that all cores have been busy, whoever it was; and those that the hypervisor gave to others."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick
