#!/usr/bin/env python3
"""The exact search of galleries against what people use for it: numpy, hnswlib, faiss (flat and HNSW).

One thread each, the same vectors, contenders take turns. Needs a venv with numpy, hnswlib and faiss-cpu:
    python3 -m venv target/gallery-venv && target/gallery-venv/bin/pip install numpy==2.4.6 hnswlib==0.8.0 faiss-cpu==1.15.1
    cargo build --release --example gallery_search
    target/gallery-venv/bin/python benches/gallery.py target/release/examples/gallery_search
Each row is a subject (`gallery_vectors.py`). Each search is done twice and the second one counts: what others did meanwhile has emptied
the caches, and differently for a process that was waiting. Recall is against the ten best of an exact search in 64-bit floats."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

# Before numpy is loaded: one thread, and no kernel but the one it chooses itself.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import faiss  # noqa: E402
import hnswlib  # noqa: E402
import numpy  # noqa: E402

from gallery_vectors import DIMENSIONS, QUERIES, WANTED, truth, vectors  # noqa: E402

GROUPS = (1, 8)
RESULTS = Path(__file__).parent / "results"


class Ours:
    name = "redis-image"

    def __init__(self, program, path, rows):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        microseconds, memory = self.ask(f"load {rows} {QUERIES} {DIMENSIONS} {path}")
        self.built, self.memory = float(microseconds) / 1e6, int(memory)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def search(self, first, count):
        microseconds, *found = self.ask(f"search {first} {count} {WANTED}")
        return float(microseconds), [[int(row) for row in rows.split(",")] for rows in found]

    def sum(self):
        return float(self.ask("sum")[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Other:
    """`find` gets a matrix of queries and gives the rows of each."""

    def __init__(self, name, queries, find, built=0.0):
        self.name, self.queries, self.find, self.built = name, queries, find, built

    def search(self, first, count):
        queries = self.queries[first:first + count]
        self.find(queries)
        started = time.perf_counter()
        found = self.find(queries)
        return (time.perf_counter() - started) * 1e6, [list(map(int, rows)) for rows in found]


def with_numpy(matrix):
    def find(queries):
        found = []
        products = queries @ matrix.T if len(queries) > 1 else (matrix @ queries[0])[None]
        for row in products:
            best = numpy.argpartition(row, -WANTED)[-WANTED:]
            found.append(best[numpy.argsort(-row[best])])
        return found
    return find


def others(matrix, queries, graphs):
    yield Other("numpy", queries, with_numpy(matrix))
    flat = faiss.IndexFlatIP(DIMENSIONS)
    flat.add(matrix)
    yield Other("faiss flat", queries, lambda asked: flat.search(asked, WANTED)[1])
    if not graphs:
        return
    started = time.perf_counter()
    graph = faiss.IndexHNSWFlat(DIMENSIONS, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 200
    graph.add(matrix)
    built = time.perf_counter() - started
    for breadth in (64, 512):
        def in_faiss(asked, breadth=breadth):
            graph.hnsw.efSearch = breadth
            return graph.search(asked, WANTED)[1]
        yield Other(f"faiss HNSW ef={breadth}", queries, in_faiss, built)
    started = time.perf_counter()
    index = hnswlib.Index("ip", DIMENSIONS)
    index.init_index(len(matrix), ef_construction=200, M=16)
    index.set_num_threads(1)
    index.add_items(matrix, num_threads=1)
    built = time.perf_counter() - started
    for breadth in (64, 512):
        def in_hnswlib(asked, breadth=breadth):
            index.set_ef(breadth)
            return index.knn_query(asked, WANTED, num_threads=1)[0]
        yield Other(f"hnswlib ef={breadth}", queries, in_hnswlib, built)


def measure(program, rows, rounds, graphs, say):
    matrix, queries = vectors(rows)
    best = truth(matrix, queries)
    with tempfile.NamedTemporaryFile(dir=os.environ.get("TMPDIR")) as file:
        matrix.tofile(file)
        queries.tofile(file)
        file.flush()
        ours = Ours(program, file.name, rows)
    contenders = [ours, *others(matrix, queries, graphs)]
    megabytes = matrix.nbytes / 1e6
    say(f"\n{rows:,} x {DIMENSIONS} ({megabytes:,.0f} MB; gallery {ours.memory / 1e6:,.0f} MB), "
        f"{rounds} rounds, medians")
    result = {"rows": rows, "dimensions": DIMENSIONS, "rounds": rounds, "gallery_bytes": ours.memory, "searches": []}
    times = {(one.name, group): [] for one in contenders for group in GROUPS}
    sums, hits = [], {one.name: [] for one in contenders}
    for turn in range(rounds):
        for group in GROUPS:
            first = turn * group % (QUERIES - group + 1)
            for one in contenders if turn % 2 else contenders[::-1]:
                microseconds, found = one.search(first, group)
                times[one.name, group].append(microseconds / group)
                hits[one.name] += [(found[at][0] == best[first + at][0],
                                    len(set(found[at]) & set(best[first + at])) / WANTED) for at in range(group)]
        sums.append(ours.sum())
    bandwidth = matrix.nbytes / median(sums) / 1e3
    result["bandwidth_gb_s"] = round(bandwidth, 2)
    say(f"memory read by a plain sum: {bandwidth:.1f} GB/s ({median(sums) / 1e3:.3f} ms)")
    say(f"{'':20}{'1 query, ms':>12}{'least':>8}{'8, ms each':>12}{'least':>8}{'times ours: 1, 8':>18}"
        f"{'recall@1':>10}{'recall@10':>11}{'built, s':>10}")
    for one in contenders:
        single, eight = (median(times[one.name, group]) / 1e3 for group in GROUPS)
        least_single, least_eight = (min(times[one.name, group]) / 1e3 for group in GROUPS)
        ratios = [median(theirs / mine for theirs, mine in zip(times[one.name, group], times["redis-image", group]))
                  for group in GROUPS]
        at_1, at_10 = (sum(hit[place] for hit in hits[one.name]) / len(hits[one.name]) for place in (0, 1))
        say(f"{one.name:20}{single:12.3f}{least_single:8.3f}{eight:12.3f}{least_eight:8.3f}{ratios[0]:10.2f}{ratios[1]:8.2f}"
            f"{at_1:10.3f}{at_10:11.3f}{one.built:10.1f}")
        result["searches"].append({
            "name": one.name, "one_query_ms": single, "one_query_least_ms": least_single,
            "of_eight_ms": eight, "of_eight_least_ms": least_eight,
            "times_ours_one": ratios[0], "times_ours_eight": ratios[1], "recall_at_1": at_1, "recall_at_10": at_10,
            "built_s": one.built})
    share = median(mine / theirs for mine, theirs in zip(sums, times["redis-image", 1]))
    result["share_of_bandwidth"] = round(share, 3)
    say(f"one query of ours runs at {share:.0%} of the bandwidth")
    ours.close()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--graphs-up-to", type=int, default=100_000, help="larger sizes without HNSW, which takes long to build")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    lines, measured = [], []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    say(f"Search of galleries, one thread, {WANTED} best of each query; {processor}, {os.cpu_count()} cores; "
        f"load {os.getloadavg()[0]:.1f} at the start")
    say(f"numpy {numpy.__version__}, faiss {faiss.__version__}, python {sys.version.split()[0]}")
    for size in map(int, options.sizes.split(",")):
        rounds = options.rounds if size < 1_000_000 else max(3, options.rounds // 5)
        measured.append(measure(options.program, size, rounds, size <= options.graphs_up_to, say))
    say(f"load {os.getloadavg()[0]:.1f} at the end")
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "gallery.txt").write_text("\n".join(lines) + "\n")
    (options.results / "gallery.json").write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
