"""Sound that WebRTC does not carry, as Opus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from arcly._native import MediaFrame, Track
from arcly._native import StreamHandle as NativeStream
from arcly.protocols._made import Made, Tell, decoded
from arcly.subscription import Subscription

DECODERS = {"AAC": "aac", "MP3": "mp3float", "MP2": "mp2float", "AC3": "ac3", "EAC3": "eac3", "FLAC": "flac"}
"""The codecs that are made into Opus, and who decodes them in FFmpeg."""

OPUS_HZ = 48_000
OPUS_SAMPLES = 960
"""20 ms: what browsers expect."""

OPUS_BITS_PER_S = 96_000
PRE_SKIP = 312
"""Samples that a decoder drops from the beginning: the delay of libopus."""

GAP_MAX = OPUS_HZ // 10
"""Samples by which the sound may be apart from its own times before it begins anew."""


def foreign_sound(tracks: list[Track]) -> Track | None:
    """Return the sound that would have to be made into Opus; None where a track can go as it is, or there is none."""
    sounds = [track for track in tracks if track.kind == "audio"]
    if any(track.codec in ("Opus", "G711A", "G711U") for track in sounds):
        return None
    return next((track for track in sounds if track.codec in DECODERS), None)


class OpusSound(Made):
    """The sound of a stream as Opus. See `Made`."""

    def __init__(self, stream: NativeStream, track: Track, tell: Tell) -> None:
        super().__init__(stream, track, "Opus", tell)
        self._session.set_tracks([Track(1, "Opus", opus_head())])
        self.start()

    def _make(self, subscription: Subscription) -> None:
        while subscription.drain():
            pass  # Since the last key frame: sent at once, it would be heard late.
        for packet, pts in self._encode(self._live(subscription)):
            self._session.publish(packet, track=1, pts=pts, duration=OPUS_SAMPLES)

    def _encode(self, frames: Iterator[MediaFrame]) -> Iterator[tuple[bytes, int]]:
        """Yield packets and their times in samples."""
        import av

        decoder, clock = self._decoder(), Clock(self._track.clock_rate_hz)
        shape: Any = None
        resampler: Any = None
        fifo: Any = None
        encoder: Any = None
        for frame in frames:
            if self._has_changed(frame):
                if self._track.codec not in DECODERS:
                    self._reason = f"the stream goes on in {self._track.codec}"
                    return
                decoder, clock, shape = self._decoder(), Clock(self._track.clock_rate_hz), None
            for sound in decoded(decoder, frame):
                if shape_of(sound) != shape or clock.is_apart(frame.pts):
                    shape = shape_of(sound)
                    resampler = av.AudioResampler(format="s16", layout="stereo", rate=OPUS_HZ)
                    fifo, encoder = av.AudioFifo(), opus_encoder()
                    clock.begin(frame.pts)
                for resampled in resampler.resample(sound):
                    clock.came += resampled.samples
                    resampled.pts = None
                    fifo.write(resampled)
                for piece in fifo.read_many(OPUS_SAMPLES):
                    piece.pts = None
                    for packet in encoder.encode(piece):
                        yield bytes(packet), clock.next()

    def _decoder(self) -> Any:
        import av

        decoder: Any = av.CodecContext.create(DECODERS[self._track.codec], "r")
        if self._track.codec == "AAC":
            decoder.extradata = self._track.config
        return decoder


class Clock:
    """The times of packets: counted from the first sample, which has the time of its source."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._begin = 0
        self._sent = 0
        self.came = 0

    def begin(self, pts: int) -> None:
        """Count from here."""
        self._begin = self._scaled(pts)
        self.came = self._sent = 0

    def is_apart(self, pts: int) -> bool:
        """Tell whether a frame of that time is not where the samples before it end."""
        return abs(self._scaled(pts) - (self._begin + self.came)) > GAP_MAX

    def next(self) -> int:
        """Return the time of the next packet."""
        self._sent += OPUS_SAMPLES
        return self._begin + self._sent - OPUS_SAMPLES - PRE_SKIP

    def _scaled(self, pts: int) -> int:
        return pts * OPUS_HZ // self._rate_hz


def shape_of(sound: Any) -> tuple[str, str, int]:
    """Return what a resampler takes no other of."""
    return sound.format.name, sound.layout.name, sound.sample_rate


def opus_encoder() -> Any:
    """Return an encoder for live sound."""
    import av

    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = OPUS_HZ, "stereo", "s16"
    encoder.bit_rate = OPUS_BITS_PER_S
    encoder.options = {"application": "audio", "frame_duration": "20"}
    return encoder


def opus_head() -> bytes:
    """Return the configuration: stereo (RFC 7845 §5.1)."""
    return b"OpusHead\x01\x02" + PRE_SKIP.to_bytes(2, "little") + OPUS_HZ.to_bytes(4, "little") + b"\x00\x00" + b"\x00"
