#!/usr/bin/env python3
"""Measures hits, misses and PING side by side on redis-servers of its own, and prints ratios.

    bench.py [MODULE]      the module's file; target/release/libredis_image.so by default

Contenders take turns, so that whatever else the machine does meets all of them. A figure is the median of the rounds,
a ratio the median of each round's ratio, with the lowest and highest in brackets. Only ratios carry over to another
machine. Everything is in target/bench.json, too. REDIS_SERVER names another redis-server.
"""
import csv
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import time
from contextlib import nullcontext
from hashlib import sha256
from itertools import count
from pathlib import Path
from statistics import mean, median, quantiles

from photo import photo
from servers import SERVER, Client, command, load, server, wait_until

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target"
MODEL = "mobilenetv2"

HIT_ROUNDS, HIT_REQUESTS = 11, 30_000
PAYLOAD_ROUNDS, PAYLOAD_REQUESTS = 25, 200
MISS_REQUESTS, CPU_ROUNDS, CPU_REQUESTS = 120, 24, 4
RATE_ROUNDS, RATE_SECONDS = 3, 4
PING_ROUNDS, PING_SECONDS, PING_PAUSE = 3, 2.5, 0.001
LARGE, LARGE_EVERY = 30_000_000, 0.08

MIN_HIT_RATE, MAX_HIT_LATENCY, MAX_OUTSIDE_MS = 0.9, 1.8, 3.0
# INFO shows the upper end of a histogram's bucket; its lower end is at most this share below.
INFO_BUCKET = 1 / 33


class Report:
    """Rows of a table, and the same with all that was measured as JSON."""

    HEAD = ("what", "contender", "reference", "ratio", "target", "met")

    def __init__(self):
        self.rows = []

    def add(self, what, contender, reference="", ratio="", target="", met=None, measured=None):
        verdict = {True: "yes", False: "NO", None: ""}.get(met, met)
        cells = (what, contender, reference, ratio, target, verdict)
        self.rows.append(dict(zip(self.HEAD, cells)) | {"measured": measured})

    def ratio(self, what, unit, contenders, references, target="", meets=None, digits=3):
        """A row of one number a round for each side."""
        ratios = [one / other for one, other in zip(contenders, references)]
        met = meets(median(ratios)) if meets else None
        self.add(what, shown(median(contenders), unit, digits), shown(median(references), unit, digits),
                 f"{median(ratios):.2f}x [{min(ratios):.2f}-{max(ratios):.2f}]", target, met,
                 {"contender": contenders, "reference": references})

    def print(self):
        table = [self.HEAD] + [tuple(row[name] for name in self.HEAD) for row in self.rows]
        widths = [max(len(line[column]) for line in table) for column in range(len(self.HEAD))]
        for number, line in enumerate(table):
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
            if number == 0:
                print("  ".join("-" * width for width in widths))


def shown(value, unit, digits=3):
    return f"{value:,.{digits}f} {unit}"


def turns(rounds, measures):
    """Takes every measure once a round, now in this order, now in the other: {name: [value a round]}."""
    taken = {name: [] for name in measures}
    for number in range(rounds):
        order = list(measures) if number % 2 == 0 else list(reversed(measures))
        for name in order:
            taken[name].append(measures[name]())
    return taken


def unique(picture):
    """Payloads that no server has seen: the picture, and other bytes behind its end."""
    prefix = os.urandom(8)
    return (picture + sha256(prefix + number.to_bytes(8, "little")).digest()[:8] for number in count())


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


def hits(report, port, picture):
    client = Client(port)
    key = f"image:{sha256(picture).hexdigest()}"
    result = client.ask("IMAGE.RECOGNIZE", key, picture)
    field = next(name for name in client.ask("HKEYS", key) if name.startswith(MODEL.encode()))
    expect(client.ask("HGET", key, field) == client.ask("IMAGE.GET", key) == result, "IMAGE.GET answers as HGET does")
    misses = client.model_info(MODEL)["misses"]

    get, hget = ["IMAGE.GET", key], ["HGET", key, field.decode()]
    rates = turns(HIT_ROUNDS, {
        "get": lambda: rate(port, 1, get), "hget": lambda: rate(port, 1, hget),
        "get 16": lambda: rate(port, 16, get), "hget 16": lambda: rate(port, 16, hget),
    })
    report.ratio("hits/s: IMAGE.GET : HGET, 50 clients", "/s", rates["get"], rates["hget"],
                 f">= {MIN_HIT_RATE}x", lambda ratio: ratio >= MIN_HIT_RATE, digits=0)
    report.ratio("  the same, 16 in a pipeline", "/s", rates["get 16"], rates["hget 16"], digits=0)
    statistics = client.info()
    inside = [float(dict(pair.split("=") for pair in statistics[f"cmdstat_{name}"].split(","))["usec_per_call"])
              for name in ("image.get", "hget")]
    report.ratio("  time inside the command", "us", inside[:1], inside[1:])

    whole = {name: (command(*arguments, picture),)
             for name, arguments in {"hit": ["IMAGE.RECOGNIZE", key], "set": ["SET", "plain"]}.items()}
    split = {name: pieces(picture, *arguments, picture)
             for name, arguments in {"hit": ["IMAGE.RECOGNIZE", key], "set": ["SET", "plain"]}.items()}
    taken = turns(PAYLOAD_ROUNDS, {
        "split hit": lambda: latency(client, split["hit"]), "split set": lambda: latency(client, split["set"]),
        "whole hit": lambda: latency(client, whole["hit"]), "whole set": lambda: latency(client, whole["set"]),
        "fresh set": lambda: fresh_latency(client, picture), "hash": lambda: hash_latency(picture),
    })
    for how, name in ("split", "RECOGNIZE hit : SET, written as redis-py does"), ("whole", "  the same, in one write"):
        report.ratio(f"{name}, p50", "ms", taken[f"{how} hit"], taken[f"{how} set"],
                     f"<= {MAX_HIT_LATENCY}x", lambda ratio: ratio <= MAX_HIT_LATENCY)
    report.ratio("  the same, SET to new keys", "ms", taken["whole hit"], taken["fresh set"])
    beyond = [hit - other for hit, other in zip(taken["whole hit"], taken["whole set"])]
    report.ratio("  hit beyond SET : SHA-256 alone (hashlib)", "ms", beyond, taken["hash"])
    expect(client.model_info(MODEL)["misses"] == misses, "every hit was a hit")


def rate(port, pipeline, arguments):
    """Requests a second of 50 clients. (Not its -x: redis-benchmark cuts a payload at the first NUL.)"""
    requests = HIT_REQUESTS * (4 if pipeline > 1 else 1)
    words = ["redis-benchmark", "-p", port, "-c", 50, "-P", pipeline, "-n", requests, "--csv", *arguments]
    run = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    lines = list(csv.reader(run.stdout.splitlines()))
    expect(run.returncode == 0 and len(lines) == 2, f"redis-benchmark works: {run.stderr}")
    return float(lines[1][1])


def latency(client, request, requests=PAYLOAD_REQUESTS):
    return median(timed(lambda: client.send(*request)) for _ in range(requests))


def fresh_latency(client, payload):
    requests = [command("SET", f"fresh:{number}", payload) for number in range(PAYLOAD_REQUESTS // 2)]
    taken = median([timed(lambda: client.send(request)) for request in requests])
    client.ask("DEL", *(f"fresh:{number}" for number in range(len(requests))))
    return taken


def hash_latency(payload):
    return median(timed(lambda: sha256(payload).digest()) for _ in range(PAYLOAD_REQUESTS // 2))


def timed(act):
    """Milliseconds."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1e3


def misses(report, port, picture):
    """One client, all on a server that computes nothing else, since INFO's figures begin with the server."""
    client, photos = Client(port), unique(picture)
    taken = [miss(client, next(photos)) for _ in range(MISS_REQUESTS)]
    total = [milliseconds for milliseconds, _ in taken]
    info = {name: float(value) for name, value in client.model_info(MODEL).items() if "_ms_" in name}
    beside = mean(total) - mean_compute(client)
    report.add("miss, 1 client, p50: WITHMETA : as the client sees it", shown(median(total), "ms", 2),
               shown(median(seen for _, seen in taken), "ms", 2), measured={"server_and_client": taken, "info": info})

    infer = info["infer_ms_p50"]
    low, high = median(total) - infer, median(total) - infer * (1 - INFO_BUCKET)
    met = True if high <= MAX_OUTSIDE_MS else False if low > MAX_OUTSIDE_MS else "unclear"
    report.add("  outside inference = total - INFO's infer_ms_p50, in its precision", shown(median(total), "ms", 2),
               shown(infer, "ms", 2), f"{low:.2f} to {high:.2f} ms", f"<= {MAX_OUTSIDE_MS:.0f} ms", met)

    # The same inference, with nothing to decode and little to read in resizing (some tenths of a millisecond).
    simple = unique(bmp(8, 8))
    taken = turns(MISS_REQUESTS, {
        "photo": lambda: miss(client, next(photos))[0], "simple": lambda: miss(client, next(simple))[0],
    })
    outside = median(taken["photo"]) - median(taken["simple"]) + beside
    report.add("  outside inference = photo - an 8x8 BMP + time around the worker",
               shown(median(taken["photo"]), "ms", 2), shown(median(taken["simple"]), "ms", 2), f"{outside:.2f} ms",
               f"<= {MAX_OUTSIDE_MS:.0f} ms", outside <= MAX_OUTSIDE_MS, taken)
    report.add("    of it around the worker: total - compute, means", shown(mean(total), "ms", 2),
               shown(mean(total) - beside, "ms", 2), f"{beside:.2f} ms")
    report.add("    of it decoding, INFO's decode_ms_p50", shown(info["decode_ms_p50"], "ms", 2))

    # The same in CPU time, which other programs disturb less.
    taken = turns(CPU_ROUNDS, {
        "photo": lambda: cpu_a_miss(client, photos), "simple": lambda: cpu_a_miss(client, simple),
    })
    main_thread = median(main for main, _ in taken["photo"])
    photo_cpu, simple_cpu = (median(workers for _, workers in taken[name]) for name in ("photo", "simple"))
    beyond = median(one - other for (_, one), (_, other) in zip(taken["photo"], taken["simple"]))
    outside = beyond + main_thread
    report.add("  the same in CPU time: the workers', photo - BMP, + the main thread's", shown(photo_cpu, "ms", 2),
               shown(simple_cpu, "ms", 2), f"{outside:.2f} ms", f"<= {MAX_OUTSIDE_MS:.0f} ms",
               outside <= MAX_OUTSIDE_MS, taken)
    report.add("    of it the main thread's", shown(main_thread, "ms", 2))


def miss(client, payload):
    """Milliseconds as the server says, from acceptance to reply, and as the client sees them."""
    request = pieces(payload, "IMAGE.RECOGNIZE", f"bench:{payload[-8:].hex()}", payload, "WITHMETA")
    start = time.perf_counter()
    reply = client.send(*request)
    seen = (time.perf_counter() - start) * 1e3
    meta = dict(zip(reply[::2], reply[1::2]))
    expect(meta[b"source"] == b"computed", "a payload that nobody has seen is a miss")
    return float(meta[b"milliseconds"]), seen


def mean_compute(client, hits=1000):
    """Milliseconds; exact, unlike INFO's histograms: a hit adds the mean time of computing to what hits have saved."""
    hit = command("IMAGE.GET", client.ask("RANDOMKEY"))
    before = float(client.info()["image_saved_seconds"])
    for _ in range(hits):
        client.send(hit)
    return (float(client.info()["image_saved_seconds"]) - before) / hits * 1e3


def cpu_a_miss(client, payloads):
    """Milliseconds of CPU that a miss takes: the main thread's, and those of all others."""
    pid = client.info()["process_id"]

    def used():
        paths = Path(f"/proc/{pid}/task").iterdir()
        tasks = {path.name: int((path / "schedstat").read_text().split()[0]) for path in paths}
        return tasks.pop(pid), sum(tasks.values())

    before = used()
    for _ in range(CPU_REQUESTS):
        miss(client, next(payloads))
    return [(later - earlier) / CPU_REQUESTS / 1e6 for earlier, later in zip(before, used())]


def bmp(width, height):
    row = bytes(value % 251 for value in range((width * 3 + 3) // 4 * 4))
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + len(row) * height, 0, 0, 54, 40, width, height, 1, 24, 0,
                         len(row) * height, 2835, 2835, 0, 0)
    return header + row * height


def miss_rates(report, port, picture):
    client = Client(port)

    def computed_a_second(threads):
        set_threads(client, threads)
        with load(port, threads + 1, lambda _: misses_of(picture)):
            time.sleep(0.3)
            first, start = int(client.model_info(MODEL)["computed"]), time.perf_counter()
            time.sleep(RATE_SECONDS)
            last, end = int(client.model_info(MODEL)["computed"]), time.perf_counter()
        rest(client)
        return (last - first) / (end - start)

    taken = turns(RATE_ROUNDS, {threads: lambda threads=threads: computed_a_second(threads) for threads in (2, 1)})
    report.ratio("misses/s: 2 workers, 3 clients : 1 worker, 2 clients", "/s", taken[2], taken[1], digits=1)


def misses_of(picture):
    return (pieces(payload, "IMAGE.RECOGNIZE", f"bench:{payload[-8:].hex()}", payload) for payload in unique(picture))


def pings(report, port, picture):
    client = Client(port)
    large = picture.ljust(LARGE, b"\0")

    def large_misses(number):
        for tail in steadily(unique(b"")):
            before, after = around(tail, "IMAGE.RECOGNIZE", f"large:{tail.hex()}", tail)
            yield before + b"$%d\r\n" % (LARGE + len(tail)), large, tail, after

    def large_sets(number):
        for tail in steadily(unique(b"")):
            before, after = around(tail, "SET", "large", tail)
            yield before + b"$%d\r\n" % (LARGE + len(tail)), large, tail, after

    def pinged(threads, clients, requests):
        set_threads(client, threads)
        with load(port, clients, requests) if clients else nullcontext():
            time.sleep(0.3)
            taken = ping(port)
        rest(client)
        return taken

    everything = {
        "idle": lambda: pinged(1, 0, None),
        "1 worker, busy": lambda: pinged(1, 2, lambda _: misses_of(picture)),
        "2 workers, both busy": lambda: pinged(2, 3, lambda _: misses_of(picture)),
        "30 MB payloads arrive": lambda: pinged(1, 1, large_misses),
        "30 MB arrive for SET": lambda: pinged(1, 1, large_sets),
    }
    taken = turns(PING_ROUNDS, everything)
    for name in everything:
        reference = "30 MB arrive for SET" if name.startswith("30 MB payloads") else "idle"
        for share in (50, 99):
            mine, other = ([percentile(latencies, share) for latencies in taken[side]] for side in (name, reference))
            if name == "idle":
                report.add(f"PING p{share}: idle", shown(median(mine), "ms"), measured={"rounds": mine})
            else:
                report.ratio(f"PING p{share}: {name} : {reference}", "ms", mine, other)
        report.add(f"PING longest: {name}", shown(max(max(latencies) for latencies in taken[name]), "ms"),
                   measured={"samples": sum(map(len, taken[name]))})


def steadily(payloads):
    for payload in payloads:
        start = time.perf_counter()
        yield payload
        time.sleep(max(0, start + LARGE_EVERY - time.perf_counter()))


def ping(port):
    client, request = Client(port), command("PING")
    taken, end = [], time.perf_counter() + PING_SECONDS
    while time.perf_counter() < end:
        taken.append(timed(lambda: client.send(request)))
        time.sleep(PING_PAUSE)
    return taken


def percentile(values, share):
    return quantiles(values, n=100, method="inclusive")[share - 1]


def set_threads(client, threads):
    client.ask("CONFIG", "SET", "image.threads", threads)
    wait_until(lambda: client.info()["image_workers"] == str(threads), f"{threads} workers")


def rest(client):
    """Until nothing is under way, and nothing is kept of what was."""
    wait_until(lambda: client.info()["image_requests"] == "0", "the last misses")
    client.ask("FLUSHALL")


def expect(holds, what):
    if not holds:
        raise RuntimeError(f"not so: {what}")


def machine(module, port):
    cpu = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    client = Client(port)
    info, model = client.info(), client.model_info(MODEL)
    nice = client.ask("CONFIG", "GET", "image.nice")[1].decode()
    content = module.read_bytes()
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": f"{os.cpu_count()} cores, {cpu}, {platform.system()} {platform.release()}",
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()) + " (1, 5, 15 minutes) at the start",
        "server": f"{SERVER} {info['redis_version']}",
        "module": f"{module}, {len(content):,} bytes, SHA-256 {sha256(content).hexdigest()[:12]}",
        "model": f"{MODEL}@{model['version']}, {model['engine']}, nice {nice}",
    }


def main(path):
    module = Path(path).resolve()
    if not module.is_file():
        sys.exit(f"bench: {module} is missing: make build")
    source = TARGET / "photos/china.jpg"
    if not source.is_file():
        sys.exit(f"bench: {source} is missing: make photos")
    # So that what ends this program ends its servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    picture = photo(source, TARGET / "bench-photo.jpg", TARGET / "bench-venv")
    began, report, facts = time.monotonic(), Report(), {}
    busy = os.getloadavg()[0] > os.cpu_count() / 4
    for measure in (hits, misses, miss_rates, pings):
        print(f"{measure.__name__.replace('_', ' ')} ...", file=sys.stderr, flush=True)
        with server(module, ROOT / "models") as port:
            facts = facts or machine(module, port)
            measure(report, port, picture)
    facts["took"] = f"{time.monotonic() - began:.0f} s"

    print()
    report.print()
    print()
    for name, value in facts.items():
        print(f"{name + ':':<8} {value}")
    if busy:
        print("\nThe machine was busy with other programs: times are longer, and vary more, than on a quiet one.")
    (TARGET / "bench.json").write_text(json.dumps({"facts": facts, "rows": report.rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else TARGET / "release/libredis_image.so")
