"""What is made for the viewers of WebRTC: once, and not again and again where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

import arcly
from arcly.media import MediaReader
from arcly.protocols import _makers, _sound

KEY = arcly.StreamKey("live", "cam")


async def test_what_fails_is_not_begun_anew_by_each_viewer(
    clip: Callable[..., Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Iterator[Any]:
        raise OSError("no encoder here")

    monkeypatch.setattr(_sound.OpusSound, "_encode", fail)
    tracks = MediaReader(clip(seconds=1)).read(1)[0].tracks
    async with arcly.Engine(default_app=arcly.AppSpec()) as engine:
        session = await engine.start_publish(KEY, protocol="test")
        session.set_tracks(tracks)
        stream = engine.get_stream(KEY)
        assert stream
        makers = _makers.Makers(lambda: {KEY}, engine.emit)
        try:
            first = makers.opus_of(1, stream.native)
            assert first is not None
            await eventually(lambda: first.failed and not first.runs, what="its end")
            assert [makers.opus_of(1, stream.native) for _ in range(5)] == [None] * 5
            assert caplog.text.count("no Opus is made any more") == 1
            # Who publishes anew may send what can be made.
            assert makers.opus_of(2, stream.native) is not None
            await eventually(lambda: caplog.text.count("no Opus is made any more") == 2, what="the end of that one")
            monkeypatch.setattr(_makers, "RETRY_S", 0.0)
            again = makers.opus_of(2, stream.native)
            assert again is not None
            assert again is not first
            await eventually(lambda: not again.runs, what="its end")
        finally:
            makers.stop()
    caplog.clear()  # That nothing can be made here is an error, and meant to be one.
