"""Publishing, subscribing, lagging, eviction, ends, takeovers and reconfiguration against a naive model: a list of
everything that was ever published.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

import arcly

KEY = arcly.StreamKey("live", "cam")
AVCC = bytes.fromhex("0164001fffe1001a6764001facd9405005bb011000000300100000030320f183196001000668ebe3cb22c0")
VIDEO = arcly.Track(0, "H264", AVCC)
AUDIO = arcly.Track(1, "AAC", bytes([0x11, 0x90]))
TRACKS = ([VIDEO, AUDIO], [VIDEO], [VIDEO, AUDIO, arcly.Track(2, "AAC", bytes([0x12, 0x10]))])

BOUNDS = st.integers(1, 300)
LAGS = st.none() | st.integers(0, 400)


@dataclass
class Sent:
    """A frame as it was published; its place in the list is its number."""

    track: int
    key: bool
    tracks: list[arcly.Track]


@dataclass
class Stream:
    """One stream of the model."""

    handle: arcly.StreamHandle
    spec: arcly.AppSpec
    frames: list[Sent] = field(default_factory=list)
    ended: bool = False

    def entry(self) -> int | None:
        """Where a reader begins: the newest key frame, as long as its GOP is within the bounds."""
        keys = [n for n, sent in enumerate(self.frames) if sent.key]
        return keys[-1] if keys and len(self.frames) - keys[-1] <= self.spec.ring_frames else None


@dataclass
class Reader:
    """A subscription, and what the model knows of it."""

    stream: Stream
    subscription: arcly.Subscription
    max_lag: int | None
    entry: int | None
    joined: int
    last: int | None = None
    received: int = 0
    missed_before: int = 0


class Model(RuleBasedStateMachine):
    """One key of one engine, its streams one after the other, and their readers."""

    readers = Bundle("readers")

    @initialize(frames=BOUNDS, max_lag=LAGS)
    def begin(self, frames: int, max_lag: int | None) -> None:
        self.engine = arcly.Engine()
        self.reconfigure(frames, max_lag, False)
        self.session: arcly.PublishSession | None = None
        self.stream: Stream | None = None
        self.tracks: list[arcly.Track] = []
        self.pts = 0

    @rule(frames=BOUNDS, max_lag=LAGS, replace=st.booleans())
    def reconfigure(self, frames: int, max_lag: int | None, replace: bool) -> None:
        """Streams that are there keep what they have; a later one has this."""
        policy = "replace" if replace else "refuse"
        self.spec = arcly.AppSpec(ring_frames=frames, max_lag=max_lag, second_publisher=policy)  # type: ignore[arg-type]
        self.engine.put_app("live", self.spec)

    @rule()
    def publish_stream(self) -> None:
        taken = self.stream is not None and not self.stream.ended
        if taken and self.spec.second_publisher == "refuse":
            try:
                self.engine.native.start_publish(KEY, "test", None)
            except arcly.AlreadyPublishingError:
                return
            raise AssertionError("a key was taken twice")
        old, self.session = self.session, self.engine.native.start_publish(KEY, "test", None)
        if taken:
            assert self.stream is not None
            assert old is not None
            assert not old.active
            self.stream.ended = True
        self.stream = Stream(arcly.StreamHandle(self.session.handle), self.spec)
        self.set_tracks(0)

    @rule(which=st.integers(0, len(TRACKS) - 1))
    def set_tracks(self, which: int) -> None:
        if self.session is not None and self.stream is not None and not self.stream.ended:
            self.tracks = TRACKS[which]
            self.session.set_tracks(self.tracks)

    @rule(frames=st.integers(1, 30) | st.integers(100, 800), audio_every=st.integers(1, 4), key=st.booleans())
    def publish(self, frames: int, audio_every: int, key: bool) -> None:
        """A key frame perhaps, and what follows it."""
        if self.session is None or self.stream is None or self.stream.ended:
            self.publish_stream()
        assert self.session is not None
        assert self.stream is not None
        has_audio = len(self.tracks) > 1
        for n in range(frames):
            is_key = key and n == 0
            track = 1 if has_audio and n % (audio_every + 1) == audio_every else 0
            number, self.pts = len(self.stream.frames), self.pts + 3000
            self.session.publish(number.to_bytes(4, "big"), track=track, pts=self.pts, key=is_key)
            self.stream.frames.append(Sent(track, is_key, self.tracks))

    @rule(target=readers, max_lag=LAGS)
    def subscribe(self, max_lag: int | None) -> object:
        if self.stream is None:
            return multiple()
        stream = self.stream
        subscription = stream.handle.subscribe(max_lag=max_lag)
        limit = max_lag if max_lag is not None else stream.spec.max_lag
        return Reader(stream, subscription, limit, stream.entry(), len(stream.frames))

    @rule(reader=readers, frames=st.integers(1, 200))
    def read(self, reader: Reader, frames: int) -> None:
        self.check(reader, reader.subscription.drain(frames), frames)

    @rule(reader=readers, frames=st.integers(100, 1500))
    def fall_behind(self, reader: Reader, frames: int) -> None:
        """A reader reads, sleeps over some GOPs, and reads on."""
        self.read(reader, 10)
        if reader.stream is self.stream and not self.stream.ended:
            for part in (frames, 20, 20):
                self.publish(part, 3, True)
        self.read(reader, 10)

    @rule(reader=consumes(readers))
    def close(self, reader: Reader) -> None:
        reader.subscription.close()
        assert reader.subscription.drain() == []
        assert reader.subscription.cursor.ended

    @rule(by=st.sampled_from(["publisher", "host", *["nobody"] * 6]))
    def end(self, by: str) -> None:
        if self.session is None or self.stream is None or by == "nobody":
            return
        if by == "publisher":
            self.session.end()
        else:
            assert self.engine.end_stream(self.stream.handle) is not self.stream.ended
        self.stream.ended = True

    @rule(reader=consumes(readers))
    def read_to_the_end(self, reader: Reader) -> None:
        """An ended stream gives all that it still has, and then the end."""
        while frames := reader.subscription.drain(64):
            self.check(reader, frames, 64)
        self.check(reader, [], 64)
        if reader.stream.ended and not reader.subscription.evicted and reader.last is not None:
            rest = len(reader.stream.frames) - 1 - reader.last
            assert reader.subscription.missed >= rest, "what follows the last frame read was missed, and counted"

    def check(self, reader: Reader, frames: list[arcly.MediaFrame], most: int) -> None:
        subscription, stream = reader.subscription, reader.stream
        assert len(frames) <= most
        for frame in frames:
            number = int.from_bytes(bytes(frame), "big")
            sent = stream.frames[number]
            assert (frame.track, frame.is_key, frame.tracks) == (sent.track, sent.key, sent.tracks)
            if reader.last is None:
                assert sent.key, "a reader begins at a key frame"
                if reader.entry is not None and not subscription.missed:
                    assert number == reader.entry
                elif reader.entry is None:
                    assert number >= reader.joined
            elif number != reader.last + 1:
                assert number > reader.last
                assert frame.is_discontinuity
                assert sent.key, "after a gap a reader goes on at a key frame"
            reader.last = number
            reader.received += 1
        missed = subscription.missed
        assert missed >= reader.missed_before
        if missed > reader.missed_before and not subscription.evicted:
            assert len(stream.frames) > stream.spec.ring_frames, "nobody lags within the bounds"
        reader.missed_before = missed
        if subscription.evicted:
            assert reader.max_lag is not None
            assert missed > reader.max_lag
            assert subscription.drain() == []
        elif not frames and subscription.cursor.ended:
            assert stream.ended

    @invariant()
    def the_registry_knows_what_is_published(self) -> None:
        if hasattr(self, "engine"):
            live = self.stream is not None and not self.stream.ended
            found = self.engine.get_stream(KEY)
            assert (found is not None) == live
            if found is not None and self.stream is not None:
                assert found.session == self.stream.handle.session
                counted = found.stats
                assert counted.video_frames + counted.other_frames == len(self.stream.frames)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.native.stop()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
