"""A client of valkey-glide that subscribes to the module's events on the connection on which it sends: a miss, then NOWAIT, then
the event. Prints a line for each."""
import asyncio
import sys

from glide import GlideClient, GlideClientConfiguration, GlideError, Logger, LogLevel, NodeAddress

Logger.set_logger_config(LogLevel.OFF)
Settings = GlideClientConfiguration.PubSubSubscriptions
Mode = GlideClientConfiguration.PubSubChannelModes
EVENT = "__keyevent@0__:image.recognized"


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    photos = [open(name, "rb").read() for name in sys.argv[2:]]
    client = await GlideClient.create(GlideClientConfiguration(
        [NodeAddress(host, int(port))], request_timeout=30000,
        pubsub_subscriptions=Settings({Mode.Exact: {EVENT}}, None, None)))
    try:
        reply = await client.custom_command(["IMAGE.RECOGNIZE", "miss", photos[0]])
        print("miss", reply.decode(), sep="\t")
    except GlideError as error:
        print("miss", str(error).replace(": ", " ", 1), sep="\t")
    accepted = await client.custom_command(["IMAGE.RECOGNIZE", "later", photos[1], "NOWAIT"])
    print("nowait", accepted.decode() if isinstance(accepted, bytes) else accepted, sep="\t")
    while True:
        message = await client.get_pubsub_message()
        if message.message == b"later":
            break
    print("event", message.message.decode(), sep="\t")
    print("get", (await client.custom_command(["IMAGE.GET", "later"])).decode(), sep="\t")
    await client.close()


asyncio.run(main())
