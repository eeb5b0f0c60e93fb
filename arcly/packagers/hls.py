"""HLS."""

from __future__ import annotations

from arcly._bridge import native_stream
from arcly._inbox import InboxReader
from arcly._native import HlsOutput
from arcly.contract import IngestContext, StreamHandle


class HlsPackager:
    """HTTP Live Streaming with MPEG-TS segments (RFC 8216). A `Packager`; give it to an `HttpOrigin`.

    Every stream is packaged from its start, so that its first viewer does not wait for a segment to be made.

    Args:
        segment_target_s: a segment ends at the first key frame after so many seconds, default 2. Players stay three
            segments behind the live edge; shorter segments cost more requests.
        playlist_segments: segments in the playlist, default 7. Memory per stream is about twice that many segments.
    """

    def __init__(self, *, segment_target_s: float = 2.0, playlist_segments: int = 7) -> None:
        self._segment_target_s = segment_target_s
        self._playlist_segments = playlist_segments
        self._inbox: InboxReader | None = None

    def package(self, context: IngestContext, stream: StreamHandle) -> HlsOutput:
        """Begin to package `stream`."""
        if self._inbox is None:
            self._inbox = InboxReader("hls")
        return HlsOutput(
            context.native,
            native_stream(stream),
            self._inbox.inbox,
            segment_target_s=self._segment_target_s,
            playlist_segments=self._playlist_segments,
        )

    async def stop(self) -> None:
        """Stop reading warnings; what is being packaged ends with its stream."""
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None
