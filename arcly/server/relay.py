"""`arcly relay`: a stream or file to other servers and files."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from collections.abc import Sequence
from itertools import combinations
from os.path import realpath, samefile

from arcly import contract
from arcly._native import StreamKey
from arcly._signals import STOP_SIGNALS, cancelling
from arcly.contract import IngestContext
from arcly.drive import drive_to
from arcly.engine import Engine
from arcly.errors import MisuseError, StreamError
from arcly.link import Link, LinkState, LinkStatus
from arcly.server.said import log_to_stderr, reason_of
from arcly.sinks.file import FileSink
from arcly.sinks.push import PushTarget
from arcly.sources.file import FileSource
from arcly.sources.pull import PullSource

log = logging.getLogger("arcly")

KEY = StreamKey("relay", "stream")

GRACE_S = 86_400.0
"""A day: how long targets are kept while the source is gone. A file is one stream; it must not begin anew."""

ENHANCED = {"auto": None, "always": True, "never": False}


def run(options: argparse.Namespace) -> int:
    """Relay until the source ends or a signal comes; returns the exit status."""
    log_to_stderr(options.log_level)
    try:
        return asyncio.run(relay(options))
    except asyncio.CancelledError:
        log.info("stopped before everything was started")
        return 0
    except (StreamError, OSError) as error:
        log.error("%s", reason_of(error))
        return 1


async def relay(options: argparse.Namespace) -> int:
    """Relay; returns the exit status."""
    check_files([options.source, *options.targets])
    source = source_of(options)
    targets = [target_of(text, options) for text in options.targets]
    engine = Engine(*targets, source)
    over = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        with cancelling(STOP_SIGNALS):
            await stack.enter_async_context(engine)
            watching = asyncio.create_task(watch(engine, source, targets, over))
            stack.callback(watching.cancel)
            await engine.until_signal(over)
    return 1 if any([has_failed(thing) for thing in (source, *targets)]) else 0


def check_files(names: Sequence[str]) -> None:
    """Look that a file is named once: a target would empty the source, or two write into one file.

    Raises:
        MisuseError: one is named twice.
    """
    for name, other in combinations([name for name in names if not is_url(name)], 2):
        if is_same_file(name, other):
            raise MisuseError(f"{name} and {other} are the same file: each needs one of its own")


def is_same_file(name: str, other: str) -> bool:
    """Return whether both name one file, which need not be there yet."""
    try:
        return samefile(name, other)
    except OSError:
        return realpath(name) == realpath(other)


def is_url(text: str) -> bool:
    """Return whether it is no file."""
    return "://" in text


def reach(options: argparse.Namespace) -> dict[str, object]:
    """Return how remotes are reached."""
    return {"retries_max": options.retries, "ca_file": options.ca_file, "verify": not options.insecure}


def source_of(options: argparse.Namespace) -> PullSource | FileSource:
    """Return what `SRC` names."""
    if is_url(options.source):
        return PullSource(options.source, KEY, grace_s=GRACE_S, **reach(options))  # type: ignore[arg-type]
    return FileSource(options.source, KEY, loop=options.loop)


def target_of(text: str, options: argparse.Namespace) -> PushTarget | FileTarget:
    """Return what a `DST` names."""
    if is_url(text):
        return PushTarget(text, KEY, enhanced=ENHANCED[options.enhanced], **reach(options))  # type: ignore[arg-type]
    return FileTarget(text)


def has_failed(thing: PullSource | FileSource | PushTarget | FileTarget) -> bool:
    """Return whether a source or target was given up, or nothing could be sent to it; says what was sent."""
    if isinstance(thing, FileSource):
        if thing.error is not None:
            log.error("[file] the source was given up: %s", thing.error)
        return thing.error is not None
    status = thing.status
    if isinstance(thing, PushTarget):
        sent = (
            f"{status.frames} frames, {status.bytes / 1e6:.1f} MB, {status.skipped} skipped, {status.retries} retries"
        )
        log.info("[push] sent to %s: %s", way(thing), sent)
        return status.state is LinkState.FAILED or status.frames == 0
    return status.state is LinkState.FAILED


def way(target: PushTarget) -> str:
    """Return where it went: its URL, and where the remote has sent it on to."""
    first, last = str(target), target.status.remote
    return first if last in ("", first) else f"{first}, then {last}"


async def watch(
    engine: Engine,
    source: PullSource | FileSource,
    targets: Sequence[PushTarget | FileTarget],
    over: asyncio.Event,
) -> None:
    """Set `over` when there is nothing left to do: the file has ended and was sent, the source is given up, or every
    target is.
    """
    waits = [asyncio.create_task(until_failed(targets))]
    if isinstance(source, PullSource):
        waits.append(asyncio.create_task(until_failed([source])))
    else:
        waits.append(asyncio.create_task(until_sent(engine, targets)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    over.set()


async def until_failed(links: Sequence[Link]) -> None:
    """Wait until all of them are given up."""
    for link in links:
        async for status in link.changes():
            if status.state is LinkState.FAILED:
                break


async def until_sent(engine: Engine, targets: Sequence[Link]) -> None:
    """Wait until the stream has ended and no target is busy with it."""
    events = engine.events()
    while engine.get_stream(KEY) is not None:
        await anext(events)
    await events.aclose()
    for target in targets:
        async for status in target.changes():
            if status.state in (LinkState.WAITING, LinkState.STOPPED, LinkState.FAILED):
                break


class FileTarget(Link):
    """Writes the stream into a file, from its beginning to its end."""

    name = "file"

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._sink = FileSink(path)
        self._state = LinkState.WAITING
        self._shutdown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def status(self) -> LinkStatus:
        """What it is doing."""
        return LinkStatus(self._state)

    async def start(self, context: IngestContext) -> None:
        """Wait for the stream."""
        self._task = asyncio.create_task(self._write(context))

    async def stop(self) -> None:
        """Write what there is and close the file."""
        self._shutdown.set()
        if self._task is not None:
            await self._task

    async def _write(self, context: IngestContext) -> None:
        stream = await self._stream(context)
        if stream is None:
            return
        await self._enter(LinkState.RUNNING)
        try:
            frames = await drive_to(stream, self._sink, self._shutdown)
        except (StreamError, OSError) as error:
            log.error("[file] %s was given up: %s", self._path, error)
            await self._enter(LinkState.FAILED)
            return
        if not self._sink.paths:
            log.error("[file] nothing was written to %s: the stream had no frame for it", self._path)
            await self._enter(LinkState.FAILED)
            return
        log.info("[file] wrote %d frames to %s", frames, ", ".join(map(str, self._sink.paths)))
        await self._enter(LinkState.STOPPED)

    async def _stream(self, context: IngestContext) -> contract.StreamHandle | None:
        """Return the stream as soon as it is there, or None when it is time to stop."""
        events = context.events()
        stopping = asyncio.create_task(self._shutdown.wait())
        try:
            while (stream := context.get_stream(KEY)) is None:
                event = asyncio.ensure_future(anext(events))
                await asyncio.wait([event, stopping], return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    event.cancel()
                    return None
            return stream
        finally:
            stopping.cancel()
            await events.aclose()

    async def _enter(self, state: LinkState) -> None:
        self._state = state
        await self._tell()
