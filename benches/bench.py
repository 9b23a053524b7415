#!/usr/bin/env python3
"""Measures the module, with each engine, beside a Python worker and Redis's own commands, and prints ratios.

    bench.py [MODULE] [--quick] [--nice N] [--only SECTION]...

MODULE is its file, target/release/libredis_image.so by default; --only measures these sections alone.

Contenders take turns, so that whatever else the machine does meets all of them. A figure is the median of the rounds,
a ratio the median of each round's ratio, with the lowest and highest in brackets. Only ratios carry over to another
machine. What it needs goes into target/bench-venv. Everything measured, and plots, go into benches/results, or with
--quick (a try, with few and short rounds) or --only into target/bench-quick. --nice sets image.nice: on a busy machine
0 gives the module's workers the same share as the Python worker gets. REDIS_SERVER names another redis-server.
"""
import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve().parent
ROOT, TARGET = HERE.parent, HERE.parent / "target"
VENV, REQUIREMENTS = TARGET / "bench-venv", HERE / "requirements.txt"


@dataclass
class Effort:
    rounds: int = 5
    pings: int = 4
    few: int = 3
    seconds: float = 2.0
    photo_seconds: float = 0.8
    task_seconds: float = 1.2
    hits: int = 7
    payloads: int = 15


SECTIONS = ("throughput", "sizes_of_photos", "pings", "mixed", "hits", "share", "together", "large", "every_task")
QUICK = Effort(2, 2, 2, 0.6, 0.4, 0.4, 2, 3)


def enter_venv():
    """Goes on with the Python of the bench's own venv, which is made if it is missing."""
    stamp = VENV / "bench-requirements.txt"
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        print(f"installing what {REQUIREMENTS.name} names into {VENV}", file=sys.stderr, flush=True)
        if not (VENV / "bin/python").exists():
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS]
        subprocess.run([VENV / "bin/python", *install], check=True)
        stamp.write_text(REQUIREMENTS.read_text())
    if Path(sys.prefix).resolve() != VENV.resolve():
        python = str(VENV / "bin/python")
        os.execv(python, [python, *sys.argv])


class Field:
    """All servers and crews, and who contends with which of them."""

    def __init__(self, stack, module, largest, nice):
        from crew import Crew
        from servers import Server
        from worker import Worker

        self.PHASES = Worker.PHASES
        self.models = ROOT / "models"
        self.settings = {"models_path": self.models, "onnxruntime_path": ROOT / "onnxruntime", "threads": 1,
                         "ttl": 3600} | ({} if nice is None else {"nice": nice})
        self.path, self.kind = module, Server
        self.servers = {engine: stack.enter_context(self.fresh(engine)) for engine in ("onnxruntime", "tract")}
        self.servers["python"] = stack.enter_context(Server())
        graph = str(ROOT / "models/mobilenetv2/mobilenetv2-7.onnx")
        self.crews = {engine: Crew("client", 2 * largest, self.servers[engine].port)
                      for engine in ("onnxruntime", "tract")}
        self.crews["python"] = Crew("worker", largest, self.servers["python"].port, graph)
        for crew in self.crews.values():
            stack.callback(crew.stop)

    def fresh(self, engine, **others):
        return self.kind(self.path, **self.settings | {"engine": engine} | others)

    def module(self, engine, threads, clients=None, how="sent"):
        from contest import Contender

        return Contender(self.servers[engine], self.crews[engine], how, clients or 2 * threads, threads)

    def python(self, how, processes):
        from contest import Contender

        return Contender(self.servers["python"], self.crews["python"], how, processes)


def facts_of(module, field):
    import importlib.metadata

    from servers import SERVER

    cpu = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    info = field.servers["onnxruntime"].client.info()
    models = {engine: field.servers[engine].client.model_info() for engine in ("onnxruntime", "tract")}
    for engine, model in models.items():
        if engine not in model["engine"]:
            sys.exit(f"bench: {engine} was wanted, but {model['engine']} runs the model: make onnxruntime")
    nice = field.servers["onnxruntime"].client.ask("CONFIG", "GET", "image.nice")[1].decode()
    content = module.read_bytes()
    packages = ("onnxruntime", "pillow", "numpy", "opencv-python-headless", "zxing-cpp", "redis", "hiredis")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": f"{os.cpu_count()} cores, {cpu}, {platform.system()} {platform.release()}",
        "server": f"{SERVER} {info['redis_version']}",
        "module": f"{module}, {len(content):,} bytes, SHA-256 {sha256(content).hexdigest()[:12]}, nice {nice}",
        "model": ", ".join(f"{model['engine']}: mobilenetv2@{model['version']}" for model in models.values()),
        "python": f"{platform.python_version()}, "
                  + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages),
    }


def results_of(report):
    for part in report.data.values():
        for results in part.values():
            yield from (one for one in results if "others" in one)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("module", nargs="?", default=TARGET / "release/libredis_image.so", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--nice", type=int)
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    arguments = parser.parse_args()
    module, effort = arguments.module.resolve(), QUICK if arguments.quick else Effort()
    for path, how in ((module, "build"), (TARGET / "photos/china.jpg", "photos")):
        if not path.is_file():
            sys.exit(f"bench: {path} is missing: make {how}")
    enter_venv()

    from contest import mixed, pings, sizes_of_photos, throughput
    from photos import photos
    from plots import all_plots
    from report import Report
    from single import hits, large, share, together
    from tasks import every_task

    # So that what ends this program ends its servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    pictures = photos(TARGET / "photos", TARGET / "bench-photos")
    began, load, report = time.monotonic(), os.getloadavg(), Report()
    with ExitStack() as stack:
        field = Field(stack, module, max(2, os.cpu_count()), arguments.nice)
        facts = facts_of(module, field)
        for measure in (throughput, sizes_of_photos, pings, mixed, hits, share, together, large, every_task):
            if arguments.only and measure.__name__ not in arguments.only:
                continue
            passed = f"{time.monotonic() - began:4.0f} s"
            print(f"{passed}: {measure.__name__.replace('_', ' ')} ...", file=sys.stderr, flush=True)
            measure(report, field, pictures, effort)
    slices = list(results_of(report))
    others, stolen = ([one[name] for one in slices] for name in ("others", "stolen"))
    facts |= {
        "photos": ", ".join(f"{name} {path.stat().st_size:,} bytes" for name, path in pictures.items()
                            if path.parent.name == "bench-photos"),
        "load": " ".join(f"{value:.2f}" for value in load) + " (1, 5, 15 minutes) at the start",
        "others": f"other programs used {mean(others):.0%} of the cores meanwhile (at most {max(others):.0%} in a "
                  f"slice), the hypervisor kept {mean(stolen):.0%}",
        "took": f"{time.monotonic() - began:.0f} s",
    }
    text = "\n".join(report.lines())
    text += "\n\n" + "\n".join(f"{name + ':':<8} {value}" for name, value in facts.items())
    if mean(others) > 0.05:
        text += ("\n\nThe machine was busy with other programs. By default the module's workers are nicer than these "
                 "(image.nice), the\nPython worker is not: rates and latencies are then too bad for the module. CPU a "
                 "miss is what to look at, or --nice 0.")
    print(f"\n{text}")
    folder = TARGET / "bench-quick" if arguments.quick or arguments.only else HERE / "results"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"facts": facts, "rows": report.rows, "data": report.data}
    (folder / "latest.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    (folder / "latest.txt").write_text(text + "\n")
    for name, plot in () if arguments.only else all_plots(report.data, facts):
        (folder / name).write_text(plot)


if __name__ == "__main__":
    main()
