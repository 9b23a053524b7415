"""Photos with valkey-py (pip install valkey), a fork of redis-py, on one server and on a cluster.

    python valkey_py.py 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input
"""
import asyncio
import time

import valkey
from valkey.cluster import ClusterNode, ValkeyCluster
from valkey.exceptions import ConnectionError, ResponseError, TimeoutError

import story

host, port = story.address()
# By default valkey-py waits 5 seconds for a reply, and then sends everything again: let it wait longer than a request may.
settings = {"protocol": 3, "decode_responses": True, "socket_timeout": 60}
server = valkey.Valkey(host, port, **settings)
if server.info("cluster")["cluster_enabled"]:
    server = ValkeyCluster(startup_nodes=[ClusterNode(host, port)], **settings)


async def recognise(photo):
    """Asks first, and uploads only on a miss; asks again where that can help. Redirections are valkey-py's business."""
    key = story.key_of(photo)
    for attempt in range(10):
        try:
            return (server.execute_command("IMAGE.GET", key)
                    or server.execute_command("IMAGE.RECOGNIZE", key, photo))
        except (ConnectionError, TimeoutError):
            pass  # a node has gone; valkey-py asks the others who has its slots now
        except ResponseError as error:
            if str(error).startswith("MOVED"):
                server.nodes_manager.initialize()  # valkey-py gives redirections of a module's command as errors
            elif not story.passes(error):
                return error
        time.sleep(0.1 * 2 ** attempt)
    return f"{key}: given up"


async def batch(photos):
    """One round trip to each node: NOWAIT queues, GET … WAIT collects. A result or an error for each photo."""
    pipeline = server.pipeline(transaction=False)
    for photo in photos:
        pipeline.execute_command("IMAGE.RECOGNIZE", story.key_of(photo), photo, "NOWAIT")
    for photo in photos:
        pipeline.execute_command("IMAGE.GET", story.key_of(photo), "WAIT", 30000)
    replies = pipeline.execute(raise_on_error=False)
    accepted, results = replies[:len(photos)], replies[len(photos):]
    # QUEUEFULL and the like are told at once, everything later by GET.
    return [a if isinstance(a, Exception) else r for a, r in zip(accepted, results)]


async def get(key):
    return server.execute_command("IMAGE.GET", key)


async def meta(key, photo):
    return server.execute_command("IMAGE.RECOGNIZE", key, photo, "WITHMETA")


asyncio.run(story.run(batch, get, meta, recognise))
