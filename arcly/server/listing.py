"""Which streams a list shows to whom, where not everybody may play: those that they may."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

from starlette.requests import Request

from arcly._native import StreamKey
from arcly.contract import Credentials
from arcly.server.admission import Admission, credentials_of

PROTOCOL = "page"
"""What an authenticator is told as `Credentials.protocol`."""

KEPT_S = 15.0
"""How long an answer of the authenticator is good for: an open page asks once a second."""

DOUBTED_S = 2.0
"""How long a no is good for that follows a yes: it may come of an authoriser that failed once."""

KEPT_MAX = 200_000
"""Answers that are kept, some 50 MB. Who has not asked for the longest time goes first, with all of theirs."""

LetIn: TypeAlias = Callable[[Request, StreamKey, str], Awaitable[None]]
"""`Admission.play` or `Admission.change`."""

Answers: TypeAlias = dict[StreamKey, tuple[float, bool]]
"""Until when what was said of a stream is good, and whether it was a yes."""


class Listing:
    """The decisions.

    Args:
        admission: asks the authenticator.
        protocol: what it is told that they come by.
        let_in: what to ask; None: who may play.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        protocol: str = PROTOCOL,
        let_in: LetIn | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admission = admission
        self._protocol = protocol
        self._let_in = let_in or admission.play
        self._clock = clock
        # By asker and not by question: the lists of all who look at them stay, though a stranger asks anew and anew.
        self._kept: OrderedDict[bytes, Answers] = OrderedDict()
        self._count = 0

    async def those(self, request: Request, keys: Collection[StreamKey]) -> set[StreamKey]:
        """Return those of the streams that whoever asks may play, or what else `let_in` is about."""
        if not (keys and self._admission.asks):
            return set(keys)
        asker = asker_of(credentials_of(request, self._protocol))
        known = self._recall(asker, keys)
        unknown = [key for key in keys if key not in known]
        allowed = await self._admission.those(unknown, lambda key: self._let_in(request, key, self._protocol))
        self._keep(asker, {key: key in allowed for key in unknown})
        return allowed | {key for key, answer in known.items() if answer}

    def _recall(self, asker: bytes, keys: Collection[StreamKey]) -> dict[StreamKey, bool]:
        answers, now_s = self._kept.get(asker, {}), self._clock()
        found = {key: answers.get(key, (0.0, False)) for key in keys}
        return {key: answer for key, (until_s, answer) in found.items() if now_s < until_s}

    def _keep(self, asker: bytes, said: dict[StreamKey, bool]) -> None:
        answers, now_s = self._kept.pop(asker, {}), self._clock()
        self._count -= len(answers)
        for key, answer in said.items():
            until_s, before = answers.get(key, (0.0, False))
            if not (answer or before) and now_s < until_s:
                continue  # Of several that asked at once one has said so, and has doubted it.
            answers[key] = now_s + (DOUBTED_S if before and not answer else KEPT_S), answer
        if said:  # Streams that have gone.
            answers = {key: kept for key, kept in answers.items() if now_s < kept[0] + KEPT_S}
        self._kept[asker] = answers
        self._count += len(answers)
        while self._count > KEPT_MAX and len(self._kept) > 1:
            self._count -= len(self._kept.popitem(last=False)[1])


def asker_of(credentials: Credentials) -> bytes:
    """Return by what an asker is known: what they have brought may be long."""
    brought = (credentials.query, credentials.authorization, credentials.peer)
    return hashlib.sha256(repr(brought).encode()).digest()
