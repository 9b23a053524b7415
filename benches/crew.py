"""Processes that ask for recognition, one request after another: Python workers, or clients of the module."""
import os
import random
import signal
import time
import traceback
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from multiprocessing import get_context
POOL, AT_LEAST = 20, 3


@dataclass
class Job:
    """What to ask for. Times are of `time.perf_counter`, which all processes share."""

    kind: str  # misses, hits, mixed: nine hits and a miss; or seed: once each of those that hits are about
    how: str  # the recogniser's method
    photos: tuple  # paths, which take turns
    begin: float = 0.0  # counted from here
    end: float = 0.0


@dataclass
class Taken:
    """What came of it."""

    misses: list = field(default_factory=list)  # milliseconds each
    hits: list = field(default_factory=list)
    phases: list = field(default_factory=list)  # milliseconds of each phase, of each miss
    labels: list = field(default_factory=list)  # of the last answer
    cpu: float = 0.0  # seconds

    def add(self, other):
        self.misses += other.misses
        self.hits += other.hits
        self.phases += other.phases
        self.labels = other.labels
        self.cpu += other.cpu


class Crew:
    def __init__(self, kind, size, *arguments):
        """`arguments` are the recogniser's."""
        self.members = []
        context = get_context("spawn")
        for _ in range(size):
            mine, theirs = context.Pipe()
            process = context.Process(target=member, args=(theirs, kind, arguments), daemon=True)
            process.start()
            theirs.close()
            self.members.append((process, mine))
        for _, pipe in self.members:
            received(pipe)

    def start(self, job, size):
        for _, pipe in self.members[:size]:
            pipe.send(job)

    def collect(self, size):
        whole = Taken()
        for _, pipe in self.members[:size]:
            whole.add(received(pipe))
        return whole

    def stop(self):
        for process, pipe in self.members:
            pipe.close()
            process.terminate()
            process.join()


def received(pipe):
    answer = pipe.recv()
    if isinstance(answer, str):
        raise RuntimeError(f"a process of the crew failed:\n{answer}")
    return answer


def member(pipe, kind, arguments):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        recogniser = recogniser_of(kind)(*arguments)
        pipe.send(Taken())  # Ready.
        while True:
            pipe.send(work(pipe.recv(), recogniser))
    except EOFError:
        pass
    except Exception:
        pipe.send(traceback.format_exc())


def recogniser_of(kind):
    """Imported where it is needed: only some processes need OpenCV."""
    if kind == "task worker":
        from task_worker import TaskWorker as recogniser
    elif kind == "task client":
        from task_client import TaskClient as recogniser
    elif kind == "worker":
        from worker import Worker as recogniser
    else:
        from worker import ModuleClient as recogniser
    return recogniser


def work(job, recogniser):
    ask, now = getattr(recogniser, job.how), time.perf_counter
    taken, began = Taken(), None
    pictures = [photo.read_bytes() for photo in job.photos]
    if job.kind == "seed":
        for payload in pool(pictures[0]):
            ask(payload)
        return taken
    for payload, new in payloads(job.kind, pictures):
        start = now()
        if began is None and start >= job.begin:
            began = time.process_time()
        result, phases = ask(payload)
        stop = now()
        # A slow photo gets a few requests, however short the time.
        if stop >= job.end and len(taken.misses) + len(taken.hits) >= AT_LEAST:
            break
        # Those under way at the beginning count as well, as those under way at the end do not.
        if stop >= job.begin:
            (taken.misses if new else taken.hits).append((stop - start) * 1e3)
            taken.labels = result
            if phases:
                taken.phases.append([seconds * 1e3 for seconds in phases])
    taken.cpu = time.process_time() - (began or 0)
    return taken


def payloads(kind, pictures):
    """Payloads, and whether nobody has seen them."""
    known, dice = pool(pictures[0]) if kind != "misses" else (), random.Random(os.getpid())
    # Each process begins elsewhere.
    for number in count(os.getpid()):
        if kind == "misses" or kind == "mixed" and number % 10 == 9:
            yield pictures[number % len(pictures)] + os.urandom(8), True
        else:
            yield dice.choice(known), False


def pool(picture):
    return [picture + sha256(number.to_bytes(8, "little")).digest()[:8] for number in range(POOL)]
