"""What is in a media file or stream: tracks, GOPs, bit rates, and what is wrong with its timestamps."""

from __future__ import annotations

import time
from pathlib import Path

from arcly.probe.report import Fault, GopReport, Report, TrackReport
from arcly.probe.survey import Survey, survey_file
from arcly.probe.web import survey_http

__all__ = ["Fault", "GopReport", "Report", "Survey", "TrackReport", "probe"]


def probe(source: str | Path, *, seconds: float | None = None) -> Report:
    """Read a media file, what an HTTP URL serves, or a live stream, and return what is in it. Memory does not grow with
    its length. It blocks: from a coroutine, call it by `asyncio.to_thread`.

    Args:
        source: path of an MPEG-TS, FLV or MP4 file; an `http[s]://` URL of one, live or not, with user and password if
            need be: where it breaks off behind the first frames, a note of the report says so; or an
            `rtmp[s]://`, `rtsp[s]://`, `srt://`, `udp://` or `rtp://` URL of a live stream, as `PullSource` takes it.
        seconds: stop after so many seconds of wall clock; default None: at the end, but a live stream that is not HTTP
            after 10 s of media.

    Raises:
        OSError: it cannot be read.
        UnsupportedError: it is none of these, holds nothing that arcly can carry, or the URL is of another kind.
        MalformedError: it is broken beyond use.
        MisuseError: a URL is not complete.
    """
    scheme, is_url, _ = str(source).partition("://")
    scheme = scheme.lower() if is_url else ""
    if scheme not in ("", "http", "https"):
        # A file needs no engine.
        import asyncio

        from arcly.probe.live import survey_live

        return asyncio.run(survey_live(str(source), seconds))
    end = None if seconds is None else time.monotonic() + seconds
    return survey_http(str(source), end) if scheme else survey_file(source, end)
