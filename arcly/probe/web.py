"""Reading what a web server sends, counting."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead, InvalidURL
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from arcly._native import Demuxer, __version__, sniff
from arcly.errors import MalformedError, MisuseError, UnsupportedError
from arcly.probe.report import Report
from arcly.probe.survey import Survey

READ_BYTES = 256 << 10

SNIFFED_BYTES = 4096
"""By so many the container is known."""

SILENCE_S = 10.0
"""How long an answer, and more of it, is waited for."""


def survey_http(url: str, end: float | None) -> Report:
    """Read what a web server sends, until `end` of the monotonic clock at most.

    Raises:
        ConnectionError: it sends no media.
        MisuseError: `url` is none.
        UnsupportedError, MalformedError: what it sends is nothing that can be read.
    """
    request, name = asked(url)
    cut: str | None = None
    with named(name), urlopen(request, timeout=SILENCE_S) as response:
        beginning = response.read(SNIFFED_BYTES)
        format = sniff(beginning)
        if format is None:
            raise UnsupportedError("neither MPEG-TS, FLV nor MP4")
        demuxer, survey, bytes_read = Demuxer(format), Survey(name, format), 0
        try:
            for piece in pieces(beginning, response):
                bytes_read += len(piece)
                survey.add(demuxer.feed(piece))
                if end is not None and time.monotonic() > end:
                    break
            else:
                survey.add(demuxer.finish())
        except (OSError, HTTPException) as error:
            if survey.is_empty:
                raise
            cut = reason_of(error)
        except MalformedError as error:
            with contextlib.suppress(MalformedError):
                survey.add(demuxer.finish())  # The frames in front of it wait there.
            if survey.is_empty:
                raise
            cut = str(error)
    return survey.report(bytes_read=bytes_read, broken=demuxer.broken, problem=demuxer.problem, cut=cut)


def asked(url: str) -> tuple[Request, str]:
    """Return what is asked for, and how it is called: without user, password and query, which are or may be secret.

    Raises:
        MisuseError: `url` is none.
    """
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:  # The port is no number, a bracket is not closed.
        is_whole = False
    if not is_whole:
        raise MisuseError("a URL of HTTP is of the form http://HOST:PORT/PATH")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
    request = Request(urlunsplit(bare), headers={"User-Agent": f"arcly/{__version__}"})
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        # It is not for a server to which this one may send us.
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    return request, urlunsplit(bare._replace(query=""))


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Say of what a server of the web does wrong where it was."""
    try:
        yield
    except (MalformedError, UnsupportedError) as error:
        raise type(error)(f"{name}: {error}") from None
    except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: of a host that no name can be of.
        if isinstance(error, HTTPError):
            error.close()
        raise ConnectionError(f"{name}: {reason_of(error)}") from None


def pieces(beginning: bytes, response: Any) -> Iterator[bytes]:
    """Return what there is of an answer, as it comes."""
    piece = beginning
    while piece:
        yield piece
        piece = response.read1(READ_BYTES)
    if response.length:  # Of an answer that says how long it is, an end before that is not told otherwise.
        raise IncompleteRead(b"", response.length)


def reason_of(error: Exception) -> str:
    """Return why, in a few words for a person."""
    if isinstance(error, HTTPError):
        return f"{error.code} {error.reason}"
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"nothing came for {SILENCE_S:g} s"
    if isinstance(cause, IncompleteRead):
        return "the connection was closed before the end"
    if isinstance(cause, InvalidURL):
        return "characters in the URL that have to be percent-encoded"
    return getattr(cause, "strerror", None) or str(cause)
