"""The origin over plain HTTP: paths, headers, methods, versions."""

import asyncio
import json
import logging
import re
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, eventually

import arcly
from arcly.server.application import answering
from arcly.server.serve import DEMO_CLIP
from arcly.server.viewers import SHOWN_MAX, Viewers
from arcly.server.web import create_app

KEY = arcly.StreamKey("live", "demo")


async def request(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One HTTP/1.1 request, read to the end of the connection."""
    reader, writer = await asyncio.open_connection(*server.http.address)
    lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return int(status.split()[1]), {k.lower(): v for k, v in (f.split(": ", 1) for f in fields)}, body


async def demo(server: Server) -> arcly.FileSource:
    source = arcly.FileSource(DEMO_CLIP, KEY)
    await source.start(server.engine)
    return source


async def check_media(server: Server, index: str, media_type: str) -> tuple[str, bytes]:
    """The headers of a multivariant playlist, of a media playlist of it and of a segment; that and its bytes."""
    status, headers, multivariant = await request(server, f"/live/demo/{index}")
    assert (status, headers["content-type"]) == (200, "application/vnd.apple.mpegurl")
    assert headers["cache-control"] == "private, no-store"
    assert headers["access-control-allow-origin"] == "*"
    assert b'CODECS="avc1.' in multivariant
    assert b"RESOLUTION=1280x720" in multivariant
    media = multivariant.decode().split()[-1]
    status, headers, playlist = await request(server, f"/live/demo/{media}")
    assert (status, headers["cache-control"]) == (200, "public, max-age=1")
    segment = next(line for line in playlist.decode().splitlines() if line and line[0] != "#")
    status, headers, body = await request(server, f"/live/demo/{segment}")
    assert (status, headers["content-type"], int(headers["content-length"])) == (200, media_type, len(body))
    assert headers["cache-control"] == "public, max-age=3600, immutable"
    status, head, nothing = await request(server, f"/live/demo/{segment}", "HEAD")
    assert (status, head["content-length"], nothing) == (200, headers["content-length"], b"")
    return media, body


async def test_playlists_and_segments_have_the_right_headers(server: Server) -> None:
    source = await demo(server)
    media, body = await check_media(server, "index.m3u8", "video/mp4")
    assert (media.partition("?")[0], body[4:8]) == ("v0.m3u8", b"styp")
    media, body = await check_media(server, "ts.m3u8", "video/mp2t")
    assert (media.partition("?")[0], body[0], len(body) % 188) == ("media.m3u8", 0x47, 0)
    await source.stop()


async def test_streams_whose_events_were_lost_are_found_and_forgotten() -> None:
    http = arcly.HttpOrigin("127.0.0.1:0")
    gone, there = arcly.StreamKey("live", "gone"), arcly.StreamKey("live", "there")
    async with arcly.Engine(http) as engine:
        ending = await engine.start_publish(gone)
        await eventually(lambda: http.hls_path(gone))
        ending.end()
        session = await engine.start_publish(there)
        # In the same turn of the loop: more than a listener's queue holds.
        for number in range(600):
            (await engine.start_publish(arcly.StreamKey("live", str(number)))).end()
        await eventually(lambda: http.hls_path(there) and not http.hls_path(gone))
        session.end()


async def test_the_first_viewer_is_held_until_there_is_a_segment(server: Server) -> None:
    source = await demo(server)
    await eventually(lambda: server.http.hls_path(KEY))
    status, _, _ = await request(server, "/live/demo/index.m3u8")
    assert status == 200
    await source.stop()


async def test_an_hls_player_joins_with_its_first_media_playlist_and_leaves_with_the_stream(server: Server) -> None:
    kinds = arcly.StreamEventKind
    source = await demo(server)
    await eventually(lambda: server.http.hls_path(KEY))
    # Who waits for the first segment watches meanwhile; here it is there.
    await request(server, "/live/demo/index.m3u8")
    events = server.engine.events()
    _, _, index = await request(server, "/live/demo/index.m3u8")
    stream = server.stream("live/demo")
    assert stream is not None
    assert stream.stats.viewers == 0, "a name alone is no viewer"
    for _ in range(2):
        await request(server, f"/live/demo/{index.decode().split()[-1]}")
    assert stream.stats.viewers == 1
    await source.stop()
    seen = []
    async with asyncio.timeout(20):
        async for event in events:
            if event.kind in (kinds.SUBSCRIBER_JOINED, kinds.SUBSCRIBER_LEFT):
                seen.append((event.kind, event.reason))
            if len(seen) == 2:
                break
    await events.aclose()
    assert seen == [(kinds.SUBSCRIBER_JOINED, "hls"), (kinds.SUBSCRIBER_LEFT, "hls")]
    assert stream.stats.viewers == 0


async def test_other_methods_and_unknown_paths(server: Server) -> None:
    status, headers, body = await request(server, "/live/none/index.m3u8")
    assert (status, headers["cache-control"], body) == (404, "no-store", b"no such stream is live\n")
    status, headers, _ = await request(server, "/live/none/index.m3u8", "OPTIONS", Origin="http://x")
    assert (status, headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS")
    status, headers, _ = await request(server, "/live/none/index.m3u8", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    status, _, body = await request(server, "/")
    assert (status, b"nothing here" in body) == (404, True)
    for path in ["/live/../../etc/passwd", "/live/%2e%2e/index.m3u8", "/live/a%00b/index.m3u8", "//x/index.m3u8"]:
        status, _, _ = await request(server, path)
        assert status == 404, path


async def test_players_of_another_origin_may_say_how_they_fare_by_headers(server: Server) -> None:
    """Found by reading: CTA-5004 has four, and a browser asks for nothing where one of them is not allowed."""
    _, headers, _ = await request(server, "/live/demo/index.m3u8", "OPTIONS", Origin="http://x")
    for name in ("cmcd-object", "cmcd-request", "cmcd-session", "cmcd-status"):
        assert name in headers["access-control-allow-headers"].lower().split(", ")


@pytest.mark.parametrize("media", ["media.m3u8", "v0.m3u8", "a1.m3u8"])
async def test_an_ended_stream_says_endlist_and_a_new_one_takes_its_place(server: Server, media: str) -> None:
    source = await demo(server)
    await request(server, "/live/demo/index.m3u8")
    _, _, old = await request(server, f"/live/demo/{media}")
    await source.stop()
    await eventually(lambda: server.engine.get_stream(KEY) is None)

    async def ended() -> bool:
        return b"#EXT-X-ENDLIST" in (await request(server, f"/live/demo/{media}"))[2]

    await eventually(ended, deadline_s=20, what="ENDLIST at once")
    again = await demo(server)
    await eventually(lambda: server.http.hls_path(KEY))
    _, _, new = await request(server, f"/live/demo/{media}")
    assert b"#EXT-X-ENDLIST" not in new
    assert not set(old.split()) & set(new.split()) - {line for line in new.split() if line.startswith(b"#")}
    await again.stop()


async def test_http2_with_prior_knowledge(server: Server) -> None:
    # The connection preface and an empty SETTINGS frame (RFC 9113 §3.4); the answer must be a SETTINGS frame.
    reader, writer = await asyncio.open_connection(*server.http.address)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    frame = await asyncio.wait_for(reader.readexactly(9), 5)
    assert frame[3] == 4
    writer.close()


async def test_garbage_and_silence_end_only_their_own_connection(server: Server) -> None:
    with socket.create_connection(server.http.address) as silent:
        reader, writer = await asyncio.open_connection(*server.http.address)
        writer.write(b"\x00\xff" * 1000)
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert (await request(server, "/"))[0] == 404
        silent.close()


async def test_the_application_behind_the_origin_is_reached() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "app.sock"
        http = arcly.HttpOrigin("127.0.0.1:0", app_socket=path)
        rtmp = arcly.RtmpHandler("127.0.0.1:0")
        async with (
            answering(create_app(lambda: {"streams": []}, Viewers({})), path),
            arcly.Engine(rtmp, http) as engine,
        ):
            server = Server(engine, rtmp, http)
            assert (await request(server, "/api/streams"))[2] == b'{"streams":[]}'
            status, headers, page = await request(server, "/live/cam/")
            assert (status, b"<html" in page) == (200, True)
            assert "script-src 'self'" in headers["content-security-policy"]
            # The media of a stream that is not there is the origin's to refuse, not the application's.
            assert (await request(server, "/live/cam/index.m3u8"))[2] == b"no such stream is live\n"


@asynccontextmanager
async def server_with_page(*, may_kick: bool) -> AsyncIterator[Server]:
    """A server with the page's application behind it, and `live/demo`."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "app.sock"
        http, rtmp = arcly.HttpOrigin("127.0.0.1:0", app_socket=path), arcly.RtmpHandler("127.0.0.1:0")
        app = create_app(dict, Viewers({"http": http, "rtmp": rtmp}, may_kick=may_kick))
        async with answering(app, path), arcly.Engine(rtmp, http) as engine:
            server = Server(engine, rtmp, http)
            source = await demo(server)
            yield server
            await source.stop()


async def viewers_of(server: Server, key: str) -> dict[str, Any]:
    status, headers, body = await request(server, f"/api/viewers?stream={key}")
    assert (status, headers["cache-control"]) == (200, "no-store")
    return json.loads(body)


async def test_viewers_are_told_of_and_kicked_by_those_who_may(caplog: pytest.LogCaptureFixture) -> None:
    async with server_with_page(may_kick=True) as server:
        reader, writer = await asyncio.open_connection(*server.http.address)
        writer.write(b"GET /live/demo.flv HTTP/1.1\r\nHost: x\r\nUser-Agent: VLC/3\r\n\r\n")
        await reader.readexactly(64 << 10)
        await eventually(lambda: server.http.list_viewers()[0].bytes >= 64 << 10, what="what it has is counted")
        peer = "{}:{}".format(*writer.get_extra_info("sockname"))
        answer = await viewers_of(server, "live/demo")
        [viewer] = answer["viewers"]
        assert (answer["total"], answer["may_kick"]) == (1, True)
        told = [viewer[name] for name in ("protocol", "peer", "agent", "dropped")]
        assert told == ["http-flv", peer, "VLC/3", 0]
        assert viewer["bytes"] >= 64 << 10
        assert viewer["frames"] > 0
        assert (await viewers_of(server, "live/other"))["viewers"] == []

        path = f"/api/viewers/{viewer['id']}/kick"
        yes = {"X_Arcly_Kick": "1"}
        assert (await request(server, path, **yes))[0] == 404
        assert (await request(server, path, "POST"))[0] == 403
        assert (await request(server, path, "POST", **yes, Sec_Fetch_Site="cross-site"))[0] == 403
        assert (await request(server, path, "OPTIONS", Origin="http://evil"))[0] == 405
        for name in "http:99999", "http:x", "other:1", "http:" + "9" * 30, "http":
            assert (await request(server, f"/api/viewers/{name}/kick", "POST", **yes))[0] == 404
        assert (await viewers_of(server, "live/demo"))["total"] == 1
        assert (await request(server, path, "POST", **yes, Sec_Fetch_Site="same-origin"))[0] == 204
        async with asyncio.timeout(20):
            while await reader.read(1 << 16):
                pass
        writer.close()

        await eventually(lambda: server.http.list_viewers() == [])
        news = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
        assert f"[http] {peer} plays live/demo as FLV" in news
        left = rf"\[http\] {peer} left live/demo after \d+\.\d s: \d+\.\d [kM]B, 0 skipped"
        await eventually(lambda: any(re.fullmatch(left, record.getMessage()) for record in caplog.records))


async def test_nobody_is_kicked_unless_the_server_was_told_so() -> None:
    async with server_with_page(may_kick=False) as server:
        reader, writer = await asyncio.open_connection(*server.http.address)
        writer.write(b"GET /live/demo.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(1000)
        [viewer] = (await viewers_of(server, "live/demo"))["viewers"]
        status, _, body = await request(server, f"/api/viewers/{viewer['id']}/kick", "POST", X_Arcly_Kick="1")
        assert (status, b"--allow-kick" in body) == (403, True)
        assert (await request(server, "/api/viewers?stream=no%2f..%2f%3Ckey%3E"))[0] == 400
        assert len(server.http.list_viewers()) == 1
        writer.close()


@pytest.mark.parametrize("query", ["", "?stream=", "?stream=live", "?app=live&stream=demo", "?stream=live%2F.."])
async def test_who_names_no_stream_is_not_told_that_nobody_watches_it(query: str) -> None:
    """It was an answer with 200 and no viewer."""
    async with server_with_page(may_kick=False) as server:
        status, _, body = await request(server, f"/api/viewers{query}")
        assert status == 400
        assert json.loads(body)["error"].startswith("stream=APP/STREAM is needed: ")


async def test_errors_of_the_api_have_one_form() -> None:
    """Some were text, and why something was not found was left out."""
    async with server_with_page(may_kick=True) as server:
        for path, method, headers, status, said in (
            (
                "/api/viewers",
                "GET",
                {},
                400,
                "stream=APP/STREAM is needed: the app name is empty or has an empty segment",
            ),
            ("/api/viewers/http:9/kick", "POST", {}, 403, "asked for by another site, or without x-arcly-kick"),
            ("/api/viewers/http:9/kick", "POST", {"X_Arcly_Kick": "1"}, 404, "no such viewer"),
            ("/api/nothing", "GET", {"Accept": "text/html"}, 404, "Not Found"),
            ("/api/streams", "POST", {}, 405, "Method Not Allowed"),
        ):
            found, fields, body = await request(server, path, method, **headers)
            assert (found, json.loads(body)) == (status, {"error": said}), (method, path)
            assert fields["content-type"] == "application/json", (method, path)
            assert "script-src 'self'" in fields["content-security-policy"]
            assert ("allow" in fields) == (status == 405)
        status, _, page = await request(server, "/nothing", Accept="text/html")
        assert (status, b"<html" in page) == (404, True)


async def test_addresses_are_shown_on_this_machine_only_unless_the_server_was_told_so() -> None:
    entry = {"id": "http:1", "peer": "198.51.100.7:4711", "agent": "VLC/3"}
    near, far = ("127.0.0.1", "::1", "::ffff:127.0.0.1"), ("203.0.113.9", "2001:db8::1", "", "localhost")
    for shown, seen, unseen in (("local", near, far), ("everybody", far, ()), ("nobody", (), near)):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "app.sock"
            app = create_app(lambda: {"streams": [dict(entry)]}, Viewers({}), addresses=shown)  # type: ignore[arg-type]
            async with answering(app, path):
                for who in seen:
                    assert await peer_told(path, who) == entry, (shown, who)
                for who in unseen:
                    assert await peer_told(path, who) == {"id": "http:1", "peer": None, "agent": ""}, (shown, who)


async def peer_told(path: Path, who: str) -> dict[str, Any]:
    """What the application tells of its only stream when the origin says that `who` asks."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(
        f"GET /api/streams HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {who}\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    [stream] = json.loads(answer.partition(b"\r\n\r\n")[2])["streams"]
    return dict(stream)


def test_a_list_of_viewers_is_made_once_for_many_who_ask_and_is_not_endless() -> None:
    now, asked = 100.0, []

    class Listener:
        def list_viewers(self) -> list[arcly.Viewer]:
            asked.append(now)
            return [
                arcly.Viewer(
                    id=n,
                    key=KEY,
                    protocol="rtmp",
                    peer="192.0.2.1:5",
                    agent="",
                    since_unix_ms=n,
                    bytes=0,
                    frames=0,
                    dropped=0,
                    lag_frames=0,
                )
                for n in range(SHOWN_MAX + 5)
            ]

        def kick(self, viewer: int) -> bool:
            raise AssertionError(viewer)

    viewers = Viewers({"rtmp": Listener()}, clock=lambda: now)
    for _ in range(10):
        answer = viewers.status(str(KEY))
    assert len(asked) == 1
    assert answer["total"] == SHOWN_MAX + 5
    assert [viewer["id"] for viewer in answer["viewers"]] == [f"rtmp:{n}" for n in range(5, SHOWN_MAX + 5)]
    assert not viewers.kick("rtmp:7")
    now += 1
    viewers.status(str(KEY))
    assert len(asked) == 2


async def test_a_dead_application_is_a_bad_gateway() -> None:
    rtmp, http = arcly.RtmpHandler("127.0.0.1:0"), arcly.HttpOrigin("127.0.0.1:0", app_socket="/nonexistent/app.sock")
    async with arcly.Engine(rtmp, http) as engine:
        status, _, body = await request(Server(engine, rtmp, http), "/")
        assert (status, b"does not answer" in body) == (502, True)


@pytest.mark.parametrize("path", ["/live/demo/x.ts", "/live/demo/other.m3u8", "/live/demo/index.m3u8/x"])
async def test_files_that_are_not_there(server: Server, path: str) -> None:
    source = await demo(server)
    await request(server, "/live/demo/index.m3u8")
    assert (await request(server, path))[0] == 404
    await source.stop()


async def test_who_is_led_to_the_page_of_a_stream_keeps_the_credentials_of_the_address() -> None:
    """A bug it had: the page opened without the query, and showed nothing to whoever may play by what stands there."""
    async with server_with_page(may_kick=False) as server:
        for query in ("", "?token=a%2Fb", "?user=me&pass=%C3%A9+x"):
            status, headers, _ = await request(server, f"/live/a%20b{query}")
            assert (status, headers["location"]) == (308, f"./a%20b/{query}")
