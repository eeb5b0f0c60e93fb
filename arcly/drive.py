"""Drivers: what carries frames between streams and the sources, sinks and muxers of a host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence

from arcly._native import StreamKey, Track
from arcly.contract import MediaFrame, MediaSink, MediaSource, Muxer, PublishRegistry, PublishSession, StreamHandle


async def pump_source(
    registry: PublishRegistry,
    key: StreamKey,
    source: MediaSource,
    *,
    protocol: str = "python",
    shutdown: asyncio.Event | None = None,
) -> int:
    """Publish every frame of `source` as `key`; return how many that were. The publish ends with the source, whatever
    happens, and the stream with it, unless it waits for another publisher (`AppSpec.reconnect_grace_s`; see
    `Engine.end_stream`). No authenticator is asked.

    Args:
        registry: where it is published: an `Engine`, the context of a handler, a registry of your own.
        key: as what.
        source: where the frames come from.
        protocol: what the stream says of how it comes in.
        shutdown: ends the publish when it is set.

    Raises:
        AlreadyPublishingError, LimitExceededError, NotFoundError: the registry refused.
        ClosedError: the stream was ended by somebody else.
        Exception: whatever the source raises, after the publish has ended.
    """
    return await pump_into(await registry.start_publish(key, protocol=protocol), source, shutdown)


async def pump_into(session: PublishSession, source: MediaSource, shutdown: asyncio.Event | None = None) -> int:
    """Publish every frame of `source` by `session`, which is ended then; otherwise as `pump_source`."""
    frames, reason = 0, "the source has ended"
    try:
        async with Stoppable(source.frames(), shutdown) as reader:
            async for frame in reader:
                session.send(frame)
                frames += 1
            if reader.stopped:
                reason = "shut down"
    except BaseException as error:
        reason = f"the source failed: {error!r}"
        raise
    finally:
        session.end(reason)
    return frames


async def drive_to(stream: StreamHandle, sink: MediaSink, shutdown: asyncio.Event | None = None) -> int:
    """Hand every frame of `stream` to `sink`, from the newest key frame on; return how many that were.

    It ends with the stream, when the sink has enough, or when `shutdown` is set: a `send` that has begun is finished.
    The sink is closed then, whatever has happened. Nothing is lost or handed over twice between what the stream still
    had and what comes live, however slow the sink begins: both are read by one cursor, which is made before this
    waits for anything. A sink that stays slower than the stream skips frames; the next one has `is_discontinuity`.

    Raises:
        Exception: whatever the sink raises, after it was closed.
    """
    return await SinkDriver(stream, sink).run(shutdown)


class SinkDriver:
    """A stream and the sink that it feeds. Unlike `drive_to` it reads from the moment it is made."""

    def __init__(self, stream: StreamHandle, sink: MediaSink) -> None:
        self.frames = 0
        """Frames handed over so far."""
        self._sink = sink
        self._reader = stream.subscribe()

    async def run(self, shutdown: asyncio.Event | None = None) -> int:
        """Hand frames over, as `drive_to` does. Once."""
        try:
            async with Stoppable(self._reader, shutdown) as reader:
                async for frame in reader:
                    enough = await self._sink.send(frame) is False
                    self.frames += 1
                    if enough:
                        break
        finally:
            await self._sink.close()
        return self.frames


class Stoppable:
    """Frames, until there are no more or an event is set. Only the waiting for a frame is interrupted by that, never
    what is done with one.
    """

    def __init__(self, frames: AsyncIterable[MediaFrame], shutdown: asyncio.Event | None) -> None:
        self.stopped = False
        """Whether the event ended it."""
        self._frames = frames
        self._reader = aiter(frames)
        self._shutdown = shutdown
        self._watching: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Stoppable:
        """Watch the event."""
        if self._shutdown is not None:
            self._watching = asyncio.create_task(self._watch(self._shutdown))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of frames and event."""
        if self._watching is not None:
            self._watching.cancel()
        close = getattr(self._frames, "close", None) or getattr(self._reader, "aclose", None)
        if close is not None and isinstance(closing := close(), Awaitable):
            await closing

    async def _watch(self, shutdown: asyncio.Event) -> None:
        await shutdown.wait()
        self.stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    def __aiter__(self) -> AsyncIterator[MediaFrame]:
        """Iterate."""
        return self

    async def __anext__(self) -> MediaFrame:
        """Return the next frame."""
        if self.stopped:
            raise StopAsyncIteration
        self._waiting = asyncio.current_task()
        try:
            return await anext(self._reader)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.stopped or task is None or task.uncancel() > 0:
                raise  # Somebody else cancels, perhaps as well.
            raise StopAsyncIteration from None
        finally:
            self._waiting = None


class MuxSink:
    """A `MediaSink` that writes the bytes of a container format.

    Args:
        muxer: makes them.
        write: takes them, in order.
    """

    def __init__(self, muxer: Muxer, write: Callable[[bytes], Awaitable[object]]) -> None:
        self._muxer = muxer
        self._write = write
        self._tracks: Sequence[Track] | None = None

    async def send(self, frame: MediaFrame) -> None:
        """Write one frame, and before it what a change of tracks needs."""
        tracks = tuple(frame.tracks)
        if tracks != self._tracks:
            self._tracks = tracks
            await self._put(self._muxer.set_tracks(tracks))
        await self._put(self._muxer.write(frame))

    async def close(self) -> None:
        """Write the end."""
        if self._tracks is not None:
            await self._put(self._muxer.finish())

    async def _put(self, data: bytes) -> None:
        if data:
            await self._write(data)


__all__ = ["MuxSink", "SinkDriver", "drive_to", "pump_into", "pump_source"]
