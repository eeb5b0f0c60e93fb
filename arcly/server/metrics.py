"""`arcly serve --metrics`: numbers for Prometheus, on an address of their own."""

from __future__ import annotations

import asyncio
import logging
import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from arcly._address import resolve, show, split
from arcly.contract import IngestContext
from arcly.errors import ListenError
from arcly.origin import HttpOrigin
from arcly.protocols.srt import SrtHandler
from arcly.services.prometheus import PrometheusObserver

log = logging.getLogger("arcly")


class Metrics:
    """A `PrometheusObserver` that can be scraped by HTTP. An `InboundProtocol`.

    Args:
        address: `HOST:PORT`.
        http: whose viewers count.
        srt: whose connections have numbers.

    Raises:
        MisuseError: the address is none.
    """

    name = "metrics"

    def __init__(self, address: str, http: HttpOrigin | None, srt: SrtHandler | None) -> None:
        split(address)
        self._address = address
        self._registry = CollectorRegistry()
        self._observer = PrometheusObserver(
            self._registry,
            http_viewers=None if http is None else http.viewers,
            srt_connections=None if srt is None else srt.list_connections,
        )
        self._serving: tuple[WSGIServer, threading.Thread] | None = None

    async def start(self, context: IngestContext) -> None:
        """Listen.

        Raises:
            ListenError: the address is taken.
        """
        await self._observer.start(context)
        try:
            host, port = split(await resolve(self._address))
            self._serving = start_http_server(port, addr=host, registry=self._registry)
        except OSError as error:
            raise ListenError(f"[metrics] {self._address}: {error.strerror or error}") from None
        log.info("[metrics] numbers for Prometheus at %s, path /metrics", show((host, self._serving[0].server_port)))

    async def stop(self) -> None:
        """Listen no more."""
        if self._serving is not None:
            server, thread = self._serving
            self._serving = None
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            thread.join()
        await self._observer.stop()
