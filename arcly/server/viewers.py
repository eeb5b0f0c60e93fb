"""Who watches over a connection of its own, on all listeners together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from arcly.protocols.srt import SrtConnection, SrtHandler
from arcly.viewer import Viewer

SHOWN_MAX = 100
"""Viewers of one stream that are told of, the newest: a page that is open asks once a second."""

KEPT_S = 0.5
"""How long a list is good for: pages that ask at the same time cost as much as one."""


class Listener(Protocol):
    """What viewers come to: an `RtmpHandler` or an `HttpOrigin`."""

    def list_viewers(self) -> list[Viewer]:
        """Return who watches, by age."""

    def kick(self, viewer: int) -> bool:
        """End a viewer by its number."""


class Viewers:
    """The viewers of some listeners, each named by its listener and its number there: `http:7`.

    Args:
        listeners: by name.
        may_kick: whether whoever asks may end a viewer.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        listeners: Mapping[str, Listener],
        *,
        may_kick: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.may_kick = may_kick
        self._listeners = dict(listeners)
        self._clock = clock
        self._kept: dict[str, list[dict[str, Any]]] = {}
        self._kept_since = float("-inf")

    def status(self, stream: str) -> dict[str, Any]:
        """Return the body of `/api/viewers`, ready for JSON: the newest viewers of `stream` (`live/cam`), by age."""
        now = self._clock()
        if now - self._kept_since >= KEPT_S:
            self._kept, self._kept_since = self._list(), now
        viewers = self._kept.get(stream, [])
        return {
            "total": len(viewers),
            "may_kick": self.may_kick,
            "viewers": viewers[-SHOWN_MAX:],
            "srt": self._srt(stream)[-SHOWN_MAX:],
        }

    def kick(self, name: str) -> bool:
        """End the viewer with that name; False when it is not there, or may not be ended."""
        listener, _, number = name.partition(":")
        if not self.may_kick or listener not in self._listeners or not number.isdecimal() or len(number) > 19:
            return False
        return self._listeners[listener].kick(int(number))

    def _srt(self, stream: str) -> list[dict[str, Any]]:
        """Return how the SRT connections of a stream are, its publisher's too, by age."""
        handlers = [listener for listener in self._listeners.values() if isinstance(listener, SrtHandler)]
        connections = [it for handler in handlers for it in handler.list_connections() if str(it.key) == stream]
        connections.sort(key=lambda connection: connection.since_unix_ms)
        return [srt_status(connection) for connection in connections]

    def _list(self) -> dict[str, list[dict[str, Any]]]:
        everybody = [(name, viewer) for name, it in self._listeners.items() for viewer in it.list_viewers()]
        everybody.sort(key=lambda named: named[1].since_unix_ms)
        by_stream: dict[str, list[dict[str, Any]]] = {}
        for name, viewer in everybody:
            by_stream.setdefault(str(viewer.key), []).append(viewer_status(name, viewer))
        return by_stream


def srt_status(connection: SrtConnection) -> dict[str, Any]:
    """Return what is told of one SRT connection."""
    return {
        "id": connection.id,
        "role": connection.role,
        "peer": connection.peer,
        "version": connection.version,
        "since_ms": connection.since_unix_ms,
        **connection.stats,
    }


def viewer_status(listener: str, viewer: Viewer) -> dict[str, Any]:
    """Return what is told of one viewer."""
    return {
        "id": f"{listener}:{viewer.id}",
        "protocol": viewer.protocol,
        "peer": viewer.peer,
        "agent": viewer.agent,
        "since_ms": viewer.since_unix_ms,
        "bytes": viewer.bytes,
        "frames": viewer.frames,
        "dropped": viewer.dropped,
        "lag_frames": viewer.lag_frames,
    }
