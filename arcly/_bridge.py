"""Between the native core and a registry that a host has written in Python.

Native listeners publish into a native session and native packagers read a native log. Where the host's registry has
sessions and streams of its own, a private native stream stands in between, and a task carries the frames: slower,
through the buffer protocol, and otherwise the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

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


def native_session(session: contract.PublishSession) -> PublishSession:
    """Return a session for a native listener to take over: `session` itself, or one whose frames are carried to it."""
    if isinstance(session, PublishSession):
        return session
    private = private_session(session.key)
    stream = StreamHandle(private.handle)
    # Its cursor is there before the publisher sends anything: what waited for the decision comes at once.
    _carry(_publish_to(session, stream, stream.subscribe(protocol="bridge")))
    return private


def native_stream(stream: contract.StreamHandle) -> NativeStream:
    """Return a stream that a native packager can read: that of `stream`, or one to which its frames are carried."""
    if isinstance(stream, StreamHandle):
        return stream.native
    private = private_session(stream.key)
    handle = private.handle
    _carry(_read_from(stream, private))
    return handle


def private_session(key: StreamKey) -> PublishSession:
    """Return a session of a stream that nobody sees."""
    engine = NativeEngine(max_publishers=1, default_app=AppSpec().native(), workers=1)
    return engine.start_publish(key, "bridge", None)


def _carry(frames: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(frames)
    _carrying.add(task)
    task.add_done_callback(_carrying.discard)


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
