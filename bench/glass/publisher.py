"""A camera that looks at a clock: `publisher.py URL` encodes pictures as they are drawn, and sends them by RTMP.

25 pictures a second, a key picture every second, no B-frames, and sound beside it: an encoder for low latency.
"""

import sys
import time
from fractions import Fraction

import av
from barcode import HEIGHT, WIDTH, luma

RATE_HZ = 25
SAMPLE_RATE_HZ = 48_000
SAMPLES = 1024
"""Of a frame of AAC."""

X264 = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": f"keyint={RATE_HZ}:scenecut=0:bframes=0"}


def main(url: str) -> None:
    """Publish until the parent ends it."""
    with av.open(url, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as target:
        video = target.add_stream("libx264", rate=RATE_HZ, options=X264)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, RATE_HZ)
        audio = target.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        began, number, samples = time.monotonic(), 0, 0
        while True:
            time.sleep(max(0.0, began + number / RATE_HZ - time.monotonic()))
            target.mux(video.encode(picture(number)))
            number += 1
            while samples < SAMPLE_RATE_HZ * number // RATE_HZ:
                target.mux(audio.encode(silence(samples)))
                samples += SAMPLES


def picture(number: int) -> av.VideoFrame:
    """Draw the time of this moment."""
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    frame.planes[1].update(b"\x80" * frame.planes[1].buffer_size)
    frame.planes[2].update(b"\x80" * frame.planes[2].buffer_size)
    frame.planes[0].update(luma(time.time_ns() // 1_000_000, number))
    frame.pts, frame.time_base = number, Fraction(1, RATE_HZ)
    return frame


def silence(pts: int) -> av.AudioFrame:
    """Return a frame without a sound."""
    frame = av.AudioFrame("fltp", "mono", SAMPLES)
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, pts, Fraction(1, SAMPLE_RATE_HZ)
    return frame


if __name__ == "__main__":
    main(sys.argv[1])
