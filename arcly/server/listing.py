"""Which streams the page shows to whom, where not everybody may play: those that they may."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import TypeAlias

from starlette.requests import Request

from arcly._native import StreamKey
from arcly.server.admission import Admission, credentials_of

PROTOCOL = "page"
"""What an authenticator is told as `Credentials.protocol`."""

KEPT_S = 15.0
"""How long an answer of the authenticator is good for: an open page asks once a second."""

DOUBTED_S = 2.0
"""How long a no is good for that follows a yes: it may come of an authoriser that failed once."""

KEPT_MAX = 10_000
"""Answers that are kept; the oldest goes first."""

Question: TypeAlias = tuple[StreamKey, str, str, str | None]
"""A stream, the query and `Authorization` that were brought, and the address they came from."""


class Listing:
    """The decisions.

    Args:
        admission: asks the authenticator.
        clock: seconds that only go forward.
    """

    def __init__(self, admission: Admission, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._admission = admission
        self._clock = clock
        self._kept: OrderedDict[Question, tuple[float, bool]] = OrderedDict()

    async def those(self, request: Request, keys: Collection[StreamKey]) -> set[StreamKey]:
        """Return those of the streams that whoever asks may play."""
        credentials = credentials_of(request, PROTOCOL)
        questions = {key: (key, credentials.query, credentials.authorization, credentials.peer) for key in keys}
        known = {key: self._recall(question) for key, question in questions.items()}
        unknown = [key for key, answer in known.items() if answer is None]
        playable = await self._admission.those(unknown, lambda key: self._admission.play(request, key, PROTOCOL))
        for key in unknown:
            self._keep(questions[key], key in playable)
        return playable | {key for key, answer in known.items() if answer}

    def _recall(self, question: Question) -> bool | None:
        until_s, answer = self._kept.get(question, (0.0, False))
        return answer if self._clock() < until_s else None

    def _keep(self, question: Question, answer: bool) -> None:
        until_s, before = self._kept.get(question, (0.0, False))
        if not (answer or before) and self._clock() < until_s:
            return  # Of several that asked at once one has said so, and has doubted it.
        self._kept[question] = self._clock() + (DOUBTED_S if before and not answer else KEPT_S), answer
        self._kept.move_to_end(question)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
