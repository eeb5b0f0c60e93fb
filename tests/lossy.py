"""A bad network between a client and a server: a UDP relay on a free port that loses, delays and reorders by a seed.

async with lossy(server_port, Network(loss=0.05, delay_s=0.02), seed=7) as link:
    await run("ffmpeg", "-i", f"srt://127.0.0.1:{link.port}", ...)
    assert link.there.lost and link.back.lost

RTSP agrees on ports within itself: `rtsp_lossy` puts those of the relay in their place.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

Address = tuple[str, int]
_Rewrite = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True)
class Network:
    """What happens to the datagrams of one direction."""

    loss: float = 0.0
    """The share that is lost, on the average."""
    burst: float = 1.0
    """How many are lost one after the other, on the average: with 1, chance has no memory."""
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """At most so much is added to the delay, another for every tenth datagram or so; the order stays."""
    reorder: float = 0.0
    """The share that comes `late_s` later than its turn, and so behind others."""
    late_s: float = 0.01
    duplicate: float = 0.0
    """The share that comes twice, the second `late_s` behind the first."""
    bits_per_s: float | None = None
    """What the link carries; none: all there is."""
    queue_bytes: int = 256 << 10
    """What waits in front of it; what finds no room is lost."""


class Path:
    """One direction: says when what comes out. It knows no clock and no socket: equal seeds give equal fates."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network = network
        self.sent = self.lost = self.late = self.doubled = 0
        self._chance = random.Random(seed)
        self._losing = False
        self._free_s = self._last_s = self._jitter_s = 0.0

    def fate(self, now_s: float, size: int) -> list[float]:
        """When a datagram that is sent now comes out: never, once, or twice."""
        net, self.sent = self.network, self.sent + 1
        begins_s = max(now_s, self._free_s)
        waiting_bytes = (begins_s - now_s) * (net.bits_per_s or 0) / 8
        if self._is_lost() or waiting_bytes + size > net.queue_bytes:
            self.lost += 1
            return []
        if net.bits_per_s:
            begins_s = self._free_s = begins_s + size * 8 / net.bits_per_s
        if self._chance.random() < 0.1:
            self._jitter_s = self._chance.uniform(0, net.jitter_s)
        # In order even where the delay sinks faster than time passes.
        turn_s = self._last_s = max(self._last_s, begins_s + net.delay_s + self._jitter_s)
        is_late, is_doubled = self._chance.random() < net.reorder, self._chance.random() < net.duplicate
        self.late, self.doubled = self.late + is_late, self.doubled + is_doubled
        first_s = turn_s + is_late * net.late_s
        return [first_s, first_s + net.late_s] if is_doubled else [first_s]

    def _is_lost(self) -> bool:
        """Two states after Gilbert: in one all is lost, in the other nothing."""
        if self.network.loss == 0:
            return False
        leave = 1 / max(1.0, self.network.burst)
        if self.network.burst <= 1:
            return self._chance.random() < self.network.loss
        enter = leave * self.network.loss / (1 - self.network.loss)
        self._losing = self._chance.random() >= leave if self._losing else self._chance.random() < enter
        return self._losing


class _Socket(asyncio.DatagramProtocol):
    """A socket, whose datagrams go through a path and out of another socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.transport: asyncio.DatagramTransport | None = None
        self._waiting: list[tuple[float, int, bytes, _Socket, Address]] = []
        self._number = itertools.count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def send(self, datagram: bytes, to: Address) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.sendto(datagram, to)

    def carry(self, datagram: bytes, out: _Socket, to: Address) -> None:
        """Give it to `out` when its time has come."""
        loop = asyncio.get_running_loop()
        for due_s in self.path.fate(loop.time(), len(datagram)):
            heapq.heappush(self._waiting, (due_s, next(self._number), datagram, out, to))
            loop.call_at(due_s, self._release, due_s)
        self._release(loop.time())

    def _release(self, now_s: float) -> None:
        # By a heap: the loop keeps no order of what is due at the same time. And it may call early by its resolution.
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, datagram, out, to = heapq.heappop(self._waiting)
            out.send(datagram, to)


class Link(_Socket):
    """The relay, as clients see it. Each of them gets a socket of its own towards the server."""

    def __init__(self, server: Address, there: Network, back: Network, seed: int) -> None:
        super().__init__(Path(there, seed))
        self.server = server
        self.there, self.back = self.path, Path(back, ~seed)
        self._clients: dict[Address, _Toward] = {}

    @property
    def port(self) -> int:
        """What clients dial, on 127.0.0.1."""
        assert self.transport is not None
        return int(self.transport.get_extra_info("sockname")[1])

    def datagram_received(self, datagram: bytes, client: Address) -> None:
        if client in self._clients:
            self.carry(datagram, self._clients[client], self.server)
        else:
            # The first waits for the socket as it would for a slower network.
            asyncio.get_running_loop().create_task(self._meet(datagram, client))

    async def _meet(self, datagram: bytes, client: Address) -> None:
        _, toward = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Toward(self, client), local_addr=("127.0.0.1", 0)
        )
        if client in self._clients:
            toward.close()
        self.carry(datagram, self._clients.setdefault(client, toward), self.server)

    async def rebind(self) -> None:
        """Let the server see another port of each client from now on, as a router does that has forgotten them."""
        for client, before in list(self._clients.items()):
            _, self._clients[client] = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda client=client: _Toward(self, client),  # type: ignore[misc]
                local_addr=("127.0.0.1", 0),
            )
            before.close()

    def close(self) -> None:
        """Close all sockets; what is on its way is lost."""
        for toward in self._clients.values():
            toward.close()
        if self.transport:
            self.transport.close()


class _Toward(_Socket):
    """What the server takes for a client."""

    def __init__(self, link: Link, client: Address) -> None:
        super().__init__(link.back)
        self.link, self.client = link, client

    def datagram_received(self, datagram: bytes, _: Address) -> None:
        self.carry(datagram, self.link, self.client)

    def close(self) -> None:
        if self.transport:
            self.transport.close()


@asynccontextmanager
async def lossy(server_port: int, there: Network, back: Network | None = None, *, seed: int = 1) -> AsyncIterator[Link]:
    """Relay to a port of 127.0.0.1: `there` to the server, `back` from it (none: the same)."""
    _, link = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Link(("127.0.0.1", server_port), there, back or there, seed), local_addr=("127.0.0.1", 0)
    )
    try:
        yield link
    finally:
        link.close()


class _End(_Socket):
    """One of the two sockets in the place of a port: what comes goes on from the other one, to whoever is behind it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.other: _End = self
        self.peer: Address | None = None

    def datagram_received(self, datagram: bytes, _: Address) -> None:
        if self.other.peer:
            self.carry(datagram, self.other, self.other.peer)

    @property
    def port(self) -> int:
        assert self.transport is not None
        return int(self.transport.get_extra_info("sockname")[1])


class RtspLink:
    """A relay of RTSP whose datagrams have a bad way."""

    def __init__(self, server_port: int, there: Network, back: Network, seed: int) -> None:
        self.server_port = server_port
        self.there, self.back = Path(there, seed), Path(back, ~seed)
        self.port = 0
        self._ends: list[tuple[_End, _End]] = []
        self._agreed: list[tuple[_End, _End]] = []

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Carry one connection until one of the two closes it."""
        server, to_server = await asyncio.open_connection("127.0.0.1", self.server_port)
        both = [self._carry(client, to_server, self._ask), self._carry(server, to_client, self._answer)]
        await asyncio.gather(*both, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rewrite: _Rewrite) -> None:
        try:
            while first := await reader.readexactly(1):
                if first == b"$":
                    # A packet between the messages (RFC 2326 §10.12).
                    frame = await reader.readexactly(3)
                    writer.write(first + frame + await reader.readexactly(int.from_bytes(frame[1:], "big")))
                    continue
                head = first + await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *([0-9]+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                writer.write(await rewrite(head) + body)
                await writer.drain()
        finally:
            writer.close()

    async def _ask(self, head: bytes) -> bytes:
        """Hear for the client what the server sends to its ports."""
        if not (wish := re.search(rb"client_port=([0-9]+)-([0-9]+)", head)):
            return head
        self._agreed = [await self._pair(int(port)) for port in wish.groups()]
        ports = b"-".join(str(behind.port).encode() for _, behind in self._agreed)
        return head.replace(wish[0], b"client_port=" + ports)

    async def _answer(self, head: bytes) -> bytes:
        """Hear for the server what the client sends to its ports."""
        if not (told := re.search(rb"server_port=([0-9]+)-([0-9]+)", head)):
            return head
        for (_, behind), port in zip(self._agreed, told.groups(), strict=True):
            behind.peer = ("127.0.0.1", int(port))
        ports = b"-".join(str(front.port).encode() for front, _ in self._agreed)
        asked = b"-".join(str(front.peer[1] if front.peer else 0).encode() for front, _ in self._agreed)
        head = re.sub(rb"client_port=[0-9]+-[0-9]+", b"client_port=" + asked, head)
        return head.replace(told[0], b"server_port=" + ports)

    async def _pair(self, client_port: int) -> tuple[_End, _End]:
        loop, local = asyncio.get_running_loop(), ("127.0.0.1", 0)
        _, front = await loop.create_datagram_endpoint(lambda: _End(self.there), local_addr=local)
        _, behind = await loop.create_datagram_endpoint(lambda: _End(self.back), local_addr=local)
        front.other, behind.other, front.peer = behind, front, ("127.0.0.1", client_port)
        self._ends.append((front, behind))
        return front, behind

    def close(self) -> None:
        """Close all ports."""
        for end in itertools.chain(*self._ends):
            if end.transport:
                end.transport.close()


@asynccontextmanager
async def rtsp_lossy(
    server_port: int, there: Network, back: Network | None = None, *, seed: int = 1
) -> AsyncIterator[RtspLink]:
    """Relay RTSP to a port of 127.0.0.1; datagrams go `there` to the server, `back` from it (none: the same)."""
    link = RtspLink(server_port, there, back or there, seed)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    link.port = int(server.sockets[0].getsockname()[1])
    try:
        async with server:
            yield link
    finally:
        link.close()
