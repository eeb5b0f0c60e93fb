"""Publishing the rungs of an ABR ladder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack

from arcly._native import StreamKey
from arcly.contract import MediaFrame, PublishRegistry, PublishSession, Rendition, StreamHandle, Transcoder
from arcly.drive import SinkDriver
from arcly.errors import MisuseError
from arcly.events import StreamEventKind

RENDITIONS_MAX = 16
"""Rungs of one ladder."""


def rung_key(key: StreamKey, rendition: Rendition) -> StreamKey:
    """Return where a rendition of `key` is published: `live/cam~720p`."""
    return StreamKey(key.app, f"{key.stream}~{rendition.name}")


async def drive_ladder(
    registry: PublishRegistry,
    stream: StreamHandle,
    transcoder: Transcoder,
    *,
    shutdown: asyncio.Event | None = None,
) -> int:
    """Feed `stream` to `transcoder` and publish each of its renditions as a stream of its own, `live/cam~720p`; return
    how many frames were published.

    It ends with the stream or when `shutdown` is set. Whatever happens, the publishes of all rungs end with it, also
    those that were begun when another one was refused. The rungs end with these, unless they wait for another publisher
    (`AppSpec.reconnect_grace_s`; see `Engine.end_stream`).

    Raises:
        MisuseError: there are no renditions, more than 16, or two of one name.
        AlreadyPublishingError, LimitExceededError, NotFoundError: the registry refused a rung.
        Exception: whatever the transcoder raises.
    """
    renditions = list(transcoder.renditions)
    names = [rendition.name for rendition in renditions]
    if not 1 <= len(renditions) <= RENDITIONS_MAX or len(set(names)) < len(names):
        raise MisuseError(f"a ladder has 1 to {RENDITIONS_MAX} renditions of different names, not {names}")
    rungs = Rungs(transcoder)
    driver = SinkDriver(stream, rungs)  # It reads from here on: what comes while rungs are opened is not lost.
    emit = getattr(registry, "emit", None) or (lambda *_: None)
    with ExitStack() as stack:
        for rendition in renditions:
            session = await registry.start_publish(rung_key(stream.key, rendition), protocol="transcode")
            stack.callback(session.end, "its ladder has ended")
            rungs.sessions[rendition.name] = session
        emit(StreamEventKind.TRANSCODING_STARTED, stream.key, ", ".join(names))
        try:
            await driver.run(shutdown)
        except BaseException as error:
            emit(StreamEventKind.TRANSCODING_ENDED, stream.key, f"failed: {error!r}")
            raise
        emit(StreamEventKind.TRANSCODING_ENDED, stream.key, "the stream has ended")
    return rungs.frames


class Rungs:
    """A `MediaSink` that hands what a transcoder makes to the rung it belongs to."""

    def __init__(self, transcoder: Transcoder) -> None:
        self.sessions: dict[str, PublishSession] = {}
        self.frames = 0
        self._transcoder = transcoder
        self._failed = False

    async def send(self, frame: MediaFrame) -> None:
        """Transcode and publish."""
        self._failed = True  # Until the opposite is known.
        self._publish(await self._transcoder.transcode(frame))
        self._failed = False

    async def close(self) -> None:
        """Publish what is left."""
        if not self._failed:
            self._publish(await self._transcoder.flush())

    def _publish(self, made: Iterable[tuple[Rendition, MediaFrame]]) -> None:
        for rendition, frame in made:
            self.sessions[rendition.name].send(frame)
            self.frames += 1
