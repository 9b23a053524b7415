"""What one server with the module does: hits against Redis's own commands, the share of a miss, joining, the queue."""
import csv
import os
import subprocess
import threading
import time
from hashlib import sha256
from statistics import median

from contest import pinged
from report import expect, percentile, shown, turns, verdict
from servers import MODEL, Client, around, command, pieces, wait_until

HIT_REQUESTS, PAYLOAD_REQUESTS, MISSES = 30_000, 150, 150
CLIENTS, QUEUE = 64, 8
LARGE, LARGE_EVERY = 30_000_000, 0.08
# INFO shows the upper end of a histogram's bucket; its lower end is at most this share below.
INFO_BUCKET = 1 / 33


def hits(report, field, photos, effort):
    report.title("Hits against Redis's own commands")
    server, picture = field.servers["onnxruntime"], photos["800x600 JPEG"].read_bytes()
    client, key = server.client, f"image:{sha256(picture).hexdigest()}"
    result = client.ask("IMAGE.RECOGNIZE", key, picture)
    name = next(name for name in client.ask("HKEYS", key) if name.startswith(MODEL.encode())).decode()
    expect(client.ask("HGET", key, name) == client.ask("IMAGE.GET", key) == result, "IMAGE.GET answers as HGET does")
    misses = client.model_info()["misses"]
    get, hget = ["IMAGE.GET", key], ["HGET", key, name]
    rates = turns(effort.hits, {
        "get": lambda: rate(server.port, 1, get), "hget": lambda: rate(server.port, 1, hget),
        "get 16": lambda: rate(server.port, 16, get), "hget 16": lambda: rate(server.port, 16, hget),
    })
    report.ratio("hits/s: IMAGE.GET : HGET, 50 clients", "/s", rates["get"], rates["hget"], 0.9, 1, 0)
    report.ratio("  the same, 16 in a pipeline", "/s", rates["get 16"], rates["hget 16"], digits=0)
    statistics = client.info()
    inside = [float(dict(pair.split("=") for pair in statistics[f"cmdstat_{one}"].split(","))["usec_per_call"])
              for one in ("image.get", "hget")]
    report.ratio("  time inside the command", "us", inside[:1], inside[1:])

    commands = {"hit": ["IMAGE.RECOGNIZE", key], "set": ["SET", "plain"]}
    whole = {one: (command(*arguments, picture),) for one, arguments in commands.items()}
    split = {one: pieces(picture, *arguments, picture) for one, arguments in commands.items()}
    taken = turns(effort.payloads, {
        f"{how} {one}": lambda request=request: latency(client, request)
        for how, requests in (("split", split), ("whole", whole)) for one, request in requests.items()
    } | {"hash": lambda: median(timed(lambda: sha256(picture).digest()) for _ in range(PAYLOAD_REQUESTS))})
    for how, what in (("split", "hit, payload sent : SET, p50, written as redis-py does"),
                      ("whole", "  the same, in one write")):
        report.ratio(what, "ms", taken[f"{how} hit"], taken[f"{how} set"], 1.8, 1.6, more=False)
    beyond = [max(hit - other, 1e-6) for hit, other in zip(taken["whole hit"], taken["whole set"])]
    report.ratio("  hit beyond SET : SHA-256 alone (hashlib)", "ms", beyond, taken["hash"])
    expect(client.model_info()["misses"] == misses, "every hit was a hit")
    client.rest()


def rate(port, pipeline, arguments):
    """Requests a second of 50 clients. (Not its -x: redis-benchmark cuts a payload at the first NUL.)"""
    requests = HIT_REQUESTS * (4 if pipeline > 1 else 1)
    words = ["redis-benchmark", "-p", port, "-c", 50, "-P", pipeline, "-n", requests, "--csv", *arguments]
    run = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    lines = list(csv.reader(run.stdout.splitlines()))
    expect(run.returncode == 0 and len(lines) == 2, f"redis-benchmark works: {run.stderr}")
    return float(lines[1][1])


def latency(client, request):
    return median(timed(lambda: client.send(*request)) for _ in range(PAYLOAD_REQUESTS))


def timed(act):
    """Milliseconds."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1e3


def share(report, field, photos, effort):
    """On servers of its own, since INFO's figures begin with the server."""
    report.title("Where the time of a miss goes: 800x600 JPEG, one client, p50")
    picture = photos["800x600 JPEG"].read_bytes()
    for engine in ("onnxruntime", "tract"):
        with field.fresh(engine) as server:
            taken = [miss(server.client, picture + os.urandom(8)) for _ in range(MISSES)]
            info = server.client.model_info()
        total, seen = (median(values) for values in zip(*taken))
        decode, infer = (float(info[name]) for name in ("decode_ms_p50", "infer_ms_p50"))
        low, high = (1 - (decode + infer) * factor / total for factor in (1, 1 - INFO_BUCKET))
        met = "unclear" if low <= 0.05 < high else verdict((low + high) / 2, 0.05, 0.02, more=False)
        targets = ("≤ 5%", "≤ 2%", met) if engine == "onnxruntime" else ()
        low = max(0, low)
        report.add(f"{engine}: all but decode and inference, of a miss (INFO's precision)",
                   f"{low:.1%} to {high:.1%}", "", f"{low * total:.2f} to {high * total:.2f} ms", *targets,
                   measured={"server_and_client_ms": taken, "info": info})
        report.add(f"  {engine}: WITHMETA; the client's; INFO's decode, infer", shown(total, "ms", 2),
                   shown(seen, "ms", 2), f"{decode:.2f}, {infer:.2f} ms")


def miss(client, payload):
    """Milliseconds as the server says, from acceptance to reply, and as the client sees them."""
    request = pieces(payload, "IMAGE.RECOGNIZE", f"bench:{payload[-8:].hex()}", payload, "WITHMETA")
    start = time.perf_counter()
    reply = client.send(*request)
    seen = (time.perf_counter() - start) * 1e3
    meta = dict(zip(reply[::2], reply[1::2]))
    expect(meta[b"source"] == b"computed", "a payload that nobody has seen is a miss")
    return float(meta[b"milliseconds"]), seen


def together(report, field, photos, effort):
    report.title("Many at once")
    server, picture = field.servers["onnxruntime"], photos["800x600 JPEG"].read_bytes()
    client, clients = server.client, [Client(server.port) for _ in range(CLIENTS)]
    client.set_threads(2)
    inferences = []
    for _ in range(5):
        before = int(client.model_info()["computed"])
        payload = picture + os.urandom(8)
        answers = all_send(clients, [payload] * CLIENTS)
        expect(len(set(answers)) == 1 and b"labels" in answers[0], "all get the same result")
        inferences.append(int(client.model_info()["computed"]) - before)
    report.add(f"{CLIENTS} clients, one new image: inferences", f"{max(inferences)}", "", "", "1", "",
               "yes" if max(inferences) == 1 else "NO", measured={"tries": inferences})

    client.ask("CONFIG", "SET", "image.queue-length", QUEUE)
    client.set_threads(1)
    done = refused = 0
    before = int(client.info()["image_refused"])
    for _ in range(3):
        answers = all_send(clients, [picture + os.urandom(8) for _ in clients])
        done += sum(b"labels" in answer for answer in answers)
        refused += sum(answer.startswith(b"QUEUEFULL") for answer in answers)
        wait_until(lambda: client.info()["image_queue_length"] == "0", "an empty queue")
    told = int(client.info()["image_refused"]) - before
    fine = done + refused == 3 * CLIENTS and refused == told and done >= 3 * QUEUE
    again = b"labels" in client.ask("IMAGE.RECOGNIZE_AUTO", picture)
    report.add(f"queue of {QUEUE}, 1 worker, 3 x {CLIENTS} misses at once: answered; QUEUEFULL; lost", f"{done}",
               f"{refused}", f"{3 * CLIENTS - done - refused}", "0 lost", "", "yes" if fine and again else "NO")
    client.ask("CONFIG", "SET", "image.queue-length", 1024)
    client.rest()


def all_send(clients, payloads):
    """The answers, errors among them, when each client sends its payload before anyone reads an answer."""
    for client, payload in zip(clients, payloads):
        for piece in pieces(payload, "IMAGE.RECOGNIZE_AUTO", payload):
            client.socket.sendall(piece)
    return [answer(client) for client in clients]


def answer(client):
    try:
        return client.read()
    except RuntimeError as error:
        return str(error).encode()


def large(report, field, photos, effort):
    report.title("PING while payloads of 30 MB arrive, all misses")
    server = field.servers["onnxruntime"]
    picture = photos["800x600 JPEG"].read_bytes().ljust(LARGE, b"\0")
    server.client.set_threads(1)

    def slice_of(*words):
        end = time.perf_counter() + effort.seconds
        sender = threading.Thread(target=send_large, args=(server.port, picture, words, end))
        sender.start()
        taken = pinged(server.port, end)
        sender.join()
        server.client.rest()
        return taken

    taken = turns(effort.few, {"miss": lambda: slice_of("IMAGE.RECOGNIZE"), "set": lambda: slice_of("SET", "large")})
    for number in (50, 99):
        mine, other = ([percentile(one, number) for one in taken[name]] for name in ("miss", "set"))
        report.ratio(f"PING p{number}: 30 MB arrive : the same for SET", "ms", mine, other)


def send_large(port, picture, words, end):
    client = Client(port)
    while (start := time.perf_counter()) < end:
        tail = os.urandom(8)
        before, after = around(tail, *words, tail)
        client.send(before + b"$%d\r\n" % (LARGE + len(tail)), picture, tail, after)
        time.sleep(max(0, start + LARGE_EVERY - time.perf_counter()))
