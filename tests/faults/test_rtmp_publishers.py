"""Publishers that die, that want what others have, that may not, or that want too much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Server, eventually, run, running
from load.hls_viewer import fetch
from rtmp_client import RtmpClient, command, media_of, publish
from siege import BAD, TAGS, Siege, Watch, besieged

import arcly

KINDS = arcly.StreamEventKind


def push(ffmpeg: str, clip: Path, url: str) -> list[str]:
    """The command of the README."""
    return [ffmpeg, "-v", "error", "-re", "-i", str(clip), "-c", "copy", "-f", "flv", url]


async def playlist(server: Server, name: str) -> str:
    return (await fetch(server.http.address, f"/{name}/media.m3u8"))[1]


async def endlist_within(server: Server, name: str, deadline_s: float) -> None:
    async def ended() -> bool:
        return "#EXT-X-ENDLIST" in await playlist(server, name)

    await eventually(ended, deadline_s=deadline_s, what="ENDLIST")


async def test_a_publisher_killed_by_kill_9_ends_at_once(
    ffmpeg: str, clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = clip()
    async with besieged(caplog) as siege:
        async with running(*push(ffmpeg, source, siege.server.rtmp_url("live/cam"))) as process:
            await eventually(lambda: siege.server.stream("live/cam"), what="it publishes")
            assert "#EXTINF" in await playlist(siege.server, "live/cam")
            process.kill()
            killed_s = time.monotonic()
            await endlist_within(siege.server, "live/cam", 10)
            await siege.journal.ended("live/cam", deadline_s=10)
        assert siege.journal.of("live/cam", KINDS.PUBLISH_ENDED)[0][0] - killed_s < 5
        # The key is free.
        again, _ = await siege.publisher("live/cam")
        async with again:
            assert siege.server.stream("live/cam")


@pytest.mark.parametrize("how", ["reset", "close", "half-close", "deleteStream", "closeStream", "FCUnpublish"])
async def test_a_stream_ends_with_its_publisher_however_it_leaves(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Even in front of the first whole segment: whoever waits for it is told that nothing comes."""
    async with besieged(caplog) as siege:
        client, stream_id = await siege.publisher()
        waiting = asyncio.create_task(playlist(siege.server, BAD))
        async with client:
            left_s = time.monotonic()
            match how:
                case "reset":
                    client.reset()
                case "close":
                    client.writer.close()
                case "half-close":
                    client.writer.write_eof()
                case "deleteStream":
                    await client.send(command("deleteStream", 0, None, stream_id))
                case "closeStream":
                    await client.send(command("closeStream", 0, None, stream_id=stream_id))
                case "FCUnpublish":
                    await client.send(command("FCUnpublish", 0, None, "bad"))
            await siege.journal.ended(BAD, deadline_s=10)
            assert "#EXT-X-ENDLIST" in await asyncio.wait_for(waiting, 1)
        assert siege.journal.of(BAD, KINDS.PUBLISH_ENDED)[0][0] - left_s < 5
        assert siege.server.stream(BAD) is None


async def test_a_second_ffmpeg_on_the_same_key_fails_and_the_first_goes_on(
    ffmpeg: str, clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = clip()
    async with besieged(caplog) as siege:
        command_line = push(ffmpeg, source, siege.server.rtmp_url("live/cam"))
        async with running(*command_line) as first:
            await eventually(lambda: siege.server.stream("live/cam"), what="the first publishes")
            await eventually(lambda: siege.server.stream("live/cam").stats.video_frames, what="frames")
            watch = Watch(siege.server.stream("live/cam"))
            second = await run(*command_line)
            assert second.returncode != 0
            assert "live/cam" in second.stderr, "ffmpeg shows why"
            await watch.goes_on(25)
            await watch.close()
            assert first.returncode is None
        await siege.journal.ended("live/cam")
        assert len(siege.journal.of("live/cam", KINDS.PUBLISH_STARTED)) == 1


async def test_a_second_publisher_is_told_bad_name(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege, await siege.dial() as second:
        assert await refusal(second, "demo") == "NetStream.Publish.BadName"
        assert "live/demo" in second.statuses[-1]["description"]
        line = await siege.one_warning(second.name, "refused")
        assert "live/demo" in line
        await second.closed()


async def refusal(client: RtmpClient, name: str | bytes) -> str:
    """Try to publish; the code of the answer."""
    await client.connect()
    stream_id = await client.create_stream()
    await client.send(publish(name, stream_id))
    code = await client.status()
    assert client.statuses[-1]["level"] == "error"
    return code


BAD_NAMES = {
    "empty": "",
    "slash": "/",
    "dot": ".",
    "dot-dot": "..",
    "dot-dot-in-the-path": "../../etc/passwd",
    "newline": "a\nINFO all is well",
    "nul": "a\0b",
    "escape": "\x1b[31mred\x1b[0m",
    "tag": "<img src=x>",
    "300-bytes": "x" * 300,
    "10000-bytes": "x" * 10_000,
    "right-to-left": "a\u202eb",
}


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_bad_name_is_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege, await siege.dial() as client:
        assert await refusal(client, BAD_NAMES[name]) == "NetStream.Publish.BadName"
        await client.closed()
        line = await siege.one_warning(client.name, "name")
        assert len(line) < 500
        assert [str(stream.key) for stream in siege.engine.list_streams()] == ["live/demo"]


async def test_a_name_that_is_not_utf_8_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege:
        async with await siege.dial() as client:
            await client.connect()
            await client.publish(b"caf\xe9")
            name = next(str(s.key) for s in siege.engine.list_streams() if s.protocol == "rtmp")
            assert name == "live/caf\N{REPLACEMENT CHARACTER}"
        await siege.journal.ended(name)


async def test_a_name_with_many_slashes_is_tidied(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege, await siege.dial() as client:
        await client.connect("//live//")
        await client.publish("//bad//")
        assert siege.server.stream(BAD)


async def test_two_names_on_one_connection_live_and_end_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege, await siege.dial() as client:
        await client.connect()
        await client.set_chunk_bytes(65_536)
        for name in ("a", "b"):
            await client.send(*media_of(TAGS[:50], await client.publish(name)))
        for name in ("live/a", "live/b"):
            await eventually(lambda name=name: siege.server.stream(name).stats.video_frames, what=name)
        client.reset()
        for name in ("live/a", "live/b"):
            await siege.journal.ended(name, deadline_s=10)


async def test_the_same_name_twice_on_one_connection_is_a_second_publisher(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege:
        client, _ = await siege.publisher()
        async with client:
            second = await client.create_stream()
            await client.send(publish("bad", second))
            assert await client.status() == "NetStream.Publish.BadName"
            first = siege.server.stream(BAD)
            frames = first.stats.video_frames
            await client.send(*media_of(TAGS[20:60], 1))
            await eventually(lambda: first.stats.video_frames > frames, what="the first goes on")


async def test_a_new_publish_on_the_same_message_stream_ends_the_one_before(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege:
        client, stream_id = await siege.publisher()
        async with client:
            await client.publish("bad", stream_id)
            await siege.journal.ended(BAD)
            await client.publish("other", stream_id)
            await siege.journal.ended(BAD, times=2)
            assert siege.server.stream("live/other")


class Policy:
    """An authenticator that decides when the test says so."""

    def __init__(self, *, decides: bool = True, allows: Callable[[arcly.StreamKey], bool] = lambda key: True) -> None:
        self.may_decide = asyncio.Event()
        if decides:
            self.may_decide.set()
        self.allows = allows
        self.asked = 0
        self.pending = 0
        self.pending_max = 0

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        self.asked += 1
        self.pending += 1
        self.pending_max = max(self.pending_max, self.pending)
        try:
            await self.may_decide.wait()
        finally:
            self.pending -= 1
        return self.allows(key)

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True


REUSES = {
    "publish": lambda stream_id: [publish("b", stream_id)],
    "deleteStream": lambda stream_id: [
        command("deleteStream", 0, None, stream_id),
        command("createStream", 9, None),
        publish("b", stream_id),
    ],
}


@pytest.mark.parametrize("reuse", REUSES)
async def test_an_answer_is_never_taken_for_that_to_another_request(
    reuse: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two requests on one message stream, the first of them withdrawn before it is decided: only the second counts."""
    policy = Policy(decides=False)
    async with besieged(caplog, authenticator=policy) as siege, await siege.dial() as client:
        await client.connect()
        stream_id = await client.create_stream()
        await client.send(publish("a", stream_id), *REUSES[reuse](stream_id))
        await eventually(lambda: policy.pending == 2, what="both are asked for")
        policy.may_decide.set()
        assert await client.status() == "NetStream.Publish.Start"
        await client.set_chunk_bytes(65_536)
        await client.send(*media_of(TAGS[:20], stream_id))
        await siege.journal.ended("live/a")
        await eventually(lambda: siege.server.stream("live/b"), deadline_s=20, what="b is what is published")
        await eventually(lambda: siege.server.stream("live/b").stats.video_frames, deadline_s=20, what="frames of b")


async def test_a_refusal_of_a_withdrawn_request_does_not_refuse_the_next(caplog: pytest.LogCaptureFixture) -> None:
    policy = Policy(decides=False, allows=lambda key: key.stream == "b")
    async with besieged(caplog, authenticator=policy) as siege, await siege.dial() as client:
        await client.connect()
        stream_id = await client.create_stream()
        await client.send(publish("a", stream_id), publish("b", stream_id))
        await eventually(lambda: policy.pending == 2, what="both are asked for")
        policy.may_decide.set()
        assert await client.status() == "NetStream.Publish.Start"
        assert siege.server.stream("live/b")


@pytest.mark.parametrize("busy", [False, True], ids=["idle-host", "busy-host"])
async def test_a_policy_that_hangs_refuses_and_leaves_the_key_free(
    busy: bool, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Policy(decides=False)
    async with besieged(caplog, authenticator=policy, decision_deadline_s=0.3) as siege:
        async with await siege.dial() as client:
            began_s = time.monotonic()
            if busy:
                # The loop is busy when the deadline passes: native code decides alone, and Python comes late.
                asyncio.get_running_loop().call_later(0.2, time.sleep, 0.4)
            assert await refusal(client, "bad") == "NetStream.Failed"
            assert time.monotonic() - began_s > 0.29
            await siege.one_warning(client.name, "in time")
            await client.closed()
        assert siege.server.stream(BAD) is None
        await eventually(lambda: policy.pending == 0, what="nothing waits for the policy any more")
        policy.may_decide.set()
        again, _ = await siege.publisher()
        async with again:
            assert siege.server.stream(BAD)


async def test_a_policy_that_blocks_the_event_loop_stops_no_media(caplog: pytest.LogCaptureFixture) -> None:
    policy = Policy(allows=lambda key: time.sleep(1.0) is None)
    async with besieged(caplog, authenticator=policy, decision_deadline_s=0.3) as siege, await siege.dial() as client:
        healthy = siege.server.stream("live/demo")
        before = healthy.stats.video_frames
        assert await refusal(client, "bad") == "NetStream.Failed"
        assert healthy.stats.video_frames >= before + 20
        await client.closed()
        # What is allowed behind the deadline is refused: nothing begins.
        await siege.unharmed()
        assert siege.server.stream(BAD) is None


async def test_a_publisher_that_leaves_before_the_decision_frees_the_key(caplog: pytest.LogCaptureFixture) -> None:
    policy = Policy(decides=False)
    async with besieged(caplog, authenticator=policy) as siege:
        async with await siege.dial() as client:
            await client.connect()
            await client.send(publish("bad", await client.create_stream()))
            await eventually(lambda: policy.pending == 1, what="the policy is asked")
        policy.may_decide.set()
        await siege.journal.ended(BAD)
        again, _ = await siege.publisher()
        async with again:
            assert siege.server.stream(BAD)


async def test_an_unauthorized_publisher_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    policy = Policy(allows=lambda key: False)
    async with besieged(caplog, authenticator=policy) as siege, await siege.dial() as client:
        assert await refusal(client, "bad") == "NetStream.Publish.Denied"
        await siege.one_warning(client.name, "may not publish to live/bad")
        await client.closed()


async def test_ffmpeg_stops_when_it_is_refused(
    ffmpeg: str, clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = clip()
    async with besieged(caplog, authenticator=Policy(allows=lambda key: False)) as siege:
        refused = await run(*push(ffmpeg, source, siege.server.rtmp_url(BAD)))
        assert refused.returncode != 0
        assert "may not publish" in refused.stderr


async def flood(client: RtmpClient, name: str, count: int) -> None:
    """Publish again and again on one message stream, until the server has had enough."""
    await client.connect()
    stream_id = await client.create_stream()
    with suppress(ConnectionError):
        for _ in range(count // 100):
            await client.send(*[publish(name, stream_id)] * 100)


async def test_one_connection_cannot_ask_the_policy_for_thousands_of_decisions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection has 8 message streams at most, and so 8 requests that wait."""
    policy = Policy(decides=False)
    async with besieged(caplog, authenticator=policy) as siege, await siege.dial() as client:
        await flood(client, "bad", 5000)
        await siege.watch.goes_on()
        assert policy.pending_max <= 8, f"{policy.pending_max} at a time"


async def test_one_connection_cannot_ask_for_thousands_of_plays(caplog: pytest.LogCaptureFixture) -> None:
    """A play that was left is asked about until it is decided on: who asks and leaves in a loop is sent away."""

    class Undecided(Policy):
        authorize_play = Policy.authorize_publish

    policy = Undecided(decides=False)
    async with besieged(caplog, authenticator=policy) as siege, await siege.dial() as client:
        await client.connect()
        stream_id = await client.create_stream()
        play = command("play", 0, None, "demo", stream_id=stream_id)
        leave = command("closeStream", 0, None, stream_id=stream_id)
        with suppress(ConnectionError):
            for _ in range(50):
                await client.send(*[play, leave] * 100)
        await siege.one_warning(client.name, "asked to play 8 times and did not wait")
        await siege.watch.goes_on()
        assert policy.asked <= 9, f"{policy.asked} questions"


async def test_one_connection_cannot_fill_the_log_with_refusals(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege, await siege.dial() as client:
        await flood(client, "..", 5000)
        await siege.watch.goes_on()
        lines = len(siege.lines(client.name))
        caplog.clear()
        assert lines <= 10, f"{lines} lines"


async def test_a_publisher_that_falls_silent_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog, idle_timeout_s=0.5) as siege:
        client, _ = await siege.publisher()
        async with client:
            began_s = time.monotonic()
            assert "sent nothing for 0.5 s" in await siege.journal.ended(BAD, deadline_s=20)
            assert time.monotonic() - began_s < 10
            await client.closed(20)
            await endlist_within(siege.server, BAD, 1)


async def test_the_server_can_end_a_publisher(caplog: pytest.LogCaptureFixture) -> None:
    """The peer hears of it with its next message, is sent away, and cannot go on under the same name."""
    async with besieged(caplog) as siege:
        client, stream_id = await siege.publisher()
        async with client:
            siege.server.stream(BAD).close()
            await client.send(*media_of(TAGS[20:30], stream_id))
            assert await client.status() == "NetStream.Unpublish.Success"
            await client.closed()
        await siege.journal.ended(BAD)


async def test_many_short_publishes_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    async with besieged(caplog) as siege:
        for _ in range(30):
            client, _ = await siege.publisher()
            client.reset()
            await eventually(lambda: siege.server.stream(BAD) is None, deadline_s=10, what="the key is free")
        assert len(siege.journal.ends(BAD)) == 30
        assert [str(stream.key) for stream in siege.engine.list_streams()] == ["live/demo"]


async def test_a_real_publisher_goes_on_while_strangers_attack(
    ffmpeg: str, clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = clip()
    async with besieged(caplog) as siege:
        async with running(*push(ffmpeg, source, siege.server.rtmp_url("live/cam"))):
            await eventually(lambda: siege.server.stream("live/cam"), what="it publishes")
            await eventually(lambda: siege.server.stream("live/cam").stats.video_frames, what="frames")
            watch = Watch(siege.server.stream("live/cam"))
            await asyncio.gather(*[attack(siege, n) for n in range(40)])
            await watch.goes_on(25)
            await watch.close()
        await siege.journal.ended("live/cam")


async def attack(siege: Siege, number: int) -> None:
    """One of four: garbage, a stolen name, a reset, an abandoned publish."""
    async with await siege.dial() as client:
        match number % 4:
            case 0:
                client.write(b"\xff" * 5000)
                await client.closed()
            case 1:
                assert await refusal(client, "cam") == "NetStream.Publish.BadName"
            case 2:
                await client.connect()
                client.reset()
            case 3:
                await client.connect()
                await client.publish(f"short-{number}")
