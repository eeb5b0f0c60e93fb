"""Who may play: the decisions of every way out."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from arcly._bridge import Lease, native_stream
from arcly._desk import credentials_of
from arcly._native import PlayRequest, StreamKey
from arcly._native import StreamHandle as NativeStream
from arcly.contract import Credentials, IngestContext
from arcly.contract.access import is_first_ask, may_bring_better
from arcly.errors import MalformedError, StreamError, UnauthorizedError
from arcly.stream import StreamHandle

log = logging.getLogger("arcly")

REPEAT_S = 60.0
"""A peer that asks for the same stream again and again is told of so often."""

REPEATS_MAX = 256
"""Peers and streams that are remembered for it. While there are so many, no other is told of."""


class PlayGate:
    """Answers the requests to play that come into an inbox, each in a task of its own.

    Give `decide` to the `InboxReader` of whatever serves viewers.
    """

    def __init__(self, context: IngestContext) -> None:
        self._context = context
        self._deciding: set[asyncio.Task[None]] = set()
        # Streams of a foreign registry that native players read, and their sessions there.
        self._carried: dict[StreamKey, tuple[int, NativeStream, Lease]] = {}
        self._mute_until_s: dict[tuple[str, StreamKey], float] = {}

    def decide(self, request: PlayRequest) -> None:
        """Begin to decide on a request."""
        task = asyncio.create_task(self._decide(request))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    async def _decide(self, request: PlayRequest) -> None:
        credentials = Credentials()
        try:
            credentials = credentials_of(request)
            await self._context.authorize_play(request.key, credentials)
            await self._accept(request)
        except UnauthorizedError:
            if request.refuse("unauthenticated" if may_bring_better(credentials) else "forbidden"):
                level = logging.DEBUG if is_first_ask(credentials) else logging.INFO
                log.log(level, "[%s] %s may not play %s", request.protocol, request.peer, request.key)
        except MalformedError as error:
            if request.refuse("forbidden"):
                log.info("[%s] %s may not play %s: %s", request.protocol, request.peer, request.key, error)
        except StreamError as error:
            # It was there and has ended, or could not be begun.
            log.warning("[%s] %s cannot be played: %s", request.protocol, request.key, error)
            request.refuse("failed")
        except Exception:
            log.exception("[%s] deciding on a play failed", request.protocol)
            request.refuse("failed")

    async def _accept(self, request: PlayRequest) -> None:
        if not request.needs_stream:
            request.accept()
        elif (stream := await self._stream(request.key)) is not None:
            request.accept(stream)
        elif request.refuse("not_found") and request.protocol == "srt":
            self._tell_of_stranger(request)

    def _tell_of_stranger(self, request: PlayRequest) -> None:
        """SRT refuses by a number: its players show no reason, nor does a publisher who did not say that it is one."""
        now_s, key = monotonic(), request.key
        self._mute_until_s = {asked: until_s for asked, until_s in self._mute_until_s.items() if until_s > now_s}
        # Each try has another port.
        asked = (request.peer.rpartition(":")[0], key)
        if asked not in self._mute_until_s and len(self._mute_until_s) < REPEATS_MAX:
            self._mute_until_s[asked] = now_s + REPEAT_S
            hint = f"to publish: streamid=publish:{key}"
            log.info("[srt] %s asks to play %s, which is not live (%s)", request.peer, key, hint)

    async def _stream(self, key: StreamKey) -> NativeStream | None:
        """Return what a native player can be given; frames of a foreign registry are carried there once for all."""
        stream = await self._context.offers.summon(self._context, key)
        if stream is None or isinstance(stream, StreamHandle):
            return None if stream is None else stream.native
        # Whoever holds a stream that has ended holds all its frames.
        self._carried = {key: known for key, known in self._carried.items() if not known[1].closed}
        known = self._carried.get(key)
        if known is None or known[0] != stream.session:
            if known is not None:
                known[2].close()
            known = self._carried[key] = (stream.session, *native_stream(stream))
        return known[1]

    def close(self) -> None:
        """Decide nothing more; who still waits is refused."""
        for task in self._deciding:
            task.cancel()
        for *_, lease in self._carried.values():
            lease.close()
        self._carried.clear()
