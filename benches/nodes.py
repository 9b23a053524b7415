#!/usr/bin/env python3
"""Measures what capacity planning needs, and prints it: memory of results and models, network, throughput of 1 to 3 nodes.

    nodes.py [MODULE] [--only SECTION]...

MODULE is its file, target/release/libredis_image.so by default. Needs nothing but Python. For the throughput each node has
one worker and is pinned to one core, the first to the first core and so on; where there are fewer cores than nodes, they
share. All is written into benches/results/nodes.json and nodes.txt, where --only leaves the other sections as they are;
capacity.py reckons with it. On a busy machine, as root, `setsid sh -c 'echo -15 >
/proc/self/autogroup; nice -n -15 benches/nodes.py'` gives all of it precedence over other programs.
"""
import argparse
import json
import os
import platform
import sys
import threading
import time
from binascii import crc_hqx
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from statistics import mean, median

from servers import MODEL, Client, Server, command, wait_until

ROOT = Path(__file__).resolve().parent.parent
PHOTOS, RESULTS = ROOT / "target/photos", ROOT / "benches/results"
TASKS = ("mobilenetv2", "open-nsfw", "objects", "faces", "embed", "text", "plates", "barcodes")
# What people photograph; the others are drawn test pages.
REAL = ("astronaut.png", "biden.jpg", "chelsea.png", "china.jpg", "coffee.png", "flower.jpg", "motorcycle_left.png",
        "obama.jpg", "obama2.jpg", "obama3.jpg", "plate.png", "rocket.jpg")
OF_TASK = {"text": ("page.png", "text.png"), "barcodes": ("code128.png", "qrcode_rotated.png"), "plates": ("plate.png",),
           "faces": ("astronaut.png", "biden.jpg", "obama.jpg", "obama2.jpg", "obama3.jpg")}
ROUNDS, SECONDS, CLIENTS = 5, 1.5, 4
KEYS = 200_000
SLOTS = 16384


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("module", nargs="?", default=ROOT / "target/release/libredis_image.so", type=Path)
    parser.add_argument("--only", action="append", choices=SECTIONS, default=[], help="measure this section alone")
    options = parser.parse_args()
    for needed in (options.module, PHOTOS / "china.jpg", ROOT / "models" / MODEL / "model.toml"):
        if not needed.exists():
            sys.exit(f"{needed} is missing: make build models photos")
    target = RESULTS / "nodes.json"
    figures = json.loads(target.read_text()) if options.only and target.exists() else {}
    for name in options.only or SECTIONS:
        figures[name] = SECTIONS[name](options.module.resolve()) | {"facts": facts(options.module)}
        print(SHOWN[name](figures[name]), flush=True)
    target.write_text(json.dumps(figures, indent=1) + "\n")
    (RESULTS / "nodes.txt").write_text("\n".join(SHOWN[name](figures[name]) for name in SECTIONS if name in figures))


def node(module, **settings):
    return Server(module, **{"models_path": ROOT / "models", "onnxruntime_path": ROOT / "onnxruntime", "threads": 1}
                  | settings)


def new(photo):
    """The same picture under another digest: bytes behind its end, which no decoder reads."""
    return photo + os.urandom(8)


def key_of(payload):
    return b"image:" + sha256(payload).hexdigest().encode()


def resident(server):
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


# ------------------------------------------------------------------------------------------------ memory


def results(module):
    """Bytes of a stored result by MEMORY USAGE, a key each, in Redis's default encoding and in the recommended one."""
    measured = {}
    with node(module) as server:
        for task in TASKS:
            photos = [PHOTOS / name for name in OF_TASK.get(task, REAL)]
            sizes_of = []
            for photo in photos:
                payload = new(photo.read_bytes())
                key = key_of(payload)
                json_text = server.client.ask("IMAGE.RECOGNIZE", key, payload, "MODEL", task, "TIMEOUT", 120_000)
                fields = server.client.ask("HGETALL", key)
                sizes = []
                for limit in (64, 1024):
                    server.client.ask("CONFIG", "SET", "hash-max-listpack-value", limit)
                    server.client.ask("DEL", key)
                    server.client.ask("HSET", key, *fields)
                    sizes.append(server.client.ask("MEMORY", "USAGE", key))
                sizes_of.append((len(json_text), *sizes))
            json_bytes, default, compact = zip(*sizes_of)
            measured[task] = {"photos": len(photos), "json": mean(json_bytes), "bytes": mean(default),
                              "compact": mean(compact), "largest": max(default)}
    return measured


def show_results(figures):
    lines = ["Bytes of a stored result (MEMORY USAGE, mean; real photos on which the task has something to find)",
             f"{'task':14}{'photos':>8}{'JSON':>10}{'default':>10}{'listpack 1024':>16}{'largest':>10}"]
    for task, row in rows(figures):
        lines.append(f"{task:14}{row['photos']:8}{row['json']:10.0f}{row['bytes']:10.0f}{row['compact']:16.0f}"
                     f"{row['largest']:10.0f}")
    return ended(lines, figures)


def models(module):
    """Resident memory of a node: idle, and with a model that has recognised one photo."""
    measured = {}
    for task in TASKS:
        photo = (PHOTOS / OF_TASK.get(task, REAL)[0]).read_bytes()
        with node(module, model=task) as server:
            before = resident(server)
            server.client.ask("IMAGE.RECOGNIZE", "k", photo, "MODEL", task, "TIMEOUT", 120_000)
            weights = int(server.client.model_info(task)["memory"])
            measured[task] = {"before": before, "after": resident(server), "weights": weights}
    with Server() as bare:
        measured["no module"] = {"before": resident(bare), "after": resident(bare), "weights": 0}
    return measured


def show_models(figures):
    lines = ["Resident memory of a node with one worker, onnxruntime, MB: started; after one photo of this model",
             f"{'model':14}{'weights':>10}{'started':>10}{'after':>10}"]
    for task, row in rows(figures):
        lines.append(f"{task:14}" + "".join(f"{row[name] / 1e6:10.1f}" for name in ("weights", "before", "after")))
    lines.append("(mobilenetv2 and open-nsfw are loaded at the start, the others when they are first used)")
    return ended(lines, figures)


# ------------------------------------------------------------------------------------------------ network, replicas


def network(module):
    """Bytes on the wire for a miss, for a hit by IMAGE.GET, and to the replica; how fast a new replica is filled."""
    photo = (PHOTOS / "china.jpg").read_bytes()
    with node(module) as master, Server() as replica:
        replica.client.ask("REPLICAOF", "127.0.0.1", master.port)
        wait_until(lambda: replica.client.info()["master_link_status"] == "up", "the replica")
        payloads = [new(photo) for _ in range(50)]
        measured = {"payload": len(payloads[0])}
        measured |= traffic(master, "miss", [("IMAGE.RECOGNIZE", key_of(payload), payload) for payload in payloads])
        measured |= traffic(master, "hit", [("IMAGE.GET", key_of(payload)) for payload in payloads])
        json_text = master.client.ask("IMAGE.GET", key_of(payloads[0]))
        version = master.client.model_info()["version"]
        replica.client.ask("REPLICAOF", "NO", "ONE")
        replica.client.ask("FLUSHALL")
        before = int(master.client.info()["used_memory"])
        for start in range(0, KEYS, 1000):
            digests = [os.urandom(32).hex() for _ in range(1000)]
            master.client.socket.sendall(b"".join(
                command("HSET", f"image:{digest}", "sha256", digest, f"{MODEL}@{version}", json_text) for digest in digests))
            for _ in digests:
                master.client.read()
        measured["bytes_a_key"] = (int(master.client.info()["used_memory"]) - before) / KEYS
        master.client.ask("SAVE")
        measured["rdb_bytes_a_key"] = Path(master.folder.name, "dump.rdb").stat().st_size / KEYS
        began = time.monotonic()
        master.client.ask("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        replica.client.ask("REPLICAOF", "127.0.0.1", master.port)
        wait_until(lambda: replica.client.info()["master_link_status"] == "up", "the second copy", 120)
        measured["sync_keys_a_second"] = KEYS / (time.monotonic() - began)
        master.client.ask("FLUSHALL")
    return measured


def traffic(server, name, commands):
    """Bytes in, out and to replicas for one of `commands`."""
    fields = ("total_net_input_bytes", "total_net_output_bytes", "total_net_repl_output_bytes")
    before, asked = server.client.info(), len(commands)
    for words in commands:
        server.client.ask(*words)
    after = server.client.info()
    # The first INFO's reply is counted among what follows.
    own = {"total_net_output_bytes": len("\r\n".join(f"{k}:{v}" for k, v in before.items()))}
    return {f"{name}_{field.split('_')[2]}": (int(after[field]) - int(before[field]) - own.get(field, 0)) / asked
            for field in fields}


def show_network(row):
    return ended([
        f"Bytes on the wire, a photo of {row['payload']:,} bytes",
        f"a miss:  in {row['miss_input']:,.0f}, out {row['miss_output']:,.0f}, of which to the replica {row['miss_repl']:,.0f}",
        f"IMAGE.GET, a hit: in {row['hit_input']:,.0f}, out {row['hit_output']:,.0f}",
        f"{KEYS:,} results of {MODEL}: {row['bytes_a_key']:.0f} bytes each in memory, {row['rdb_bytes_a_key']:.0f} in the RDB; "
        f"a new replica takes {row['sync_keys_a_second']:,.0f} a second"], row)


# ------------------------------------------------------------------------------------------------ throughput


def throughput(module):
    """Misses a second of one, two and three nodes, in turns; which node has a photo is its slot's business."""
    photo = (PHOTOS / "china.jpg").read_bytes()
    rates = {1: [], 2: [], 3: []}
    with ExitStack() as stack:
        servers = [stack.enter_context(node(module, nice=0)) for _ in rates]
        for place, server in enumerate(servers):
            server.client.ask("IMAGE.RECOGNIZE", "warm", new(photo))
            pin(server.process.pid, place % os.cpu_count())
        for turn in range(ROUNDS):
            for nodes in sorted(rates, reverse=turn % 2 == 1):
                rates[nodes].append(load(servers[:nodes], photo))
                for server in servers:
                    server.client.rest()
    ratios = {nodes: [many / one for many, one in zip(rates[nodes], rates[1])] for nodes in rates}
    return {str(nodes): {"rate": median(rates[nodes]), "ratio": median(ratios[nodes]), "low": min(ratios[nodes]),
                         "high": max(ratios[nodes])} for nodes in rates}


def pin(pid, core):
    """All its threads, with our own priority: the workers have undone what they inherited."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
        os.setpriority(os.PRIO_PROCESS, int(thread.name), os.nice(0))


def load(servers, photo):
    """Misses a second, with some clients a node, each of which sends to whichever node has its photo's slot."""
    counts, end = [0] * CLIENTS * len(servers), time.monotonic() + SECONDS

    def client(place):
        connections = [Client(server.port) for server in servers]
        while time.monotonic() < end:
            payload = new(photo)
            key = key_of(payload)
            connections[crc_hqx(key, 0) % SLOTS * len(servers) // SLOTS].ask("IMAGE.RECOGNIZE", key, payload)
            counts[place] += 1

    threads = [threading.Thread(target=client, args=(place,)) for place in range(len(counts))]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - began)


def show_throughput(figures):
    lines = [f"Misses a second, china.jpg, one worker a node, each node pinned to a core ({os.cpu_count()} cores)"]
    for nodes, row in rows(figures):
        lines.append(f"{nodes} node{'s' if nodes != '1' else ' '}: {row['rate']:6.1f} /s   {row['ratio']:.2f}x of one "
                     f"[{row['low']:.2f}–{row['high']:.2f}]")
    return ended(lines, figures)


# ------------------------------------------------------------------------------------------------ all of it


def facts(module):
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    build = module.resolve().parent.name  # debug: dependencies are optimised there, too
    return (f"{time.strftime('%Y-%m-%d %H:%M %z')}, {os.cpu_count()} cores, {cpu}, module built as {build}, "
            f"nice {os.nice(0)}, load {os.getloadavg()[0]:.1f} in the last minute, others' included")


def rows(figures):
    return [(name, row) for name, row in figures.items() if name != "facts"]


def ended(lines, figures):
    return "\n".join([*lines, f"({figures['facts']})", ""])


SECTIONS = {"results": results, "models": models, "network": network, "throughput": throughput}
SHOWN = {"results": show_results, "models": show_models, "network": show_network, "throughput": show_throughput}

if __name__ == "__main__":
    main()
