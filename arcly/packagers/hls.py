"""HLS."""

from __future__ import annotations

from arcly._bridge import native_stream
from arcly._inbox import InboxReader
from arcly._native import HlsOutput
from arcly.contract import IngestContext, StreamHandle


class HlsPackager:
    """HTTP Live Streaming and DASH from the same CMAF segments (RFC 8216bis, ISO/IEC 23009-1), with low latency, and
    beside it HLS with MPEG-TS segments. A `Packager`; give it to an `HttpOrigin`.

    Every stream is packaged from its start, so that its first viewer does not wait for a segment to be made.

    Args:
        part_s: parts of a segment last about so long, default 0.2; a player with low latency stays three of them behind
            the live edge. 0: no low latency.
        segment_s: a segment ends at the first key frame after so many seconds, default 1. With parts it does not matter
            to latency: it is how soon a viewer who comes can begin. Shorter ones cost more requests.
        window_s: how far viewers can go back, default 15; never less than six times the longest segment.
        window_bytes_max: memory for that, of each track, default 1 GiB. The oldest segments go first.
        event: nothing leaves the playlist while the stream lasts; at `window_bytes_max` the presentation ends.
        cmaf: make CMAF, for HLS at `index.m3u8` and DASH at `manifest.mpd`. Default true.
        ts: make MPEG-TS, for players that know nothing else, at `ts.m3u8`; without `cmaf` at `index.m3u8` too. Default
            true. It costs the memory of 14 segments.
        ts_segment_s: the same as `segment_s` for MPEG-TS, default 2. Its players stay three segments behind.
        playlist_segments: segments in the playlist of MPEG-TS, default 7.
    """

    def __init__(
        self,
        *,
        part_s: float = 0.2,
        segment_s: float = 1.0,
        window_s: float = 15.0,
        window_bytes_max: int = 1 << 30,
        event: bool = False,
        cmaf: bool = True,
        ts: bool = True,
        ts_segment_s: float = 2.0,
        playlist_segments: int = 7,
    ) -> None:
        self._cmaf = (part_s, segment_s, window_s, window_bytes_max, event) if cmaf else None
        self._ts = (ts_segment_s, playlist_segments) if ts else None
        self._inbox: InboxReader | None = None

    def package(self, context: IngestContext, stream: StreamHandle) -> HlsOutput:
        """Begin to package `stream`."""
        if self._inbox is None:
            self._inbox = InboxReader("hls")
        return HlsOutput(context.native, native_stream(stream), self._inbox.inbox, cmaf=self._cmaf, ts=self._ts)

    async def stop(self) -> None:
        """Stop reading warnings; what is being packaged ends with its stream."""
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None
