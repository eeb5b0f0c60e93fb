"""Reading a live stream of another server for some seconds, counting."""

from __future__ import annotations

import asyncio

from arcly._native import StreamKey
from arcly.engine import Engine
from arcly.link import LinkState
from arcly.probe.report import Report
from arcly.probe.survey import Survey
from arcly.sources.pull import PullSource

KEY = StreamKey("probe", "stream")

LIVE_S = 10.0
"""How long a stream that has no end is read where nothing else is said."""

MEDIA_TIMEOUT_S = 15.0
"""How long the first media is waited for."""


async def survey_live(url: str, seconds: float | None) -> Report:
    """Play what is at `url` for so many seconds, 10 if None, or to its end; return what came.

    Raises:
        MisuseError: `url` is none that `PullSource` plays.
        OSError: it cannot be played; TimeoutError: no media came.
    """
    source = PullSource(url, KEY, grace_s=0, retries_max=0)
    survey = Survey(str(source), url.partition(":")[0].lower())
    async with Engine(source) as engine:
        await _until_media(source)
        stream = engine.get_stream(KEY)
        if stream is None:
            raise ConnectionError(f"{source}: {source.last_error or 'it ended at once'}")
        subscription = stream.subscribe()
        try:
            async with asyncio.timeout(LIVE_S if seconds is None else seconds):
                async for frames in subscription.batches():
                    survey.add(frames)
        except TimeoutError:
            pass
        missed, status = subscription.missed, source.status
        subscription.close()
    return survey.report(bytes_read=status.bytes, broken=missed, problem="too slow to read it" if missed else None)


async def _until_media(source: PullSource) -> None:
    """Wait until media comes."""
    try:
        async with asyncio.timeout(MEDIA_TIMEOUT_S):
            async for status in source.changes():
                if status.state is LinkState.RUNNING:
                    return
                if status.state is LinkState.FAILED:
                    raise ConnectionError(f"{source}: {status.last_error}")
    except TimeoutError:
        raise TimeoutError(f"{source}: no media within {MEDIA_TIMEOUT_S:g} s") from None
