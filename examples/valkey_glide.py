"""Photos with valkey-glide (pip install valkey-glide), on one server and on a cluster.

    python valkey_glide.py 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input

A client of glide has one connection to each node, and Redis handles nothing more of a connection whose client waits. So one
client sends with NOWAIT and stays free, and another one waits.
"""
import asyncio

from glide import (GlideClient, GlideClientConfiguration, GlideClusterClient, GlideClusterClientConfiguration, GlideError,
                   Logger, LogLevel, NodeAddress, SlotKeyRoute, SlotType)

import story

WAIT_MS = 30000
# Glide's own limit is 250 ms by default: give it more than a request may wait.
REQUEST_TIMEOUT_MS = 60000
# Glide logs errors of the server's, on standard output.
Logger.set_logger_config(LogLevel.OFF)


async def main():
    node = NodeAddress(*story.address())
    one = await GlideClient.create(GlideClientConfiguration([node], request_timeout=REQUEST_TIMEOUT_MS))
    is_cluster = b"cluster_enabled:1" in await one.custom_command(["INFO", "cluster"])

    async def connect():
        if not is_cluster:
            return await GlideClient.create(GlideClientConfiguration([node], request_timeout=REQUEST_TIMEOUT_MS))
        return await GlideClusterClient.create(
            GlideClusterClientConfiguration([node], request_timeout=REQUEST_TIMEOUT_MS))

    await one.close()
    shared, waiting = await connect(), await connect()

    async def ask(client, name, key, *arguments):
        """The key tells glide the node: it does not know where a module's command has its key."""
        words = [name, key, *arguments]
        if is_cluster:
            return await client.custom_command(words, SlotKeyRoute(SlotType.PRIMARY, key))
        return await client.custom_command(words)

    async def recognise(photo):
        """Asks first, and uploads only on a miss; the other client waits. Asks again where that can help."""
        key = story.key_of(photo)
        for attempt in range(10):
            try:
                stored = await ask(shared, "IMAGE.GET", key)
                if stored is None:
                    await ask(shared, "IMAGE.RECOGNIZE", key, photo, "NOWAIT")
                    stored = await ask(waiting, "IMAGE.GET", key, "WAIT", str(WAIT_MS))
                if stored is not None:
                    return stored
            except GlideError as error:
                # Lost connections and time-outs, too; their text has no word of ours.
                if is_final(error):
                    return str(error).replace(": ", " ", 1)
            await asyncio.sleep(0.1 * 2 ** attempt)
        return f"{key}: given up"

    async def batch(photos):
        """All at once: what glide is given without waiting goes to each node in one stream."""
        return await asyncio.gather(*map(recognise, photos))

    async def get(key):
        return await ask(shared, "IMAGE.GET", key)

    async def meta(key, photo):
        return await ask(shared, "IMAGE.RECOGNIZE", key, photo, "WITHMETA")

    await story.run(batch, get, meta, recognise)
    await shared.close()
    await waiting.close()


def is_final(error):
    """Glide puts a colon behind the first word of an error: `BADIMAGE: …`."""
    word = str(error).split(" ")[0].rstrip(":")
    return word in ("BADIMAGE", "NOMODEL", "WRONGTYPE", "NOPERM", "FAILED", "NOWAITING")


asyncio.run(main())
