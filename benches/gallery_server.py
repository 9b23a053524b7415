#!/usr/bin/env python3
"""Galleries inside a server: enrolling and searching beside Redis's own vector sets, and PING beside searches.

    gallery_server.py [MODULE] [--sizes ROWS,...] [--pings ROWS]

REDIS_SERVER names the server; one that knows no VADD (before Redis 8.0) leaves the vector sets out, with a line:
    tools/fetch-servers redis-trixie
    REDIS_SERVER=$PWD/target/servers/redis-trixie/redis-server benches/gallery_server.py

Both stand in one server, over one connection, with the same vectors as in gallery.py; contenders take turns. `EF` is how
broadly a vector set searches its graph, `TRUTH` its own exact search; NOQUANT keeps the floats as they are, without
it they become 8-bit numbers. Recall is against the ten best of an exact search in 64-bit floats.
PING is asked every millisecond, with nothing else to do; while one client identifies; and, to tell what of that is
the machine's, while another process multiplies a matrix of the same size with the same core to itself."""
import argparse
import json
import multiprocessing
import os
import threading
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

from bench import ROOT, enter_venv

enter_venv()
import numpy  # noqa: E402
from hiredis import Reader  # noqa: E402

from gallery_vectors import DIMENSIONS, QUERIES, WANTED, truth, vectors  # noqa: E402
from servers import Client, Server, command  # noqa: E402

MODULE = ROOT / "target/release/libredis_image.so"
RESULTS = Path(__file__).parent / "results"
# Redis searches them on its main thread or off it (the default); the reply is the same.
SETS = {"vector set": ["NOQUANT"], "vector set, 8 bits": []}
SEARCHES = {"": [], " EF 512": ["EF", 512], " TRUTH": ["TRUTH"]}
PIPELINE, MOST_AT_ONCE = 1000, 100_000


def pipelined(client, commands):
    """Sends all at once, in portions, while the replies are read; gives seconds."""
    reader, missing = Reader(), len(commands)
    portions = [b"".join(commands[first:first + PIPELINE]) for first in range(0, len(commands), PIPELINE)]
    started = time.perf_counter()
    sender = threading.Thread(target=lambda: [client.socket.sendall(portion) for portion in portions])
    sender.start()
    while missing:
        reader.feed(client.socket.recv(1 << 20))
        while (reply := reader.gets()) is not False:
            if isinstance(reply, Exception):
                raise reply
            missing -= 1
    seconds = time.perf_counter() - started
    sender.join()
    return seconds


def enrolments(matrix, first=0):
    return [command("IMAGE.ENROLL", "gallery", row, "VECTOR", vector.tobytes(), "MODEL", "faces", "SPACE", "00000000")
            for row, vector in enumerate(matrix[first:first + MOST_AT_ONCE], first)]


def additions(name, matrix):
    return [command("VADD", name, "FP32", vector.tobytes(), row, *SETS[name]) for row, vector in enumerate(matrix)]


def has_vector_sets(client):
    return bool(client.ask("COMMAND", "INFO", "VADD")[0])


def identify(client, query):
    reply = json.loads(client.ask("IMAGE.IDENTIFY", "gallery", "VECTOR", query.tobytes(), "TOP", WANTED, "THRESHOLD", "0.4"))
    return [candidate["subject"] for candidate in reply["faces"][0]["candidates"]]


def similar(client, name, query, options):
    return [row.decode() for row in client.ask("VSIM", name, "FP32", query.tobytes(), "COUNT", WANTED, *options)]


def memory(client, *key):
    return client.ask("MEMORY", "USAGE", *key, "SAMPLES", 0)


def compare(client, rows, rounds, say):
    matrix, queries = vectors(rows)
    best = [list(map(str, rows_of_query)) for rows_of_query in truth(matrix, queries)]
    seconds = {"gallery": pipelined(client, enrolments(matrix))}
    if has_vector_sets(client):
        for name in SETS:
            seconds[name] = pipelined(client, additions(name, matrix))
    contenders = {"gallery": lambda query: identify(client, query)}
    for name in seconds.keys() & SETS.keys():
        for suffix, options in SEARCHES.items():
            contenders[name + suffix] = lambda query, name=name, options=options: similar(client, name, query, options)
    contenders = dict(sorted(contenders.items()))
    times, hits = ({name: [] for name in contenders} for _ in range(2))
    for turn in range(rounds):
        at = turn % QUERIES
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            contenders[name](queries[at])  # The second one counts: the others have emptied the caches meanwhile.
            started = time.perf_counter()
            found = contenders[name](queries[at])
            times[name].append((time.perf_counter() - started) * 1e3)
            hits[name].append((found[0] == best[at][0], len(set(found) & set(best[at])) / WANTED))
    say(f"\n{rows:,} x {DIMENSIONS}, {rounds} rounds, medians; one client, the {WANTED} best")
    say(f"{'':30}{'search, ms':>12}{'times ours':>12}{'recall@1':>10}{'recall@10':>11}{'added/s':>10}{'times ours':>12}{'MB':>7}")
    result = {"rows": rows, "dimensions": DIMENSIONS, "contenders": []}
    for name in contenders:
        held = next(one for one in seconds if name == one or name.startswith(one) and name[len(one):] in SEARCHES)
        ratio = median(theirs / ours for theirs, ours in zip(times[name], times["gallery"]))
        at_1, at_10 = (sum(hit[place] for hit in hits[name]) / rounds for place in (0, 1))
        rate, bytes_held = rows / seconds[held], memory(client, held)
        say(f"{name:30}{median(times[name]):12.3f}{ratio:12.2f}{at_1:10.3f}{at_10:11.3f}{rate:10,.0f}"
            f"{seconds[held] / seconds['gallery']:12.1f}{bytes_held / 1e6:7.0f}")
        result["contenders"].append({"name": name, "ms": median(times[name]), "times_ours": ratio, "recall_at_1": at_1,
                                     "recall_at_10": at_10, "added_per_second": rate, "bytes": bytes_held})
    client.ask("FLUSHALL")
    return result


def pinged(port, seconds):
    client, ping, taken = Client(port), command("PING"), []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        client.send(ping)
        taken.append((time.perf_counter() - started) * 1e3)
        time.sleep(0.001)
    return taken


def searching(port, stop):
    client, (_, queries) = Client(port), vectors(QUERIES)
    while not stop.is_set():
        identify(client, queries[0])


def multiplying(rows, stop):
    matrix, query = numpy.ones((rows, DIMENSIONS), numpy.float32), numpy.ones(DIMENSIONS, numpy.float32)
    while not stop.is_set():
        matrix @ query


@contextmanager
def beside(task, *arguments):
    """A process that does `task` until the `with` block ends."""
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=task, args=(*arguments, stop))
    process.start()
    time.sleep(1.5 if task is multiplying else 0.5)
    try:
        yield
    finally:
        stop.set()
        process.join()


def pings(server, rows, rounds, say):
    client, (matrix, _) = server.client, vectors(rows)
    seconds = sum(pipelined(client, enrolments(matrix, first)) for first in range(0, rows, MOST_AT_ONCE))
    del matrix
    say(f"\nPING beside searches of {rows:,} x {DIMENSIONS} (enrolled at {rows / seconds:,.0f}/s), {rounds} rounds, ms")
    states = {"idle": nullcontext, "searching": lambda: beside(searching, server.port),
              "another process": lambda: beside(multiplying, rows)}
    taken = {name: [] for name in states}
    for turn in range(rounds):
        for name in list(states)[:: -1 if turn % 2 else 1]:
            with states[name]():
                sample = sorted(pinged(server.port, 4))
            taken[name].append([sample[int(len(sample) * share)] for share in (0.5, 0.99)])
    figures = {}
    for name, samples in taken.items():
        p50, p99 = (median(column) for column in zip(*samples))
        ratio = median(mine[1] / idle[1] for mine, idle in zip(samples, taken["idle"]))
        figures[name] = {"p50": p50, "p99": p99, "p99_times_idle": ratio}
        say(f"{name:20}p50 {p50:6.3f}  p99 {p99:6.3f}  p99 of idle's {ratio:5.2f}")
    return {"rows": rows, "enrolled_per_second": rows / seconds, **figures}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", nargs="?", default=MODULE)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=64)
    parser.add_argument("--pings", type=int, default=1_000_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    say(f"Galleries inside a server; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with Server(str(Path(options.module).resolve()), models_path=ROOT / "models") as server:
        about = server.client.info()
        say(f"{about.get('server_name', 'redis').title()} {about.get('valkey_version', about['redis_version'])}")
        if not has_vector_sets(server.client):
            say("this server has no vector sets: they are left out")
        measured = [compare(server.client, int(rows), options.rounds, say) for rows in options.sizes.split(",")]
        ping = pings(server, options.pings, 5, say) if options.pings else None
    say(f"load {os.getloadavg()[0]:.1f} at the end")
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "gallery-server.txt").write_text("\n".join(lines) + "\n")
    (options.results / "gallery-server.json").write_text(json.dumps({"sizes": measured, "pings": ping}, indent=1) + "\n")


if __name__ == "__main__":
    main()
