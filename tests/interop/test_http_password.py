"""Players that bring a password when they are asked for one (RFC 7617), and not before."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import eventually, run, serving

import arcly
from arcly.server.serve import DEMO_CLIP
from arcly.services.auth import Action, User, Users

KEY = arcly.StreamKey("live", "cam")


@pytest.mark.parametrize("name", [".flv", ".ts", ".mp4", "/index.m3u8", "/manifest.mpd", ".flv?t=1"])
async def test_ffmpeg_brings_its_password(ffmpeg: str, name: str) -> None:
    users = Users([User("studio", "s3cret", frozenset(Action))])
    async with serving(authenticator=users) as server:
        source = arcly.FileSource(Path(DEMO_CLIP), KEY)
        await source.start(server.engine)
        await eventually(lambda: server.http.hls_path(KEY))
        for user, is_let_in in ("studio:s3cret@", True), ("studio:wrong@", False), ("", False):
            url = server.url(f"/live/cam{name}").replace("//", f"//{user}", 1)
            read = await run(ffmpeg, "-v", "error", "-i", url, "-frames:v", "25", "-f", "null", "-")
            assert (read.returncode == 0) is is_let_in, (user, read.stderr)
        await source.stop()
