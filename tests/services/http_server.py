"""A hostile little HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Answer = Callable[[bytes, bytes, asyncio.StreamWriter], Awaitable[None]]


class HttpServer:
    """Answers each request with what the test says, and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[tuple[bytes, bytes]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
            body = await reader.readexactly(length)
            self.requests.append((head, body))
            await self._answer(head, body, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The client went away, or the test is over.
        finally:
            self.tasks.discard(task)
            writer.close()


@asynccontextmanager
async def http_server(answer: Answer) -> AsyncIterator[HttpServer]:
    """Run one on a free port."""
    server = HttpServer(answer)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        await closed(listener, server)


async def closed(listener: asyncio.Server, server: HttpServer) -> None:
    """Close `listener` and wait for its connections: one left to the garbage collector fails a later test."""
    # Python 3.11 waits for them only when it was asked before the listener closed.
    all_closed = asyncio.ensure_future(listener.wait_closed())
    await asyncio.sleep(0)
    listener.close()
    # Also those that were let in at the last moment, and begin now.
    while not all_closed.done():
        for task in list(server.tasks):
            task.cancel()
        await asyncio.sleep(0.005)


def says(data: bytes) -> Answer:
    """An answer of fixed bytes."""

    async def answer(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer
