"""Photos with redis-py's asyncio client (pip install redis), on one server and on a cluster.

    python redis_py_asyncio.py 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input
"""
import asyncio

import redis.asyncio as redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterError, ConnectionError, ResponseError, TimeoutError

import story

# By default redis-py waits 5 seconds for a reply, and then sends everything again: let it wait longer than a request may.
SETTINGS = {"protocol": 3, "decode_responses": True, "socket_timeout": 60}


async def main():
    host, port = story.address()
    server = redis.Redis(host=host, port=port, **SETTINGS)
    if (await server.info("cluster"))["cluster_enabled"]:
        await server.aclose()
        server = RedisCluster(startup_nodes=[ClusterNode(host, port)], **SETTINGS)

    async def recognise(photo):
        """Asks first, and uploads only on a miss; asks again where that can help."""
        key = story.key_of(photo)
        for attempt in range(10):
            try:
                return (await server.execute_command("IMAGE.GET", key)
                        or await server.execute_command("IMAGE.RECOGNIZE", key, photo))
            except (ConnectionError, TimeoutError, ClusterError):
                pass  # a node has gone, or a slot is on its way; redis-py asks the others who has it now
            except ResponseError as error:
                if not story.passes(error):
                    return error
            await asyncio.sleep(0.1 * 2 ** attempt)
        return f"{key}: given up"

    async def batch(photos):
        """All at once: each call takes a connection of the pool, so that all workers are busy."""
        limit = asyncio.Semaphore(8)

        async def one(photo):
            async with limit:
                return await recognise(photo)

        return await asyncio.gather(*map(one, photos))

    async def get(key):
        return await server.execute_command("IMAGE.GET", key)

    async def meta(key, photo):
        return await server.execute_command("IMAGE.RECOGNIZE", key, photo, "WITHMETA")

    await story.run(batch, get, meta, recognise)
    await server.aclose()


asyncio.run(main())
