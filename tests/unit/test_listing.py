"""Which streams the page shows to whom, and for how long an answer holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from starlette.requests import Request

import arcly
from arcly.server import listing
from arcly.server.admission import Admission
from arcly.server.listing import DOUBTED_S, KEPT_S, Listing

KEY = arcly.StreamKey("live", "cam")


class Moody:
    """Says at each time what it is told to."""

    def __init__(self) -> None:
        self.answer = True
        self.asked = 0

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return False

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        self.asked += 1
        answer = self.answer
        await asyncio.sleep(0)
        return answer


class Watched:
    """A listing, and its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.moody = Moody()
        self._listing = Listing(Admission(arcly.Engine(authenticator=self.moody)), clock=lambda: self.now_s)

    async def shows_after(self, s: float, keys: Sequence[arcly.StreamKey] = (KEY,), query: str = "") -> bool:
        self.now_s += s
        scope = {"type": "http", "query_string": query.encode(), "headers": []}
        return await self._listing.those(Request(scope), keys) == set(keys)

    async def asked_for(self, query: str, keys: Sequence[arcly.StreamKey] = (KEY,)) -> int:
        """How many questions the list of somebody costs."""
        before = self.moody.asked
        await self.shows_after(0, keys, query)
        return self.moody.asked - before


@pytest.mark.parametrize("answer", [True, False])
async def test_an_answer_is_kept(answer: bool) -> None:
    watched = Watched()
    watched.moody.answer = answer
    assert await watched.shows_after(0) is answer
    watched.moody.answer = not answer
    assert await watched.shows_after(KEPT_S * 0.9) is answer
    assert await watched.shows_after(KEPT_S * 0.2) is not answer


async def test_an_authoriser_that_failed_once_hides_a_stream_for_a_moment_only() -> None:
    watched = Watched()
    assert await watched.shows_after(0)
    watched.moody.answer = False
    assert not await watched.shows_after(KEPT_S + 1)
    watched.moody.answer = True
    assert await watched.shows_after(DOUBTED_S + 0.1)


async def test_several_questions_that_fail_at_once_hide_it_for_a_moment_only() -> None:
    """The second refusal followed the first, not the yes."""
    watched = Watched()
    assert await watched.shows_after(0)
    watched.moody.answer = False
    both = await asyncio.gather(watched.shows_after(KEPT_S + 1), watched.shows_after(0))
    assert (both, watched.moody.asked) == ([False, False], 3)
    watched.moody.answer = True
    assert await watched.shows_after(DOUBTED_S + 0.1)


async def test_who_is_refused_again_is_not_asked_for_all_the_time() -> None:
    watched = Watched()
    assert await watched.shows_after(0)
    watched.moody.answer = False
    assert not await watched.shows_after(KEPT_S + 1)
    assert not await watched.shows_after(DOUBTED_S + 0.1)
    asked = watched.moody.asked
    assert not await watched.shows_after(KEPT_S * 0.9)
    assert watched.moody.asked == asked


def streams(count: int) -> list[arcly.StreamKey]:
    return [arcly.StreamKey("live", f"cam{number}") for number in range(count)]


async def test_a_hundred_pages_of_a_hundred_streams_are_asked_about_once() -> None:
    """A bug it had: with one answer more than it kept, each was forgotten just before it was needed."""
    watched, tokens = Watched(), [f"token={number}" for number in range(101)]
    assert [await watched.asked_for(token, streams(100)) for token in tokens] == [100] * 101
    assert [await watched.asked_for(token, streams(100)) for token in tokens] == [0] * 101


async def test_who_asks_by_ever_new_credentials_puts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "KEPT_MAX", 100)
    watched = Watched()
    assert await watched.asked_for("token=a", streams(20)) == 20
    for number in range(50):
        assert await watched.asked_for(f"user={number}", streams(20)) == 20
        assert await watched.asked_for("token=a", streams(20)) == 0, number
    assert await watched.asked_for("user=0", streams(20)) == 20, "it is forgotten"


async def test_streams_that_have_gone_leave_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "KEPT_MAX", 100)
    watched = Watched()
    await watched.shows_after(0, streams(50), "token=a")
    for number in range(100):
        await watched.shows_after(KEPT_S, [arcly.StreamKey("live", f"new{number}")], "token=b")
    await watched.shows_after(0, streams(60), "token=c")
    assert await watched.asked_for("token=c", streams(60)) == 0
    assert await watched.asked_for("token=b", [arcly.StreamKey("live", "new99")]) == 0, "it had room beside"
