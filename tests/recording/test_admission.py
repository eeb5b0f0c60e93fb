"""Who may not play a stream sees nothing of what was recorded of it; who may not publish it changes nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import m3u8
import pytest
from conftest import eventually
from starlette.applications import Starlette
from starlette.requests import Request

import arcly
from arcly.contract import Credentials
from arcly.server import recordings
from arcly.server.admission import Admission, carry_dash, carry_hls
from arcly.server.thumbnails import thumbnail_routes
from arcly.services.auth import User, Users
from recording.conftest import KEY, demo_frames
from recording.test_playback import Served, publish, serving_recordings

OWN = {"x_arcly_record": "1"}


class Tokens:
    """`seer` plays, `owner` publishes and plays; it counts who asks."""

    def __init__(self) -> None:
        self.asked: list[Credentials] = []

    async def authorize_publish(self, key: arcly.StreamKey, credentials: Credentials) -> bool:
        return credentials.params.get("token") == "owner"

    async def authorize_play(self, key: arcly.StreamKey, credentials: Credentials) -> bool:
        self.asked.append(credentials)
        return credentials.params.get("token") in ("owner", "seer") and key == KEY


async def recorded(served: Served) -> None:
    await publish(served, demo_frames()[:400])
    await served.recorder.finish(KEY)


PATHS = [
    "index.m3u8",
    "manifest.mpd",
    "0.m3u8",
    "init-0-0.mp4",
    "0-{pts}.m4s",
    "clip.mp4",
    "files/0",
]


async def test_every_path_of_a_recording_is_closed_to_those_who_may_not_play_its_stream(tmp_path: Path) -> None:
    tokens = Tokens()
    async with serving_recordings(tmp_path, authenticator=tokens) as served:
        await recorded(served)
        _, _, playlist = await served.get("/recordings/id:1/0.m3u8?token=seer")
        found = re.search(rb"^0-(\d+)\.m4s", playlist, re.MULTILINE)
        assert found
        for path in PATHS:
            url = f"/recordings/id:1/{path.format(pts=found[1].decode())}"
            for method in ("GET", "HEAD"):
                status, headers, _ = await served.get(url, method)
                assert (status, headers["www-authenticate"]) == (401, 'Basic realm="arcly", Bearer'), (method, url)
                assert (await served.get(f"{url}?token=stranger", method))[0] == 403, (method, url)
                assert (await served.get(url, method, authorization="Bearer stranger"))[0] == 403
                assert (await served.get(f"{url}?pass=99999999-{'0' * 32}", method))[0] == 401
            assert (await served.get(f"{url}?token=seer"))[0] == 200, url
            assert (await served.get(url, authorization="Bearer seer"))[0] == 200, url
        assert (await served.get("/recordings/id:2/index.m3u8?token=stranger"))[0] == 404
        assert {credentials.protocol for credentials in tokens.asked} == {"recording"}
        assert {credentials.peer for credentials in tokens.asked} == {"127.0.0.1"}


async def test_a_pass_that_is_over_hides_no_password(tmp_path: Path) -> None:
    """Found by reading: it was taken for the password of a player who had logged in by Basic."""
    over = f"pass=99999999-{'0' * 32}"
    users = Users([User("me", "secret")], failure_pause_s=0)
    async with serving_recordings(tmp_path, authenticator=users) as served:
        await recorded(served)
        for query in (over, f"{over}&CMCD=sid", f"a=b&{over}&c=d"):
            for password, expected in [("secret", 200), ("wrong", 401)]:
                basic = base64.b64encode(f"me:{password}".encode()).decode()
                status, _, _ = await served.get(f"/recordings/id:1/0.m3u8?{query}", authorization=f"Basic {basic}")
                assert status == expected, (query, password)
        assert (await served.get("/recordings/id:1/0.m3u8?user=me&pass=secret"))[0] == 200


@pytest.mark.parametrize("digits", ["9" * 18, "9" * 20, "9" * 5000])
async def test_a_number_too_long_for_a_recording_is_none(tmp_path: Path, digits: str) -> None:
    """Nobody need be let in for it, and it leaves no trace in the log."""
    async with serving_recordings(tmp_path, authenticator=Tokens()) as served:
        await recorded(served)
        for path in (f"id:{digits}/index.m3u8", f"id:1/0-{digits}.m4s?token=seer", f"id:1/files/{digits}?token=seer"):
            assert (await served.get(f"/recordings/{path}"))[0] == 404, path


@pytest.mark.parametrize("name", ["index.m3u8", "manifest.mpd"])
async def test_the_authenticator_is_asked_once_for_a_playback(tmp_path: Path, name: str) -> None:
    tokens = Tokens()
    async with serving_recordings(tmp_path, authenticator=tokens) as served:
        await recorded(served)
        url = f"{served.url}/recordings/id:1/{name}"
        ffprobe = ["ffprobe", "-v", "error", "-headers", "Authorization: Bearer seer\r\n", "-count_packets"]
        # What names the rest is fetched with a token, and the rest with what it says alone.
        _, _, body = await served.get(f"/recordings/id:1/{name}?token=seer")
        assert len(tokens.asked) == 1
        passes = set(re.findall(rb"pass=(\d+-[0-9a-f]{32})", body))
        assert len(passes) == 1
        if name == "index.m3u8":
            await walk(served, body)
            assert len(tokens.asked) == 1
        process = await asyncio.create_subprocess_exec(*ffprobe, url, stderr=asyncio.subprocess.PIPE)
        _, complaints = await process.communicate()
        assert (process.returncode, complaints) == (0, b"")


async def walk(served: Served, multivariant: bytes) -> None:
    """Fetch everything as a player does."""
    base = "/recordings/id:1/"
    (variant,) = m3u8.loads(multivariant.decode()).playlists
    for uri in (variant.uri, variant.media[0].uri):
        status, _, body = await served.get(f"{base}{uri}")
        assert status == 200
        for segment in m3u8.loads(body.decode()).segments:
            assert (await served.get(f"{base}{segment.uri}"))[0] == 200
            assert (await served.get(f"{base}{segment.init_section.uri}"))[0] == 200


async def test_a_list_has_what_whoever_asks_may_play(tmp_path: Path) -> None:
    async with serving_recordings(tmp_path, authenticator=Tokens()) as served:
        await recorded(served)
        other = await served.engine.start_publish(arcly.StreamKey("live", "other"))
        await eventually(lambda: len(served.recorder.list_running()) == 1)
        other.end()

        async def listed(query: str) -> list[tuple[str, bool]]:
            status, _, body = await served.get(f"/api/recordings{query}")
            assert status == 200
            return [(said["stream"], said["may_change"]) for said in json.loads(body)["recordings"]]

        assert await listed("") == []
        assert await listed("?token=stranger") == []
        assert await listed("?token=seer") == [("cam", False)]
        assert await listed("?token=owner") == [("cam", True)]
        for query, refused in (("", False), ("?token=stranger", True), ("?token=seer", False)):
            assert json.loads((await served.get(f"/api/recordings{query}"))[2])["refused"] is refused, query
        wrong = base64.b64encode(b"me:wrong").decode()
        _, _, body = await served.get("/api/recordings", authorization=f"Basic {wrong}")
        assert json.loads(body)["refused"], "it looked like a server without recordings"


async def test_what_others_have_recorded_since_keeps_nothing_off_a_list(tmp_path: Path) -> None:
    """A bug it had: of the newest 1000 were told those that whoever asks may play, and those were none."""
    tokens = Tokens()
    async with serving_recordings(tmp_path, authenticator=tokens) as served:
        mine = await served.recorder.index.begin(KEY, "mp4", 1)
        for number in range(1001):
            await served.recorder.index.begin(arcly.StreamKey("live", f"other{number % 3}"), "mp4", 2 + number)
        for _ in range(2):
            _, _, body = await served.get("/api/recordings?token=seer")
            said = json.loads(body)
            assert ([it["id"] for it in said["recordings"]], said["more"]) == ([mine], False)
        assert len(tokens.asked) == 4, "once for each stream, not for each look"


async def test_a_list_asks_about_so_many_streams_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: one request of a stranger asked about every stream that was ever recorded."""
    monkeypatch.setattr(recordings, "ASKED_MAX", 300)
    tokens = Tokens()
    async with serving_recordings(tmp_path, authenticator=tokens) as served:
        mine = await served.recorder.index.begin(KEY, "mp4", 1)
        for number in range(1100):
            await served.recorder.index.begin(arcly.StreamKey("live", f"other{number}"), "mp4", 2 + number)
        listed: list[list[int]] = []
        on, asked = "", []
        while not listed or on:
            _, _, body = await served.get(f"/api/recordings?token=seer&limit=1{on}")
            said = json.loads(body)
            assert said["more"] == (said["before"] is not None)
            listed.append([it["id"] for it in said["recordings"]])
            on = f"&before={said['before']}" if said["more"] else ""
            asked.append(len(tokens.asked))
        assert (listed, asked) == ([[], [], [mine]], [500, 1000, 1101])


async def test_a_list_is_gone_on_with_where_it_was_cut(tmp_path: Path) -> None:
    async with serving_recordings(tmp_path) as served:
        ids = [await served.recorder.index.begin(KEY, "mp4", number) for number in range(1, 1003)]

        async def listed(query: str) -> tuple[list[int], bool]:
            status, _, body = await served.get(f"/api/recordings{query}")
            assert status == 200
            said = json.loads(body)
            found = [it["id"] for it in said["recordings"]]
            assert said["before"] == (found[-1] if said["more"] else None)
            return found, said["more"]

        newest = ids[::-1]
        assert await listed("") == (newest[:1000], True)
        assert await listed(f"?before={newest[999]}") == (newest[1000:], False)
        assert await listed("?stream=live/cam&limit=2") == (newest[:2], True)
        assert await listed(f"?stream=live/cam&limit=2&before={ids[2]}") == ([ids[1], ids[0]], False)
        assert await listed("?stream=live/other") == ([], False)
        for wrong in ("limit=0", "limit=x", "before=-1", f"before={'9' * 19}"):
            assert (await served.get(f"/api/recordings?{wrong}"))[0] == 400, wrong


async def test_only_who_may_publish_a_stream_changes_what_is_recorded_of_it(tmp_path: Path) -> None:
    async with serving_recordings(tmp_path, authenticator=Tokens()) as served:
        await recorded(served)
        session = await served.engine.start_publish(KEY)
        asked = [
            ("/api/recordings?stream=live/cam", "POST", 201),
            ("/api/recordings/finish?stream=live/cam", "POST", 204),
            ("/api/recordings/1?", "DELETE", 204),
        ]
        for path, method, done in asked:
            assert (await served.get(path, method, **OWN))[0] == 401
            assert (await served.get(f"{path}&token=seer", method, **OWN))[0] == 403
            assert (await served.get(f"{path}&token=owner", method))[0] == 403, "not from another site"
            assert (await served.get(f"{path}&token=owner", method, **OWN))[0] == done
        session.end()


async def test_a_picture_of_a_stream_is_for_those_who_may_play_it() -> None:
    class Pictures:
        async def jpeg(self, key: arcly.StreamKey) -> bytes:
            return b"jpeg"

    engine = arcly.Engine(authenticator=Tokens())
    app = Starlette(routes=thumbnail_routes(Pictures(), engine))  # type: ignore[arg-type]

    async def ask(path: str, query: str) -> tuple[int, dict[bytes, bytes]]:
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, None, send)  # type: ignore[arg-type]
        return sent[0]["status"], dict(sent[0]["headers"])

    picture = "/live/cam/thumbnail.jpg"
    assert (await ask(picture, ""))[0] == 401
    assert (await ask(picture, "token=stranger"))[0] == 403
    assert (await ask("/live/other/thumbnail.jpg", "token=seer"))[0] == 403
    status, headers = await ask(picture, "token=seer")
    assert status == 200
    assert headers[b"cache-control"].startswith(b"private")


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def test_a_pass_holds_for_one_recording_and_some_hours() -> None:
    now = [1_000.0]
    admission = Admission(arcly.Engine(authenticator=Tokens()), clock=lambda: now[0])
    query = admission.query(7).removeprefix("?")
    assert admission.has_pass(request(query), 7)
    assert not admission.has_pass(request(query), 8)
    assert not admission.has_pass(request(query[:-1] + ("0" if query[-1] != "0" else "1")), 7)
    later = re.sub(r"=\d+", lambda found: f"={int(found[0][1:]) + 3600}", query)
    assert not admission.has_pass(request(later), 7)
    assert not Admission(arcly.Engine(authenticator=Tokens()), clock=lambda: now[0]).has_pass(request(query), 7)
    now[0] += 6 * 3600
    assert admission.has_pass(request(query), 7)
    now[0] += 3600
    assert not admission.has_pass(request(query), 7)
    assert Admission(arcly.Engine()).query(7) == ""


def test_passes_stand_behind_every_uri_and_nothing_else() -> None:
    playlist = '#EXTM3U\n#EXT-X-MAP:URI="init.mp4"\n#EXTINF:4.0,\n0-1.m4s\n#EXT-X-ENDLIST\n'
    expected = '#EXTM3U\n#EXT-X-MAP:URI="init.mp4?pass=x"\n#EXTINF:4.0,\n0-1.m4s?pass=x\n#EXT-X-ENDLIST\n'
    assert carry_hls(playlist, "?pass=x") == expected
    manifest = '<SegmentTemplate timescale="1" initialization="i.mp4" media="0-$Time$.m4s"/>'
    assert carry_dash(manifest, "?pass=x") == manifest.replace('i.mp4"', 'i.mp4?pass=x"').replace(
        '.m4s"', '.m4s?pass=x"'
    )
    assert carry_hls(playlist, "") == playlist
