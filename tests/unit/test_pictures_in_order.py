"""Pictures with B-frames are made into pictures in order: under their own times, over damage and another size."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from conftest import eventually

import arcly
from arcly.media import MediaReader
from arcly.protocols import _pictures
from arcly.subscription import Subscription

KEY = arcly.StreamKey("live", "cam")


async def test_pictures_come_in_order_and_over_what_is_broken_and_another_size(clip: Callable[..., Path]) -> None:
    first, second = (
        MediaReader(clip(seconds=4, audio=False, b_frames=2, size=size)).read(1000) for size in ("640x360", "320x180")
    )
    async with arcly.Engine(default_app=arcly.AppSpec()) as engine:
        session = await engine.start_publish(KEY, protocol="test")
        session.set_tracks(first[0].tracks)
        stream = engine.get_stream(KEY)
        assert stream
        track = _pictures.reordered_pictures(stream.tracks)
        assert track
        made = _pictures.PicturesInOrder(stream.native, track, engine.emit)
        came: list[arcly.MediaFrame] = []
        try:
            with Subscription(made.handle, tracks=None, protocol="test") as pictures:

                def have(count: int) -> bool:
                    came.extend(pictures.drain())
                    return len(came) >= count

                await eventually(lambda: stream.stats.viewers == 1, what="somebody who reads")
                for frame in first[:50]:
                    session.send(frame)
                    await asyncio.sleep(0.01)  # As they come: what is there already when it begins is not shown.
                await eventually(lambda: have(5), what="the first pictures")
                # A picture that is none.
                broken = first[50]
                session.publish(b"\0\0\0\4\x41\xff\xff\xff", track=broken.track, pts=broken.pts, dts=broken.dts)
                behind = first[-1].dts + 3600
                for frame in second:
                    session.send(
                        arcly.MediaFrame(
                            frame,
                            frame.tracks,
                            track=frame.track,
                            pts=frame.pts + behind,
                            dts=frame.dts + behind,
                            key=frame.is_key,
                        )
                    )
                await eventually(
                    lambda: have(100) and len({frame.tracks[0].width for frame in came}) == 2,
                    what="pictures of the other size",
                )
        finally:
            made.stop()
    sizes = [frame.tracks[0].width for frame in came]
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) == {640, 320}
    for width in 640, 320:
        times = [frame.pts for frame in came if frame.tracks[0].width == width]
        steps = {after - before for before, after in itertools.pairwise(times[:15])}
        assert steps == {3600}, steps
    assert all(frame.pts == frame.dts for frame in came)
    assert came[0].is_key
