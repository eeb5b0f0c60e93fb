"""Sound that is made into Opus for WebRTC tells of itself, as a transcoder does."""

import asyncio

import arcly
from arcly.events import StreamEvent, StreamEventKind
from arcly.protocols import _sound

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
