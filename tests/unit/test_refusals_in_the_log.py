"""What the log says of who was refused: little of the first step of a log-in, all of a wrong password."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import arcly
from arcly import _gate
from arcly._desk import PublishDesk
from arcly._gate import PlayGate

BASIC = "Basic c3R1ZGlvOndyb25n"


class Asking:
    """Somebody who asks to publish, or to play."""

    app, stream, key = "live", "cam", arcly.StreamKey("live", "cam")
    peer, agent, wants_leave, has_leave = "192.0.2.1:51234", "", False, False

    needs_stream = True

    def __init__(self, protocol: str, query: str = "", authorization: str = "") -> None:
        self.protocol, self.query, self.authorization = protocol, query, authorization
        self.refused = asyncio.Event()

    def refuse(self, refusal: str, text: str = "") -> bool:
        """Take the refusal."""
        self.refused.set()
        return True


class Closed:
    """Lets nobody in."""

    async def open_publish(self, key: arcly.StreamKey, *_: Any, **__: Any) -> None:
        """Refuse."""
        raise arcly.UnauthorizedError(f"may not publish {key}")

    async def authorize_play(self, key: arcly.StreamKey, *_: Any) -> None:
        """Refuse."""
        raise arcly.UnauthorizedError(f"may not play {key}")


class Nameless:
    """Says that no stream may be called so."""

    async def authorize_play(self, key: arcly.StreamKey, *_: Any) -> None:
        """Refuse."""
        raise arcly.MalformedError(f"no stream may be called {key}")


@pytest.mark.parametrize(
    ("protocol", "query", "authorization", "is_first"),
    [
        ("rtsp", "", "", True),
        ("rtsp", "", BASIC, False),
        ("rtsp", "user=studio&pass=wrong", "", False),
        ("http-flv", "", "", True),
        ("rtmp", "", "", False),
        ("srt", "", "", False),
    ],
)
async def test_the_first_step_of_a_log_in_is_no_refusal(
    caplog: pytest.LogCaptureFixture, protocol: str, query: str, authorization: str, is_first: bool
) -> None:
    """Each publisher by RTSP with a password left a warning, as many as somebody who tries passwords; then it
    left nothing, and who publishes without a password was refused without a word.
    """
    caplog.set_level("INFO")
    context: Any = Closed()
    levels = []
    for decider in PublishDesk(context, deadline_s=5), PlayGate(context):
        caplog.clear()
        asking: Any = Asking(protocol, query, authorization)
        decider.decide(asking)
        await asking.refused.wait()
        await asyncio.sleep(0)
        levels += [record.levelname for record in caplog.records]
    assert levels == (["INFO"] if is_first else ["WARNING", "INFO"])


async def test_a_name_that_no_stream_may_have_is_said_of_players(caplog: pytest.LogCaptureFixture) -> None:
    """They were refused without a line."""
    caplog.set_level("INFO")
    context: Any = Nameless()
    asking: Any = Asking("rtsp", "", "")
    gate = PlayGate(context)
    gate.decide(asking)
    await asking.refused.wait()
    await asyncio.sleep(0)
    assert "may not play live/cam: no stream may be called live/cam" in caplog.text


class Empty:
    """Has no stream."""

    def __init__(self) -> None:
        self.offers = self

    async def authorize_play(self, key: arcly.StreamKey, *_: Any) -> None:
        """Let everybody in."""

    async def summon(self, context: Any, key: arcly.StreamKey) -> None:
        """Find nothing."""


async def test_who_asks_by_srt_for_what_is_not_live_is_told_of_once_in_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client of a publisher who forgot `publish:` says "Input/output error", and the log said nothing."""
    caplog.set_level("INFO")
    now_s = 1000.0
    monkeypatch.setattr(_gate, "monotonic", lambda: now_s)
    context: Any = Empty()
    gate = PlayGate(context)

    async def lines(protocol: str = "srt", peer: str = "192.0.2.1:1", stream: str = "cam") -> list[str]:
        caplog.clear()
        asking: Any = Asking(protocol)
        asking.peer, asking.key = peer, arcly.StreamKey("live", stream)
        gate.decide(asking)
        await asking.refused.wait()
        await asyncio.sleep(0)
        return caplog.messages

    hint = "(to publish: streamid=publish:live/cam)"
    assert await lines() == [f"[srt] 192.0.2.1:1 asks to play live/cam, which is not live {hint}"]
    assert await lines(peer="192.0.2.1:2") == [], "each try has another port"
    assert len(await lines(peer="[2001:db8::1]:1")) == len(await lines(stream="other")) == 1
    assert await lines("rtsp") == await lines("rtmp") == [], "they say it to the client"
    now_s += 61
    assert len(await lines(peer="192.0.2.1:3")) == 1
    for n in range(300):
        await lines(stream=f"n{n}")
    assert await lines(stream="one-more") == [], "no flood"
