"""Pictures that are not sent in the order in which they are shown (B-frames), made into H.264 that is."""

from __future__ import annotations

from typing import Any

from arcly._native import StreamHandle as NativeStream
from arcly._native import Track
from arcly.protocols._made import Made, Tell, decoded
from arcly.subscription import Subscription

DECODERS = {"H264": "h264", "H265": "hevc"}
"""The codecs that have such pictures, and who decodes them in FFmpeg."""

CLOCK_HZ = 90_000
KEY_EVERY = 2 * CLOCK_HZ
"""Ticks between key frames at most, as of publishers of WebRTC."""

ENCODER = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "profile": "baseline", "forced-idr": "1"}
ENCODER["x264-params"] = "annexb=0"
"""What libx264 is told: no delay, what every browser decodes, and NAL units behind their lengths as on the bus."""

USUAL_FPS = 30
"""Where the stream does not say it: the encoder only chooses a level by it."""


def reordered_pictures(tracks: list[Track]) -> Track | None:
    """Return the pictures that are not in order, as far as the stream says it."""
    pictures = next((track for track in tracks if track.kind == "video"), None)
    return pictures if pictures is not None and pictures.codec in DECODERS and pictures.reorder_frames else None


class PicturesInOrder(Made):
    """The pictures of a stream as H.264 without B-frames. See `Made`."""

    def __init__(self, stream: NativeStream, track: Track, tell: Tell) -> None:
        super().__init__(stream, track, "H264 without B-frames", tell)
        self._encoder: Any = None
        self._key_at: int | None = None
        self.start()

    def _make(self, subscription: Subscription) -> None:
        decoder = self._decoder()
        # What lies behind is needed to decode what comes: it is not shown.
        while not self._ending.is_set() and (waiting := subscription.drain(1)):
            decoded(decoder, waiting[0])
        for frame in self._live(subscription):
            if self._has_changed(frame):
                if self._track.codec not in DECODERS:
                    self._reason = f"the stream goes on in {self._track.codec}"
                    return
                decoder = self._decoder()
            for picture in decoded(decoder, frame):
                self._encode(picture)

    def _decoder(self) -> Any:
        import av

        decoder: Any = av.CodecContext.create(DECODERS[self._track.codec], "r")
        decoder.extradata = self._track.config
        return decoder

    def _encode(self, picture: Any) -> None:
        from av.video.frame import PictureType

        if self._encoder is None or (picture.width, picture.height) != (self._encoder.width, self._encoder.height):
            self._encoder, self._key_at = encoder_of(picture, self._track.fps), None
            self._session.set_tracks([Track(0, "H264", self._encoder.extradata)])
        is_due = self._key_at is None or picture.pts - self._key_at >= KEY_EVERY
        is_key = self._session.take_keyframe_request() or is_due
        if is_key:
            self._key_at = picture.pts
        picture = picture.reformat(format="yuv420p")
        picture.pict_type = PictureType.I if is_key else PictureType.NONE
        for packet in self._encoder.encode(picture):
            self._session.publish(bytes(packet), track=0, pts=packet.pts, key=packet.is_keyframe)


def encoder_of(picture: Any, fps: float | None) -> Any:
    """Return an encoder for pictures of that size, about so many a second."""
    from fractions import Fraction

    import av

    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuv420p"
    encoder.time_base = Fraction(1, CLOCK_HZ)
    encoder.framerate = Fraction(fps or USUAL_FPS).limit_denominator(1001)
    encoder.options = ENCODER
    # The parameter sets beside the pictures, as on the bus.
    encoder.flags |= av.codec.context.Flags.global_header
    encoder.open()
    return encoder
