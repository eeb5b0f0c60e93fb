"""Key frames on standard input, JPEG pictures on standard output, as a process: `python -m arcly.thumbnail.worker`.

A request is the length of a JSON object in 4 bytes (big-endian), the object (`codec`, `width`, and the lengths of
`config` and `frame`), the codec's record, the frame. An answer is 1 byte, 0 when the rest is a picture and 1 when it is
a sentence that says why there is none, the length of the rest in 4 bytes, and the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import sys
from fractions import Fraction
from typing import Any, BinaryIO

MEMORY_BYTES = 2 << 30
"""What the process may have: a picture that claims to be larger does not get it."""

PIXELS_MAX = 64 << 20
"""Of a picture: 8K has half of it."""

DECODERS = {"H264": "h264", "H265": "hevc", "H266": "vvc", "AV1": "av1", "VP9": "vp9", "VP8": "vp8"}
"""What FFmpeg calls them."""


def picture(codec: str, config: bytes, frame: bytes, width: int) -> bytes:
    """Return a key frame as JPEG, no wider than `width`."""
    import av
    from av.video.frame import VideoFrame

    decoder: Any = av.CodecContext.create(DECODERS[codec], "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(PIXELS_MAX)}
    if config:
        decoder.extradata = config
    decoded = [*decoder.decode(av.Packet(frame)), *decoder.decode(None)]
    pictures = [one for one in decoded if isinstance(one, VideoFrame)]
    if not pictures:
        raise ValueError("the decoder made no picture of it")
    first = pictures[0]
    wide = min(width, first.width) & ~1 or 2
    high = max(2, round(first.height * wide / first.width) & ~1)
    small = first.reformat(width=wide, height=high, format="yuvj420p")
    small.pts = 0
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = wide, high, "yuvj420p"
    encoder.time_base = Fraction(1, 1)
    encoder.options = {"qmin": "3", "qmax": "6"}
    return b"".join(bytes(packet) for packet in [*encoder.encode(small), *encoder.encode(None)])


def read(stream: BinaryIO, size: int) -> bytes:
    """Return so many bytes.

    Raises:
        EOFError: there are no more.
    """
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while True:
        (size,) = struct.unpack(">I", read(requests, 4))
        asked = json.loads(read(requests, size))
        config, frame = read(requests, asked["config"]), read(requests, asked["frame"])
        try:
            kind, body = 0, picture(asked["codec"], config, frame, asked["width"])
        except Exception as error:
            kind, body = 1, f"{type(error).__name__}: {error}".encode()[:1000]
        answers.write(struct.pack(">BI", kind, len(body)) + body)
        answers.flush()


def main() -> None:
    """Serve standard input and output, humbly."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.nice(10)
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
