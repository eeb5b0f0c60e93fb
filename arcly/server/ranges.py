"""Byte ranges (RFC 9110 §14) of what is made while it is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

PIECE_BYTES = 1 << 20
"""Read and sent at a time."""

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def wants_all(value: str | None) -> bool:
    """Return whether `parse_range` has all bytes for it, or all from the first on, however many there are."""
    match = RANGE.fullmatch((value or "").replace(" ", ""))
    return match is None or match.groups() == ("", "") or (match[2] == "" and int(match[1]) == 0)


def parse_range(value: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte that is asked for and the one behind the last; None for all of them.

    More than one range, and what is none, is answered with everything, as RFC 9110 §14.2 allows.

    Raises:
        ValueError: none of the bytes is there.
    """
    match = RANGE.fullmatch((value or "").replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < int(first):
            return None
    if begin >= end:
        raise ValueError(value)
    return begin, end


def respond(
    request: Request, size: int, tag: str, read: Callable[[int, int], bytes], headers: dict[str, str]
) -> Response:
    """Answer GET or HEAD with bytes that `read(offset, max)` returns.

    Args:
        request: what is asked for.
        size: of all of it.
        tag: a strong entity tag, with its quotes.
        read: called in a thread; returns at least one byte where there is one.
        headers: among them the content type.
    """
    headers = headers | {"accept-ranges": "bytes", "etag": tag}
    if tag in [known.strip() for known in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    # RFC 9110 §13.1.5: of something else than what the client has a part of, all is sent.
    wanted = request.headers.get("range") if request.headers.get("if-range", tag) == tag else None
    try:
        found = parse_range(wanted, size)
    except ValueError:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
    begin, end = found or (0, size)
    headers |= {"content-length": str(end - begin)}
    if found is not None:
        headers |= {"content-range": f"bytes {begin}-{end - 1}/{size}"}
    status = 200 if found is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(pieces(read, begin, end), status_code=status, headers=headers)


async def pieces(read: Callable[[int, int], bytes], begin: int, end: int) -> AsyncIterator[bytes]:
    """Yield the bytes from `begin` to before `end`."""
    while begin < end:
        piece = await asyncio.to_thread(read, begin, min(PIECE_BYTES, end - begin))
        if not piece:
            raise OSError("the file has become shorter while it was sent")
        begin += len(piece)
        yield piece
