"""Photos through a Redis Cluster with redis-py (pip install redis).

    python redis_py.py 127.0.0.1:7000 photo.jpg …      a batch; then each photo whose name comes on standard input
"""
import hashlib
import sys
import time
from pathlib import Path

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

host, port = sys.argv[1].rsplit(":", 1)
# By default redis-py waits 5 seconds, and then sends everything again: let it wait longer than a request may.
cluster = RedisCluster(startup_nodes=[ClusterNode(host, int(port))], protocol=3, decode_responses=True,
                       socket_timeout=60)


def key_of(photo):
    return "image:" + hashlib.sha256(photo).hexdigest()


def at(key):
    """Without it redis-py asks a node for the command's key at every call, and sends the whole photo for that."""
    return {"target_nodes": cluster.get_node_from_key(key)}


def recognise(photo, *options):
    """Asks first, and uploads only on a miss; asks again where that can help."""
    key = key_of(photo)
    for attempt in range(10):
        try:
            return (cluster.execute_command("IMAGE.GET", key, *options, **at(key))
                    or cluster.execute_command("IMAGE.RECOGNIZE", key, photo, *options, **at(key)))
        except (ConnectionError, TimeoutError):
            cluster.nodes_manager.initialize()  # a node has gone; who has its slots now?
        except ResponseError as error:
            if str(error).split()[0] not in ("QUEUEFULL", "TIMEOUT", "UNBLOCKED", "CLUSTERDOWN", "TRYAGAIN"):
                return error  # BADIMAGE and the like: the same again would give the same
        time.sleep(0.1 * 2 ** attempt)
    return ConnectionError(f"{key}: given up")


def recognise_all(photos):
    """A batch, one round trip to each node: NOWAIT queues, GET … WAIT collects. A result or an error for each photo."""
    batch = cluster.pipeline()
    for photo in photos:
        batch.execute_command("IMAGE.RECOGNIZE", key_of(photo), photo, "NOWAIT", **at(key_of(photo)))
    for photo in photos:
        batch.execute_command("IMAGE.GET", key_of(photo), "WAIT", 30000, **at(key_of(photo)))
    replies = batch.execute(raise_on_error=False)
    accepted, results = replies[:len(photos)], replies[len(photos):]
    # QUEUEFULL and the like are told at once, everything later by GET.
    return [a if isinstance(a, Exception) else r for a, r in zip(accepted, results)]


paths = [Path(name) for name in sys.argv[2:]]
photos = [path.read_bytes() for path in paths]
for path, result in zip(paths, recognise_all(photos)):
    print("batch", path.name, result, sep="\t")

key = key_of(photos[0])
print("get", paths[0].name, cluster.execute_command("IMAGE.GET", key), sep="\t")
# RESP3 has maps, which redis-py gives as a dict.
meta = cluster.execute_command("IMAGE.RECOGNIZE", key, photos[0], "WITHMETA", **at(key))
print("meta", paths[0].name, meta["source"], meta["sha256"], sep="\t", flush=True)

for line in sys.stdin:
    path = Path(line.rstrip("\n"))
    print("photo", path.name, recognise(path.read_bytes()), sep="\t", flush=True)
