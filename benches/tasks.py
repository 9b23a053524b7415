"""Every task beside the same steps in Python: objects, faces, embed, text, plates, barcodes."""
import base64
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np

from contest import Contender, column
from crew import Crew
from report import spread, turns
from task_client import TaskClient
from task_worker import GRAPHS, TaskWorker

SIZE, CLIENTS = 2, 4
ENOUGH = 40
QUICK = "{}-quick"
PHOTOS = {
    "objects": ("china.jpg", "motorcycle_left.png", "coffee.png"),
    "faces": ("obama.jpg", "biden.jpg", "astronaut.png"),
    "embed": ("800x600 JPEG",),
    "text": ("page.png", "text.png"),
    "plates": ("plate.png",),
    "barcodes": ("code128.png", "qrcode_rotated.png", "EAN-13 page"),
}


def every_task(report, field, photos, effort):
    report.title("Every task, onnxruntime, every payload new; "
                 f"{SIZE} workers and {CLIENTS} clients, or {SIZE} processes")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        quick = with_quick(field.models, folder)
        server = stack.enter_context(field.fresh("onnxruntime", models_path=folder))
        other, client = field.servers["python"], TaskClient(server.port)
        server.client.set_threads(SIZE)
        tasks = [task for task in GRAPHS if there(report, client, quick.get(task, task), task, photos)]
        arguments = other.port, field.models, tasks
        compare(report, client, TaskWorker(*arguments), quick, photos, tasks)
        crews = Crew("task client", CLIENTS, server.port), Crew("task worker", SIZE, *arguments)
        for crew in crews:
            stack.callback(crew.stop)
        mine = {model: Contender(server, crews[0], model.replace("-", "_"), CLIENTS, SIZE)
                for task in tasks for model in {quick.get(task, task), task}}
        theirs = {task: Contender(other, crews[1], task, SIZE) for task in tasks}
        report.data["tasks"] = {}
        for task in tasks:
            row(report, server, task, quick.get(task, task), mine, theirs[task], photos, effort)


def with_quick(models, folder):
    """Links to the models, and beside those that have settings a copy that says `quick`: {model: copy}."""
    quick = {}
    for model in ("mobilenetv2", *GRAPHS):
        if not Path(models, model, "model.toml").exists():
            continue
        manifest = Path(models, model, "model.toml").read_text()
        copies = {model: manifest}
        if 'setting = "thorough"' in manifest:
            quick[model] = QUICK.format(model)
            copies[quick[model]] = manifest.replace('setting = "thorough"', 'setting = "quick"')
        for name, text in copies.items():
            Path(folder, name).mkdir()
            Path(folder, name, "model.toml").write_text(text)
            for file in Path(models, model).iterdir():
                if file.name != "model.toml":
                    Path(folder, name, file.name).symlink_to(file)
    return quick


def there(report, client, model, task, photos):
    """Whether the module has the model, which its first use loads."""
    from redis.exceptions import RedisError

    try:
        client.recognise(photos[PHOTOS[task][0]].read_bytes(), model)
        return True
    except RedisError as error:
        report.note(f"  {task} is left out: {error}")
        return False


def compare(report, client, worker, quick, photos, tasks):
    """Says where the two sides do not find the same."""
    differences = []
    for task in tasks:
        for name in PHOTOS[task]:
            payload = photos[name].read_bytes()
            mine, other = (essence(side[0][0]) for side in (
                client.recognise(payload, quick.get(task, task)), getattr(worker, task)(payload)))
            same = mine @ other > 0.99 if task == "embed" else mine == other
            if not same:
                differences.append(f"  {task}, {name}: the module finds {mine}, Python {other}")
    for line in differences or ["  both sides find the same on every photo"]:
        report.note(line)


def essence(result):
    """What both sides must agree on."""
    task = result["task"]
    if task == "embed":
        vector = result["embedding"]
        return np.frombuffer(vector if isinstance(vector, bytes) else base64.b64decode(vector), "<f4")
    if task == "objects":
        return sorted(one["id"] for one in result["objects"])
    if task == "faces":
        return len(result["faces"])
    if task == "barcodes":
        return sorted(one["text"] for one in result["barcodes"])
    return [one["text"] for one in result["lines" if task == "text" else task]]


def row(report, server, task, model, mine, other, photos, effort):
    paths = tuple(photos[name] for name in PHOTOS[task])
    sides = {model: mine[model], "Python": other, task: mine[task]}
    taken = turns(effort.rounds, {name: lambda one=one: one.run("misses", paths, effort.task_seconds)
                                  for name, one in sides.items()})
    alone = turns(effort.few, {name: lambda one=one: one.alone().run("misses", paths[:1], effort.task_seconds / 2)
                               for name, one in sides.items()})
    for result in (one for results in (*taken.values(), *alone.values()) for one in results):
        del result["label"]  # A whole result, which compare() has looked at.
    for name in sides:
        report.data["tasks"] |= {f"{task}: {name}": taken[name], f"{task}: {name}, one client": alone[name]}
    report.ratio(f"misses/s: {model} : Python", "/s", *(closed(taken, name, sides) for name in (model, "Python")),
                 1.3, digits=1)
    if task != model:
        report.ratio(f"  {task}, thorough : Python", "/s", *(closed(taken, name, sides) for name in (task, "Python")),
                     digits=1)
    report.ratio(f"  one client, {PHOTOS[task][0]}: p50", "ms",
                 *(column(alone, name, "miss_p50") for name in (model, "Python")), digits=1, more=False)
    for name in dict.fromkeys((model, task)):
        info = server.client.model_info(name)
        report.note(f"  {name}, p50 of all its misses by INFO, ms: decode {info['decode_ms_p50']}, infer "
                    f"{info['infer_ms_p50']}, whole {info['compute_ms_p50']}{cpu(taken[name])}")
    phases = map(median, zip(*column(alone, "Python", "phases")))
    shares = ", ".join(f"{name} {value:.2f}" for name, value in zip(TaskWorker.PHASES, phases))
    report.note(f"  Python, {PHOTOS[task][0]}, ms: {shares}{cpu(taken['Python'])}")


def cpu(results):
    """Of a miss, clients included; not told where a slice has so few that its ends distort it."""
    if min(result["requests"] for result in results) < ENOUGH:
        return ""
    return f"; CPU a miss {spread([result['cpu_ms'] for result in results], 'ms')}"


def closed(taken, name, sides):
    """Misses a second of clients that ask without a pause. A slow photo at the end of a slice does not distort it."""
    return [sides[name].size * 1e3 / mean for mean in column(taken, name, "miss_mean")]
