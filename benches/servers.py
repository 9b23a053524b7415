"""Redis-servers of our own, connections to them, and load upon them."""
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager

SERVER = os.environ.get("REDIS_SERVER", "redis-server")
START_SECONDS = 60


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

    def model_info(self, model):
        fields = self.info()[f"image_model_{model}"].split(",")
        return dict(field.split("=") for field in fields)


def command(*arguments):
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        argument = argument if isinstance(argument, bytes) else str(argument).encode()
        parts += [b"$%d\r\n" % len(argument), argument, b"\r\n"]
    return b"".join(parts)


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)


@contextmanager
def server(module, models):
    """The port of a server with the module, which ends with the block, however that ends."""
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w+") as log:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        load = ["--loadmodule", str(module), "models-path", str(models), "threads", "1"]
        process = subprocess.Popen([SERVER, *arguments, *load], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: process.poll() is not None or answers(process, port), "a server's start", START_SECONDS)
            if process.poll() is not None:
                raise RuntimeError("the server did not start")
            yield port
        except Exception:
            log.seek(0)
            sys.stderr.write("\nThe server's log ends with:\n" + "".join(log.readlines()[-20:]))
            raise
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(process, port):
    """Whether it is this server that answers, and not another program that took the port first."""
    try:
        return Client(port).info()["process_id"] == str(process.pid)
    except (OSError, RuntimeError):
        return False


@contextmanager
def load(port, clients, requests):
    """Clients in a process of their own, so that they do not slow down whoever measures here.

    Each takes what `requests(number of the client)` yields, one after another, until the block ends.
    """
    process = multiprocessing.get_context("fork").Process(target=run_load, args=(port, clients, requests), daemon=True)
    process.start()
    try:
        yield
        if not process.is_alive():
            raise RuntimeError("the load ended early")
    finally:
        process.kill()
        process.join()


def run_load(port, clients, requests):
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(number):
        try:
            client = Client(port)
            for pieces in requests(number):
                client.send(*pieces)
        except Exception as error:
            print(f"\nload: {error}", file=sys.stderr, flush=True)
            os._exit(1)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
