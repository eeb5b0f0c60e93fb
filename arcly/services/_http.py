"""HTTP/1.1 requests to one URL that the host configured, each with a deadline.

The standard library's client in a few threads: it is kept by others, knows TLS, and no peer chooses the server. It
follows no redirect. What it lacks is a deadline over a whole exchange (its timeout is per read, and a server that
drips bytes never meets it); that is why each exchange can be cut off from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from arcly._limits import require_between
from arcly.errors import MisuseError

if TYPE_CHECKING:
    import http.client
    import ssl
    from concurrent.futures import ThreadPoolExecutor

    from typing_extensions import Buffer

HEAD_BYTES_MAX = 64 << 10
"""Bytes of an answer before its body, provisional answers (1xx) included."""


class HttpFailedError(Exception):
    """No answer, or none that is one."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer."""

    status: int
    """The status code."""

    body: bytes
    """The first bytes of the body, as many as were asked for."""


class HttpClient:
    """Requests to one URL.

    Args:
        url: `http://` or `https://`, without user, password and fragment.
        deadline_s: seconds that a request may take from being asked for to its answer; 0.01 to 60.
        concurrency: requests at a time, each a thread; 1 to 256. More wait, inside their deadline.
        body_max: bytes of an answer's body that are read; 0 reads none.
        headers: sent with every request.
        tls: for `https`; default: the system's authorities and the host's name are checked.

    Raises:
        MisuseError: one of these is out of range.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline_s: float,
        concurrency: int,
        body_max: int,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        require_between("deadline_s", deadline_s, 0.01, 60)
        require_between("concurrency", concurrency, 1, 256)
        self.deadline_s = deadline_s
        self.server = _Server.parse(url, tls)
        self._concurrency = concurrency
        self._body_max = body_max
        self._headers = {"Connection": "close", "User-Agent": "arcly", **(headers or {})}
        # Made at the first request. Its threads end with it: nothing needs to be closed.
        self._threads: ThreadPoolExecutor | None = None

    async def request(self, method: str, body: bytes | None = None, **headers: str) -> HttpResponse:
        """Send a request and return the answer, whatever its status.

        Raises:
            HttpFailedError: there is no answer, or no HTTP, or the deadline has passed.
        """
        exchange = _Exchange(self.server, method, body, self._headers | headers, self.deadline_s, self._body_max)
        try:
            async with asyncio.timeout(self.deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._pool(), exchange.run)
        except TimeoutError:
            raise HttpFailedError(f"{self.server.host} did not answer within {self.deadline_s:g} s") from None
        finally:
            exchange.cut()

    def _pool(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._concurrency, "arcly-http")
        return self._threads


@dataclass(frozen=True, slots=True)
class _Server:
    """Where requests go."""

    secure: bool
    host: str
    port: int | None
    target: str
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: str, tls: ssl.SSLContext | None) -> _Server:
        """Return the server of `url`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise MisuseError(f"not a URL: {error}") from None
        if parts.scheme not in ("http", "https") or not host or parts.fragment or not _printable(url):
            # It is not repeated: there may be a password in it.
            raise MisuseError("not a URL of the form http://HOST:PORT/PATH or https://HOST/PATH")
        if parts.username is not None or parts.password is not None:
            # They would be repeated by every message that names the URL.
            raise MisuseError("a URL with user and password is not accepted: send them in a header")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme == "https", host, port, target, tls)

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """Return a connection, not yet made."""
        import http.client

        if self.secure:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=self.tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)


def _printable(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url


class _Exchange:
    """One request and its answer, in a thread, with a handle for the event loop to cut it off."""

    def __init__(
        self,
        server: _Server,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        body_max: int,
    ) -> None:
        self._server = server
        self._method = method
        self._body = body
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._body_max = body_max
        self._wire: _Wire | None = None
        self._over = False

    def run(self) -> HttpResponse:
        """Do it. Runs in a thread."""
        import http.client

        connection = self._server.connection(self._timeout_s)
        try:
            connection.connect()
            self._wire = _Wire(connection.sock, HEAD_BYTES_MAX + self._body_max)
            if self._over:
                raise HttpFailedError("given up")
            connection.sock = self._wire
            connection.request(self._method, self._server.target, self._body, self._headers)
            response = connection.getresponse()
            body = response.read(self._body_max) if self._body_max else b""
            return HttpResponse(response.status, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise HttpFailedError(f"{self._server.host}: {error or type(error).__name__}") from error
        finally:
            if self._wire is not None:
                self._wire.socket.close()
            connection.close()

    def cut(self) -> None:
        """End it wherever it is; nothing happens when it is over. Runs on the loop."""
        self._over = True
        if self._wire is not None:
            self._wire.cut()


class _Wire(io.RawIOBase):
    """What the standard client sees of its socket: one that gives a bounded number of bytes, and none once it is cut.

    Shutting the socket down is not enough: TCP goes on to deliver to a reader what a flooding server sends.
    """

    def __init__(self, connected: socket.socket, bytes_max: int) -> None:
        self.socket = connected
        self._bytes_left = bytes_max
        self._is_cut = False

    def sendall(self, data: bytes) -> None:
        self.socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        if self._is_cut:
            raise OSError("given up")
        if self._bytes_left == 0:
            raise OSError("the answer is too long")
        got = self.socket.recv_into(memoryview(buffer)[: self._bytes_left])
        self._bytes_left -= got
        return got

    def cut(self) -> None:
        self._is_cut = True
        with contextlib.suppress(OSError):
            # Wakes the thread. Not SSLSocket's own, which takes the TLS state away from under the one that reads.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Leave the socket to the exchange: the client closes it before it reads a body."""
