"""What the programs in Python share: they recognise the photos named on the command line as one batch, then a photo for
each name that comes on standard input, and print a line for each: the step, the photo's name, the result or the error."""
import asyncio
import hashlib
import sys
from pathlib import Path

# Errors that pass: the same photo again may succeed. Others (BADIMAGE, NOMODEL, NOPERM …) would come again.
PASSING = ("QUEUEFULL", "TIMEOUT", "UNBLOCKED", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "LOADING", "MASTERDOWN", "ASK")


def address():
    host, port = sys.argv[1].rsplit(":", 1)
    return host, int(port)


def key_of(photo):
    return "image:" + hashlib.sha256(photo).hexdigest()


def passes(error):
    """Whether asking again can help. Some clients cut the word ERR off, some put a colon behind the word."""
    return str(error).split(" ")[0].rstrip(":") in PASSING


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def fields(reply):
    """WITHMETA is a map in RESP3 and a flat list in RESP2."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    return {text(name): text(value) for name, value in pairs}


def tell(step, name, *values):
    print(step, name, *map(text, values), sep="\t", flush=True)


async def run(batch, get, meta, recognise):
    """Tells the story with a client's four calls; each is a coroutine."""
    paths = [Path(name) for name in sys.argv[2:]]
    photos = [path.read_bytes() for path in paths]
    for path, result in zip(paths, await batch(photos)):
        tell("batch", path.name, result)
    key = key_of(photos[0])
    tell("get", paths[0].name, await get(key))
    found = fields(await meta(key, photos[0]))
    tell("meta", paths[0].name, found["source"], found["sha256"])
    while line := await asyncio.to_thread(sys.stdin.readline):
        path = Path(line.rstrip("\n"))
        tell("photo", path.name, await recognise(path.read_bytes()))
