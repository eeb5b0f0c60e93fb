"""The page and its API: an ASGI application behind the origin."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp


@contextlib.asynccontextmanager
async def answering(app: ASGIApp, socket: Path) -> AsyncIterator[None]:
    """Answer HTTP on a Unix socket by `app`, by uvicorn inside this event loop."""
    config = uvicorn.Config(
        app,
        uds=str(socket),
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        # The origin in front says it.
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
            raise OSError("the application could not be started")
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.leave()
        await task


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers, for signals are ours, and without its ten looks a second at the clock."""

    def __init__(self, config: uvicorn.Config) -> None:
        """Serve as `config` says."""
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """End."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """Wait for the end. What uvicorn does besides is to keep the date."""
        await self.on_tick(0)
        await self._leaving.wait()

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave signals alone."""
        yield
