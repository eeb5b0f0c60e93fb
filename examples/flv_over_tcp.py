"""A protocol of one's own in Python: FLV over plain TCP, received straight into native memory.

Run it, then: ffmpeg -re -i clip.mp4 -c copy -f flv tcp://localhost:9000
"""

import asyncio
import logging

import arcly
from arcly.media import Demuxer


class FlvOverTcp:
    """An `InboundProtocol`: whoever connects publishes `key`."""

    name = "flv-tcp"

    def __init__(self, host: str = "localhost", port: int = 9000, key: str = "live/tcp") -> None:
        self.host, self.port, self.key = host, port, arcly.StreamKey.parse(key)

    async def start(self, context: arcly.IngestContext) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self, context), self.host, self.port)

    async def stop(self) -> None:
        self.server.close()


class Connection(asyncio.BufferedProtocol):
    def __init__(self, handler: FlvOverTcp, context: arcly.IngestContext) -> None:
        self.handler, self.context = handler, context
        self.demuxer = Demuxer("flv")
        self.session: arcly.contract.PublishSession | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.pause_reading()  # until it is known whether the peer may publish
        self.opening = asyncio.create_task(self.open())

    async def open(self) -> None:
        peer = "{}:{}".format(*self.transport.get_extra_info("peername"))
        credentials = arcly.Credentials(peer=peer, protocol=self.handler.name)
        try:
            self.session = await self.context.open_publish(self.handler.key, credentials, protocol=self.handler.name)
            self.transport.resume_reading()
        except arcly.StreamError as error:
            logging.warning("%s may not publish: %s", peer, error)
            self.transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.demuxer.get_buffer()

    def buffer_updated(self, count: int) -> None:
        try:
            self.demuxer.buffer_updated(count)
            self.demuxer.send_to(self.session)
        except arcly.StreamError as error:
            logging.warning("ending %s: %s", self.handler.key, error)
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.opening.cancel()
        if self.session is not None:
            self.session.end("the publisher is gone")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(arcly.Engine(FlvOverTcp(), arcly.HttpOrigin(":8888")).serve())
