"""What contenders do under the same load: misses, photos, mixed requests, PING."""
import os
import time
from dataclasses import dataclass, replace
from statistics import mean, median

from crew import Job
from photos import PHOTOS
from report import percentile, shown, spread, turns
from servers import Client, command, machine_busy

WARM = 0.3
PING_PAUSE = 0.001
ENGINES = ("onnxruntime", "tract")


@dataclass
class Contender:
    server: object
    crew: object
    how: str
    size: int  # processes that ask
    threads: int = 0  # of the module's workers; 0: no module

    def alone(self):
        """The same with one that asks."""
        return replace(self, size=1)

    def run(self, kind, photos, seconds, ping=False):
        """A slice of time under load, and what came of it. Several photos, for misses, come in turn."""
        photos = photos if isinstance(photos, tuple) else (photos,)
        client = self.server.client
        if self.threads:
            client.set_threads(self.threads)
        if kind != "misses":
            self.crew.start(Job("seed", self.how, photos), 1)
            self.crew.collect(1)
        begin = time.perf_counter() + WARM
        end = begin + seconds
        self.crew.start(Job(kind, self.how, photos, begin, end), self.size)
        sleep_until(begin)
        cpu, (busy, stolen), began = self.server.cpu(), machine_busy(), time.perf_counter()
        own = time.process_time()
        pings = pinged(self.server.port, end) if ping else []
        sleep_until(end)
        cpu, (busy_after, stolen_after) = self.server.cpu() - cpu, machine_busy()
        own = time.process_time() - own
        cores = (time.perf_counter() - began) * os.cpu_count()
        taken = self.crew.collect(self.size)
        client.rest()
        cpu += taken.cpu
        every = taken.misses + taken.hits
        result = {
            "rate": len(every) / seconds,
            "requests": len(every),
            "cpu_ms": cpu * 1e3 / len(every),
            # Of all cores' time.
            "others": min(1, max(0, busy_after - busy - cpu - own) / cores),
            "stolen": (stolen_after - stolen) / cores,
            "label": taken.labels[0],
        }
        for name, values in (("miss", taken.misses), ("hit", taken.hits), ("ping", pings)):
            if values:
                result |= {f"{name}_p50": percentile(values, 50), f"{name}_p99": percentile(values, 99)}
        if taken.misses:
            result["miss_mean"] = mean(taken.misses)
        if taken.phases:
            result["phases"] = [median(values) for values in zip(*taken.phases)]
        return result


def sleep_until(moment):
    time.sleep(max(0, moment - time.perf_counter()))


def pinged(port, end):
    client, request, taken = Client(port), command("PING"), []
    while (start := time.perf_counter()) < end:
        client.send(request)
        taken.append((time.perf_counter() - start) * 1e3)
        time.sleep(PING_PAUSE)
    return taken


def column(taken, name, figure):
    return [result[figure] for result in taken[name]]


def throughput(report, field, photos, effort):
    report.title("Misses, 800x600 JPEG of 99 KB, every payload new; n workers and 2n clients, or n processes")
    photo, cores = photos["800x600 JPEG"], os.cpu_count()
    sizes = sorted({1, 2, cores} | {size for size in (4, 8, 16, 32, 64) if size < cores})
    contenders = {f"{engine}, {size}": field.module(engine, size) for engine in ENGINES for size in sizes}
    contenders |= {f"Python with draft, {size}": field.python("draft", size) for size in sizes}
    contenders |= {f"Python, {size}": field.python("plain", size) for size in (1, 2)}
    taken = turns(effort.rounds, {name: lambda one=one: one.run("misses", photo, effort.seconds)
                                  for name, one in contenders.items()})
    report.data["throughput"] = taken
    for engine, least, aim in (("onnxruntime", 1.6, 2), ("tract", 0.8, 1)):
        for worker in ("Python with draft", "Python"):
            mine, other = (column(taken, f"{name}, 2", "rate") for name in (engine, worker))
            report.ratio(f"misses/s: {engine}, 2 : {worker}, 2", "/s", mine, other, least, aim, 1)
    for name in contenders:
        rates = column(taken, name, "rate")
        tails = " / ".join(f"{median(column(taken, name, f'miss_{share}')):.1f}" for share in ("p50", "p99"))
        report.add(f"  {name}: misses/s; p50 / p99; CPU a miss", spread(rates, "/s"), f"{tails} ms",
                   shown(median(column(taken, name, "cpu_ms")), "ms CPU", 1))
    for engine in ENGINES:
        for size in sizes[1:]:
            report.ratio(f"growth: {engine}, {size} workers : 1", "/s",
                         *(column(taken, f"{engine}, {one}", "rate") for one in (size, 1)), digits=1)
    for engine in ENGINES:
        mine, other = (column(taken, f"{name}, 2", "cpu_ms") for name in (engine, "Python with draft"))
        report.ratio(f"CPU a miss, clients included: {engine} : Python with draft", "ms", mine, other, digits=2)


def sizes_of_photos(report, field, photos, effort):
    report.title("A miss of one client on an idle machine, p50 by photo")
    everyone = {engine: field.module(engine, 1, 1) for engine in ENGINES}
    everyone |= {"Python with draft": field.python("draft", 1), "Python": field.python("plain", 1)}
    everything = {(photo, name): lambda one=one, photo=photo: one.run("misses", photos[photo], effort.photo_seconds)
                  for photo in PHOTOS for name, one in everyone.items()}
    taken = turns(effort.rounds, everything)
    report.data["photos"] = {f"{name}: {photo}": results for (photo, name), results in taken.items()}
    for photo in PHOTOS:
        for engine in ENGINES:
            for worker, least, aim in (("Python with draft", 0.95, 0.85), ("Python", 0.4, 0.3)):
                if photo.endswith("PNG") and worker == "Python with draft":
                    continue  # There is no draft of a PNG.
                if engine != "onnxruntime" or not photo.startswith("12"):
                    least = aim = None
                sides = (column(taken, (photo, name), "miss_p50") for name in (engine, worker))
                report.ratio(f"{photo}: {engine} : {worker}", "ms", *sides, least, aim, 2, more=False)
        notes = []
        for name in everyone:
            label, score = taken[photo, name][-1]["label"]
            notes.append(f"{name} {median(column(taken, (photo, name), 'miss_p99')):.1f} ms, {label} {score:.3f}")
        report.note(f"  p99, first label: {'; '.join(notes)}")
    phases = zip(field.PHASES, map(mean, zip(*column(taken, ("800x600 JPEG", "Python with draft"), "phases"))))
    shares = ", ".join(f"{name} {value:.2f}" for name, value in phases)
    report.note(f"  Python with draft, 800x600, ms: {shares}")


def mixed(report, field, photos, effort):
    report.title("Hits, and nine hits to each miss: 800x600 JPEG, 2 workers and 4 clients, or 2 processes with draft")
    photo = photos["800x600 JPEG"]
    contenders = {f"{engine}, {name}": field.module(engine, 2, how=how)
                  for engine in ENGINES for name, how in (("payload sent", "sent"), ("asked first", "asked"))}
    contenders["Python"] = field.python("draft", 2)
    taken = turns(effort.few, {name: lambda one=one: one.run("mixed", photo, effort.seconds)
                               for name, one in contenders.items()})
    report.data["mixed"] = taken
    for name in list(contenders)[:-1]:
        report.ratio(f"90% hits: {name} : Python", "/s",
                     column(taken, name, "rate"), column(taken, "Python", "rate"), digits=0)
    for name in contenders:
        hits, misses = ([median(column(taken, name, f"{kind}_{share}")) for share in ("p50", "p99")]
                        for kind in ("hit", "miss"))
        report.add(f"  {name}: p50 / p99 of hits, of misses", f"{hits[0]:.2f} / {hits[1]:.2f} ms",
                   f"{misses[0]:.2f} / {misses[1]:.2f} ms")
    contenders = {name: field.module("onnxruntime", 2, 2, how)
                  for name, how in (("payload sent", "sent"), ("asked first", "asked"))}
    contenders["Python"] = field.python("draft", 2)
    taken = turns(effort.few, {name: lambda one=one: one.run("hits", photo, effort.photo_seconds)
                               for name, one in contenders.items()})
    report.data["hits"] = taken
    for name in ("asked first", "payload sent"):
        report.ratio(f"only hits, 2 Python clients: {name} : Python", "/s",
                     column(taken, name, "rate"), column(taken, "Python", "rate"), digits=0)


def pings(report, field, photos, effort):
    report.title("PING while others work (800x600 JPEG, all misses), one a millisecond")
    photo = photos["800x600 JPEG"]
    loaded = {
        "onnxruntime, 2": field.module("onnxruntime", 2),
        "tract, 2": field.module("tract", 2),
        "Python with draft, 2": field.python("draft", 2),
        "onnxruntime, 1": field.module("onnxruntime", 1),
        "Python with draft, 1": field.python("draft", 1),
    }

    def idle(server):
        taken = pinged(server.port, time.perf_counter() + effort.seconds)
        return {"ping_p50": percentile(taken, 50), "ping_p99": percentile(taken, 99)}

    everything = {name: lambda one=one: one.run("misses", photo, effort.seconds, ping=True)
                  for name, one in loaded.items()}
    everything |= {"idle, module": lambda: idle(field.servers["onnxruntime"]),
                   "idle, no module": lambda: idle(field.servers["python"])}
    taken = turns(effort.pings, everything)
    report.data["pings"] = taken
    for share, least, aim in (("p99", 1, 0.5), ("p50", None, None)):
        for mine, other in (("onnxruntime, 2", "Python with draft, 2"), ("tract, 2", "Python with draft, 2"),
                            ("onnxruntime, 1", "Python with draft, 1"), ("idle, module", "idle, no module")):
            target = (None, None) if mine.startswith("idle") else (least, aim)
            report.ratio(f"PING {share}: {mine} : {other}", "ms", column(taken, mine, f"ping_{share}"),
                         column(taken, other, f"ping_{share}"), *target, more=False)
    for name in loaded:
        report.add(f"  misses/s meanwhile: {name}", spread(column(taken, name, "rate"), "/s"))
