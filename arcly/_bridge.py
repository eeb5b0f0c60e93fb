"""Between the native core and a registry that a host has written in Python.

Native listeners publish into a native session and native packagers read a native log. Where the host's registry has
sessions and streams of its own, a private native stream stands in between, and a task carries the frames: slower,
through the buffer protocol, and otherwise the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Self
from weakref import ref

from arcly import contract
from arcly._native import Engine as NativeEngine
from arcly._native import PublishSession, StreamKey
from arcly._native import StreamHandle as NativeStream
from arcly.app import AppSpec
from arcly.errors import ClosedError, StreamError
from arcly.stream import StreamHandle
from arcly.subscription import Subscription

log = logging.getLogger("arcly")

_carrying: set[asyncio.Task[None]] = set()

_carriers: dict[tuple[int, int], Carrier] = {}
"""Of streams of a host that somebody holds a lease of, by their identity and their session."""


def native_session(session: contract.PublishSession) -> PublishSession:
    """Return a session for a native listener to take over: `session` itself, or one whose frames are carried to it."""
    if isinstance(session, PublishSession):
        return session
    private = private_session(session.key)
    stream = StreamHandle(private.handle)
    # Its cursor is there before the publisher sends anything: what waited for the decision comes at once.
    _carry(_publish_to(session, stream, stream.subscribe(protocol="bridge")))
    return private


def native_stream(stream: contract.StreamHandle) -> tuple[NativeStream, Lease]:
    """Return a stream that a native packager can read, and a lease to be closed when it does so no more.

    It is that of `stream`, or one to which its frames are carried, once for all who hold a lease.
    """
    if isinstance(stream, StreamHandle):
        return stream.native, Lease()
    carrier = _carriers.get((id(stream), stream.session)) or Carrier(stream)
    return carrier.native, Lease(carrier)


class Carrier:
    """Carries the frames of a host's stream to a native one, as long as somebody holds a lease.

    Whether they read is not asked: what serves players holds one from their first until the stream ends or it stops.
    """

    def __init__(self, stream: contract.StreamHandle) -> None:
        self._holders = 0
        self._stream, self._private = stream, private_session(stream.key)
        self.native = self._private.handle
        self._place = (id(stream), stream.session)
        _carriers[self._place] = self
        self._task = _carry(_read_from(stream, self._private))
        self._task.add_done_callback(self._leave)

    def hold(self) -> None:
        """Count one holder more."""
        self._holders += 1

    def release(self) -> None:
        """Count one holder less; the last ends it. What a stream still had when it ended is carried all the same."""
        self._holders -= 1
        if self._holders == 0 and not self._stream.closed:
            self._leave()
            self._task.cancel()
            self._private.end("nobody reads it any more")

    def _leave(self, _: object = None) -> None:
        if _carriers.get(self._place) is self:
            del _carriers[self._place]


class Lease:
    """The use of a stream by a native reader. Keeps nothing of one that has ended."""

    def __init__(self, carrier: Carrier | None = None) -> None:
        self._carrier = None if carrier is None else ref(carrier)
        if carrier is not None:
            carrier.hold()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to give back: there never was, or the stream has ended."""
        return self._carrier is None or self._carrier() is None

    def close(self) -> None:
        """Give it back. Idempotent."""
        held, self._carrier = self._carrier, None
        carrier = None if held is None else held()
        if carrier is not None:
            carrier.release()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self.close()


def private_session(key: StreamKey) -> PublishSession:
    """Return a session of a stream that nobody sees."""
    engine = NativeEngine(max_publishers=1, default_app=AppSpec().native(), workers=1)
    return engine.start_publish(key, "bridge", None)


def _carry(frames: Coroutine[None, None, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(frames)
    _carrying.add(task)
    task.add_done_callback(_carrying.discard)
    return task


async def _publish_to(session: contract.PublishSession, stream: StreamHandle, subscription: Subscription) -> None:
    """Carry the frames of a native publisher to the host's session."""
    reason = "the publisher is gone"
    try:
        async with subscription:
            async for frame in subscription:
                session.send(frame)
    except ClosedError:
        reason = "the stream was ended by its registry"
    except Exception:
        log.exception("the registry of the host failed while %s was being published", stream.key)
        reason = "an error of the registry"
    finally:
        # Its publisher is told: the native stream has ended.
        stream.close()
        session.end(reason)


async def _read_from(stream: contract.StreamHandle, private: PublishSession) -> None:
    """Carry the frames of the host's stream to a native log."""
    try:
        async for frame in stream.subscribe():
            private.send(frame)
    except ClosedError:
        pass
    except StreamError as error:
        log.warning("%s cannot be packaged any more: %s", stream.key, error)
    except Exception:
        log.exception("the registry of the host failed while %s was being read", stream.key)
    finally:
        private.end("the stream has ended")
