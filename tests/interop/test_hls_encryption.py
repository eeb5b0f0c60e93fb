"""AES-128 of HLS: what is encrypted how, who is given keys, and players that decrypt it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from conformance.playlist import Playlist, parse
from conformance.rules import faults, faults_between
from conftest import Server, eventually, run, serving
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

import arcly
from arcly.server.serve import DEMO_CLIP

KEY = arcly.StreamKey("live", "cam")

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def encrypted(encryption: arcly.HlsEncryption, **options: object) -> AsyncIterator[Server]:
    """A server with a stream of the demo, whose segments are encrypted."""
    packager = arcly.HlsPackager(encryption=encryption, ts_segment_s=1, playlist_segments=5)
    async with serving(packager=packager, **options) as server:
        source = arcly.FileSource(DEMO_CLIP, KEY)
        await source.start(server.engine)
        await eventually(lambda: server.http.hls_path(KEY))
        yield server
        await source.stop()


async def get(server: Server, name: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a file of the stream."""

    def fetch() -> tuple[int, dict[str, str], bytes]:
        try:
            with urlopen(Request(server.url(f"/live/cam/{name}"), headers=headers), timeout=30) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    return await asyncio.to_thread(fetch)


async def media(server: Server, index: str) -> str:
    """The media playlist of the pictures, as its name with the session."""
    status, _, text = await get(server, index)
    assert status == 200, text
    return re.findall(r"^\w+\.m3u8[^\n]*", text.decode(), re.MULTILINE)[-1]


async def listed(server: Server, name: str, keys: int) -> Playlist:
    """The media playlist, as soon as it has so many keys."""

    async def look() -> Playlist | None:
        found = parse((await get(server, name))[2].decode())
        return found if len({segment.key["URI"] for segment in found.segments if segment.key}) >= keys else None

    return await eventually(look, deadline_s=60, what=f"{keys} keys")


def decrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    """Whole segments or parts: CBC, then the padding."""
    decryptor, unpadder = Cipher(AES(key), CBC(iv)).decryptor(), PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()


@pytest.mark.parametrize("iv", ["sequence", "random"])
@pytest.mark.parametrize("index", ["index.m3u8", "ts.m3u8"])
async def test_segments_and_parts_are_what_their_tag_says(index: str, iv: Literal["sequence", "random"]) -> None:
    async with encrypted(arcly.HlsEncryption(rotate_segments=2, iv=iv)) as server:
        playlist = await listed(server, await media(server, index), keys=2)
        if index == "index.m3u8":
            assert faults(playlist) == []
        keys: dict[str, bytes] = {}
        numbers: set[str] = set()
        for segment in playlist.segments:
            assert segment.key is not None
            assert ("IV" in segment.key) == (iv == "random")
            uri = segment.key["URI"]
            status, headers, keys[uri] = await get(server, uri)
            assert (status, headers["cache-control"], len(keys[uri])) == (200, "private, no-store", 16)
            number = bytes.fromhex(segment.key["IV"][2:]) if iv == "random" else segment.sequence.to_bytes(16, "big")
            numbers.add(number.hex())
            data = decrypt((await get(server, segment.uri))[2], keys[uri], number)
            assert data[4:8] == b"styp" if index == "index.m3u8" else (data[0], len(data) % 188) == (0x47, 0)
            parts = [decrypt((await get(server, part.uri))[2], keys[uri], number) for part in segment.parts]
            assert not parts or b"".join(parts) == data
        assert len(set(keys.values())) == len(keys) >= 2
        assert len(numbers) == len(playlist.segments)
        if index == "index.m3u8":
            status, _, header = await get(server, playlist.segments[-1].map)
            assert header[4:8] == b"ftyp", "a header is in the clear"
        status, _, why = await get(server, "manifest.mpd")
        assert (status, b"encrypted" in why) == (404, True), "DASH would give it away"
        assert server.http.dash_path(KEY) is None
        assert (await get(server, uri.replace("-k", "-k9")))[0] == 404


async def test_ffmpeg_plays_both_over_a_change_of_keys(ffmpeg: str) -> None:
    async with encrypted(arcly.HlsEncryption(rotate_segments=1)) as server:
        for index in "index.m3u8", "ts.m3u8":
            url = server.url(f"/live/cam/{index}")
            read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "4", "-map", "0:v", "-f", "framemd5", "-")
            assert (read.returncode, read.stderr) == (0, ""), index
            assert len([line for line in read.stdout.decode().splitlines() if line[:1] != "#"]) >= 90, index


class Doorman:
    """Lets those in who say the word."""

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return credentials.params.get("token") == "word"


async def test_who_may_not_play_is_given_no_key(ffmpeg: str) -> None:
    async with encrypted(arcly.HlsEncryption(rotate_segments=1), authenticator=Doorman()) as server:
        assert (await get(server, "index.m3u8"))[0] == 401
        for index in "index.m3u8?token=word", "ts.m3u8?token=word":
            playlist = await listed(server, await media(server, index), keys=1)
            uri = playlist.segments[-1].key["URI"]
            assert re.search(r"\.key\?session=[0-9a-f]{16}$", uri), "the session comes along"
            assert (await get(server, uri))[0] == 200
            bare = uri.partition("?")[0]
            assert (await get(server, bare))[0] == 401
            assert (await get(server, f"{bare}?session=0123456789abcdef"))[0] == 403
            assert (await get(server, bare, Authorization="Bearer word"))[0] == 200
        url = server.url("/live/cam/index.m3u8?token=word")
        read = await run(ffmpeg, "-v", "error", "-i", url, "-t", "2", "-map", "0:v", "-f", "null", "-")
        assert (read.returncode, read.stderr) == (0, "")


async def test_keys_of_the_host_are_asked_for_ahead_and_the_one_before_goes_on_while_it_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[int] = []

    def keys(stream: arcly.StreamKey, number: int) -> bytes:
        assert stream == KEY
        asked.append(number)
        if number == 2:
            raise RuntimeError("no such key today")
        return bytes([number]) * 16

    async with encrypted(arcly.HlsEncryption(keys=keys, rotate_segments=1)) as server:
        name = await media(server, "index.m3u8")
        older = await listed(server, name, keys=2)
        assert (await get(server, next(key["URI"] for key in older.keys if "-k1." in key["URI"])))[2] == b"\x01" * 16
        newer = await listed(server, name, keys=3)
        assert faults(newer) + faults_between(older, newer) == []
        names = [re.search(r"-k(\d+)\.", key["URI"])[1] for key in newer.keys]
        assert "2" not in names
        assert asked[0] == 0
        assert asked.index(1) < asked.index(2)
    assert any("no key 2" in record.getMessage() for record in caplog.records)


def wrong(stream: arcly.StreamKey, number: int) -> bytes:
    return b"short"


async def test_a_key_of_another_length_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(packager=arcly.HlsPackager(encryption=arcly.HlsEncryption(keys=wrong))) as server:
        events = server.engine.events()
        source = arcly.FileSource(DEMO_CLIP, KEY)
        await source.start(server.engine)
        async with asyncio.timeout(60):
            failed = await anext(event async for event in events if event.kind is arcly.StreamEventKind.FAILED)
        assert "16 bytes" in failed.reason
        assert server.http.hls_path(KEY) is None, "nothing goes out in the clear"
        await source.stop()
    caplog.clear()


def test_rotation_is_a_number() -> None:
    with pytest.raises(arcly.MisuseError):
        arcly.HlsPackager(encryption=arcly.HlsEncryption(rotate_segments=-1))
