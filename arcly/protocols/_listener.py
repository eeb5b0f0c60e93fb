"""What the protocols have in common that listen for publishers and players."""

from __future__ import annotations

import logging
from typing import Generic, Protocol, TypeVar

from arcly._address import resolve, show
from arcly._desk import PublishDesk
from arcly._gate import PlayGate
from arcly._inbox import InboxReader
from arcly._limits import require_between
from arcly._loop import woken
from arcly._native import Inbox, PlayRequest, PublishRequest, WakeToken
from arcly.contract import IngestContext
from arcly.viewer import RawViewer, Viewer

log = logging.getLogger("arcly")


CONNECTIONS_MAX = 1 << 31
"""More connections than a machine can have."""


class NativeListener(Protocol):
    """The native half of a listener."""

    @property
    def addr(self) -> tuple[str, int]:
        """Where it listens."""

    def viewers(self) -> list[RawViewer]:
        """Return who plays."""

    def kick(self, viewer: int) -> bool:
        """End a viewer."""

    def stop(self, done: WakeToken) -> None:
        """Stop, and wake `done` then."""


N = TypeVar("N", bound=NativeListener)


class Listener(Generic[N]):
    """Starts and stops a native listener, and answers its requests. A protocol says how it is made: `listen`.

    Args:
        bind: `HOST:PORT`.
        decision_deadline_s: seconds that the decision on a publish may take.
        connections_max: connections at a time; 0 to 2^31.

    Raises:
        MisuseError: `connections_max` is out of range.
    """

    name: str
    """How it is called in logs."""

    def __init__(self, bind: str, *, decision_deadline_s: float, connections_max: int) -> None:
        require_between("connections_max", connections_max, 0, CONNECTIONS_MAX)
        self._bind = bind
        self._connections_max = connections_max
        self._decision_deadline_s = decision_deadline_s
        self._listener: N | None = None
        self._inbox: InboxReader | None = None
        self._desk: PublishDesk | None = None
        self._gate: PlayGate | None = None

    def listen(self, context: IngestContext, inbox: Inbox, address: str) -> N:
        """Return a listener at `address`, an IP and a port, whose requests go to `inbox`.

        Raises:
            ListenError: the address cannot be had.
        """
        raise NotImplementedError

    @property
    def address(self) -> tuple[str, int] | None:
        """IP and port that are listened on; None while it does not run."""
        return self._listener.addr if self._listener else None

    def list_viewers(self) -> list[Viewer]:
        """Return who plays here, by age."""
        return [Viewer(*fields) for fields in self._listener.viewers()] if self._listener else []

    def kick(self, viewer: int) -> bool:
        """End a viewer by its `Viewer.id`, within a second; False when it is not there."""
        return self._listener is not None and self._listener.kick(viewer)

    async def start(self, context: IngestContext) -> None:
        """Listen.

        Raises:
            ListenError: the address cannot be had.
            MisuseError: `bind` is no address.
        """
        address = await resolve(self._bind)
        self._desk = PublishDesk(context, deadline_s=self._decision_deadline_s)
        self._gate = PlayGate(context)
        self._inbox = InboxReader(self.name, self._on_publish, play=self._on_play)
        self._listener = self.listen(context, self._inbox.inbox, address)
        log.info("[%s] listening on %s", self.name, show(self._listener.addr))

    def prepare(self, request: PublishRequest | PlayRequest) -> None:
        """Look at a request before it is decided on. Does nothing here."""

    def _on_publish(self, request: PublishRequest) -> None:
        if self._desk is not None:
            if not request.has_leave:
                self.prepare(request)
            self._desk.decide(request)

    def _on_play(self, request: PlayRequest) -> None:
        if self._gate is not None:
            self.prepare(request)
            self._gate.decide(request)

    async def stop(self) -> None:
        """Stop listening and disconnect everybody."""
        if self._listener is not None:
            await woken(self._listener.stop)
            self._listener = None
        if self._desk is not None:
            self._desk.close()
            self._desk = None
        if self._gate is not None:
            self._gate.close()
            self._gate = None
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None
