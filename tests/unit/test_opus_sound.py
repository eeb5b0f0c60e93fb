"""Sound that is made into Opus for WebRTC tells of itself as a transcoder does, and follows what its source becomes."""

import asyncio
import itertools
from typing import Any

import pytest
from conftest import eventually

import arcly
from arcly.events import StreamEvent, StreamEventKind
from arcly.protocols import _sound
from arcly.subscription import Subscription

KEY = arcly.StreamKey("live", "cam")
AAC = arcly.Track(2, "AAC", bytes([0x11, 0x90]))  # LC, 48 kHz, stereo.


async def test_a_transcoder_of_ours_tells_when_it_begins_and_why_it_ends() -> None:
    async with arcly.Engine(default_app=arcly.AppSpec()) as engine:
        session = await engine.start_publish(KEY, protocol="test")
        session.set_tracks([AAC])
        stream = engine.get_stream(KEY)
        assert stream
        told: list[StreamEvent] = []
        events = engine.events()

        async def ended() -> StreamEvent:
            async for event in events:
                if event.kind.startswith("transcoding"):
                    told.append(event)
                if event.kind is StreamEventKind.TRANSCODING_ENDED:
                    return event
            raise AssertionError("no more events")

        unheard = _sound.OpusSound(stream.native, AAC, engine.emit)
        unheard.stop()
        assert (await asyncio.wait_for(ended(), 60)).reason == "nobody takes it any more"
        _sound.OpusSound(stream.native, AAC, engine.emit)
        session.end()
        assert (await asyncio.wait_for(ended(), 60)).reason == "the stream has ended"
        assert [event.reason for event in told[::2]] == ["Opus for WebRTC, from AAC"] * 2
        assert all(event.key == KEY and event.at_unix_ms > 0 for event in told)


def aac(rate_hz: int, layout: str) -> tuple[arcly.Track, list[bytes]]:
    """Return a second of silence at most."""
    av: Any = pytest.importorskip("av")
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate_hz, layout, "fltp"
    encoder.flags |= av.codec.context.Flags.global_header
    encoder.open()
    packets = []
    for number in range(rate_hz // 1024):
        sound = av.AudioFrame(format="fltp", layout=layout, samples=1024)
        for plane in sound.planes:
            plane.update(bytes(4 * 1024))
        sound.sample_rate, sound.pts = rate_hz, number * 1024
        packets += encoder.encode(sound)
    return arcly.Track(2, "AAC", encoder.extradata), [bytes(packet) for packet in packets]


async def test_a_source_that_goes_on_at_another_rate_and_in_mono_is_followed() -> None:
    parts = [aac(48_000, "stereo"), aac(44_100, "mono"), aac(48_000, "stereo")]
    async with arcly.Engine(default_app=arcly.AppSpec()) as engine:
        session = await engine.start_publish(KEY, protocol="test")
        session.set_tracks([parts[0][0]])
        stream = engine.get_stream(KEY)
        assert stream
        made = _sound.OpusSound(stream.native, parts[0][0], engine.emit)
        times: list[int] = []
        try:
            with Subscription(made.handle, tracks=None, protocol="test") as sounds:

                def is_at(samples: int) -> bool:
                    times.extend(frame.pts for frame in sounds.drain())
                    return bool(times) and times[-1] > samples

                numbers = itertools.count()

                def is_followed() -> bool:
                    number = next(numbers)
                    packets = parts[0][1]
                    session.publish(packets[number % len(packets)], track=2, pts=number * 1024)
                    return is_at(0)

                # What comes before it reads is passed over.
                await eventually(is_followed, what="somebody who reads")
                begin = next(numbers) * 1024
                for part, (track, packets) in enumerate(parts):
                    session.set_tracks([track])
                    since = begin + part * _sound.OPUS_HZ
                    for number, packet in enumerate(packets):
                        pts = since * track.clock_rate_hz // _sound.OPUS_HZ + number * 1024
                        session.publish(packet, track=2, pts=pts)
                    end = since + _sound.OPUS_HZ * 9 // 10
                    await eventually(lambda: is_at(end), what=f"the sound of second {part}")  # noqa: B023
        finally:
            made.stop()
    steps = [after - before for before, after in itertools.pairwise(times)]
    assert all(0 < step <= 4 * _sound.OPUS_SAMPLES for step in steps), steps
    assert sum(step != _sound.OPUS_SAMPLES for step in steps) <= 2, "but where it changes"
    assert not made.failed


async def test_a_maker_whose_source_goes_on_in_opus_says_so() -> None:
    track, packets = aac(48_000, "stereo")
    async with arcly.Engine(default_app=arcly.AppSpec()) as engine:
        session = await engine.start_publish(KEY, protocol="test")
        session.set_tracks([track])
        stream = engine.get_stream(KEY)
        assert stream
        told: list[str] = []
        made = _sound.OpusSound(stream.native, track, lambda _kind, _key, reason: told.append(reason))
        session.publish(packets[0], track=2, pts=0)
        session.set_tracks([arcly.Track(2, "Opus", _sound.opus_head())])
        numbers = itertools.count(1)

        def has_ended() -> bool:
            session.publish(b"\xfc\xff\xfe", track=2, pts=next(numbers) * _sound.OPUS_SAMPLES)
            return not made.runs

        await eventually(has_ended, what="its end")
        assert told[1:] == ["the stream goes on in Opus"]
