"""Photos with coredis (pip install coredis), on one server and on a cluster.

    python coredis_client.py 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input
"""
import asyncio

import coredis
from coredis.exceptions import ConnectionError, RedisError, ResponseError
from coredis.typing import Key

import story

SETTINGS = {"decode_responses": False, "stream_timeout": 60}


async def main():
    host, port = story.address()
    async with coredis.Redis(host, port, **SETTINGS) as one:
        is_cluster = (await one.info("cluster"))["cluster_enabled"]
    client = coredis.RedisCluster(host, port, **SETTINGS) if is_cluster else coredis.Redis(host, port, **SETTINGS)
    async with client:
        await tell(client)


async def tell(client):
    async def ask(name, key, *arguments):
        """`Key` tells coredis which argument is the key, and so the node."""
        return await client.create_request(name.encode(), Key(key), *arguments, callback=lambda reply, **_: reply)

    async def recognise(photo):
        """Asks first, and uploads only on a miss; asks again where that can help."""
        key = story.key_of(photo)
        for attempt in range(10):
            try:
                return await ask("IMAGE.GET", key) or await ask("IMAGE.RECOGNIZE", key, photo)
            except (ConnectionError, TimeoutError):
                pass
            except ResponseError as error:
                if not story.passes(error):
                    return error
            except RedisError:
                pass  # the cluster is being looked at anew
            await asyncio.sleep(0.1 * 2 ** attempt)
        return f"{key}: given up"

    async def batch(photos):
        """NOWAIT queues all, GET … WAIT collects."""
        accepted = await asyncio.gather(
            *(ask("IMAGE.RECOGNIZE", story.key_of(photo), photo, "NOWAIT") for photo in photos), return_exceptions=True)
        results = await asyncio.gather(
            *(ask("IMAGE.GET", story.key_of(photo), "WAIT", 30000) for photo in photos), return_exceptions=True)
        return [a if isinstance(a, Exception) else r for a, r in zip(accepted, results)]

    async def get(key):
        return await ask("IMAGE.GET", key)

    async def meta(key, photo):
        return await ask("IMAGE.RECOGNIZE", key, photo, "WITHMETA")

    await story.run(batch, get, meta, recognise)


asyncio.run(main())
