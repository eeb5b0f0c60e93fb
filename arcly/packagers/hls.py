"""HLS."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

from arcly._bridge import Lease, native_stream
from arcly._inbox import InboxReader
from arcly._limits import require_between
from arcly._native import HlsOutput, Spill, StreamKey
from arcly.contract import IngestContext, StorageBackend, StreamHandle
from arcly.errors import MisuseError
from arcly.packagers.spill import SpillStore

log = logging.getLogger("arcly")

TS_BYTES_MAX = 256 << 20
"""The most memory of a stream that is for MPEG-TS, whose window is short."""


@dataclass(frozen=True, slots=True)
class HlsEncryption:
    """AES-128 of whole segments (RFC 8216bis §4.4.4.4), against those who have a segment and not its key: caches, and
    whoever reads them. Players fetch keys beside the segments, and only who may play is given one.

    Raises:
        MisuseError: `rotate_segments` is out of range, or `iv` is neither of its two words.
    """

    keys: Callable[[StreamKey, int], bytes] | None = None
    """Gives the 16 bytes of a key by its number, counted from 0. Number 0 is asked for when a stream begins, on the
    event loop; each other one a key ahead, on a thread, so that it may wait. CMAF and MPEG-TS have keys of their own,
    each asks. While it raises, the key before goes on. None: random keys, which nobody else knows."""

    rotate_segments: int = 60
    """A key is for so many segments, up to 2^31; 0: one for all."""

    iv: Literal["sequence", "random"] = "sequence"
    """Initialization vectors are the number of the segment, or a random one for each, told by the playlist."""

    def __post_init__(self) -> None:
        """Check everything."""
        require_between("rotate_segments", self.rotate_segments, 0, 1 << 31)
        if self.iv not in ("sequence", "random"):
            raise MisuseError(f"iv is {self.iv!r}; it must be 'sequence' or 'random'")


class HlsPackager:
    """HTTP Live Streaming and DASH from the same CMAF segments (RFC 8216bis, ISO/IEC 23009-1), with low latency, and
    beside it HLS with MPEG-TS segments. A `Packager`; give it to an `HttpOrigin`.

    Every stream is packaged from its start, so that its first viewer does not wait for a segment to be made; with
    `idle_s` only while somebody watches.

    Args:
        part_s: parts of a segment last about so long, default 0.2, up to 60; a player with low latency stays three of
            them behind the live edge. 0: no low latency.
        segment_s: a segment ends at the first key frame after so many seconds, default 1, up to 3600. With parts it
            does not matter to latency: it is how soon a viewer who comes can begin. Shorter ones cost more requests.
        window_s: how far viewers can go back in seconds, default 15, up to 10^9; never less than six times the longest
            segment. When a stream has ended, its window stays as long as it lasts, a minute at least.
        window_bytes_max: memory of a stream for that, all tracks and MPEG-TS together, default 1 GiB; a quarter of it,
            256 MiB at most, is for MPEG-TS. The oldest segments go first, and the newest of each never; a warning says
            so once.
        spill: a directory or a storage for the older part of the window, this server's alone: what an earlier one has
            left in it under `arcly-hls-…` is removed. It may fail or hang: the window then gets shorter, a `FAILED`
            event says so, and nothing else happens. With it viewers of MPEG-TS can go back as far as others. None: all
            of the window is in memory.
        memory_s: with `spill`, so much of the window stays in memory, default 60; never less than six times the longest
            segment.
        event: nothing leaves the playlist while the stream lasts; at `window_bytes_max` the presentation ends.
        cmaf: make CMAF, for HLS at `index.m3u8` and DASH at `manifest.mpd`. Default true.
        ts: make MPEG-TS, for players that know nothing else, at `ts.m3u8`; without `cmaf` at `index.m3u8` too. Default
            true. It costs the memory of 14 segments.
        ts_segment_s: the same as `segment_s` for MPEG-TS, default 2. Its players stay three segments behind.
        playlist_segments: segments in the playlist of MPEG-TS at least, default 7.
        encryption: encrypt segments and parts. There is no DASH then, which has no such encryption; and FLV, TS and MP4
            without an end, RTMP and others are as they were.
        idle_s: package a stream only from its first viewer on, until nobody has asked for anything of it, or of what
            shows the same in other sizes, for so many seconds, from 1 on, three target durations at least; a minute
            does. The first viewer waits for a segment (a GOP, mostly), and can go back as far as somebody watched. A
            stream that nobody watches then takes no memory for windows and half the CPU: a hundred cameras of
            2.5 Mbit/s 2.3 GB less. Default None: from the start on. Not with `spill`, `event` or `encryption`.

    Raises:
        MisuseError: an option is out of its range, neither `cmaf` nor `ts` is wanted, or `idle_s` goes with what it
            cannot.
    """

    def __init__(
        self,
        *,
        part_s: float = 0.2,
        segment_s: float = 1.0,
        window_s: float = 15.0,
        window_bytes_max: int = 1 << 30,
        spill: str | Path | StorageBackend | None = None,
        memory_s: float = 60.0,
        event: bool = False,
        cmaf: bool = True,
        ts: bool = True,
        ts_segment_s: float = 2.0,
        playlist_segments: int = 7,
        encryption: HlsEncryption | None = None,
        idle_s: float | None = None,
    ) -> None:
        require_between("part_s", part_s, 0, 60)
        for name, seconds in (("segment_s", segment_s), ("ts_segment_s", ts_segment_s)):
            require_between(name, seconds, 0, 3600)
        for name, seconds in (("window_s", window_s), ("memory_s", memory_s)):
            require_between(name, seconds, 0, 1e9)
        require_between("window_bytes_max", window_bytes_max, 1, 1 << 50)
        require_between("playlist_segments", playlist_segments, 1, 1 << 20)
        if not (cmaf or ts):
            raise MisuseError("neither CMAF nor MPEG-TS is wanted: there is nothing to make")
        if idle_s is not None:
            require_between("idle_s", idle_s, 1, 1e9)
            if spill is not None or event or encryption is not None:
                raise MisuseError(
                    "idle_s cannot go with spill, event or encryption: these are for what nobody watches, too"
                )
        of_ts = min(window_bytes_max // 4, TS_BYTES_MAX) if cmaf else window_bytes_max
        of_cmaf = window_bytes_max - (of_ts if ts else 0)
        if spill is not None:
            playlist_segments = max(playlist_segments, ceil(window_s / max(ts_segment_s, 0.1)))
        self._cmaf = (part_s, segment_s, window_s, of_cmaf, event) if cmaf else None
        self._ts = (ts_segment_s, playlist_segments, of_ts) if ts else None
        self._encryption = encryption
        self._idle_s = idle_s
        self._store: SpillStore | None = None
        self._spill: Spill | None = None
        if isinstance(spill, StorageBackend):
            self._store = SpillStore(spill)
            self._spill = Spill(self._store, memory_s)
        elif spill is not None:
            self._spill = Spill(spill, memory_s)
        self._inbox: InboxReader | None = None
        self._leases: list[Lease] = []

    def package(self, context: IngestContext, stream: StreamHandle) -> HlsOutput:
        """Begin to package `stream`."""
        if self._inbox is None:
            self._inbox = InboxReader("hls")
        if self._store is not None:
            self._store.open()
        readable, lease = native_stream(stream)
        try:
            output = HlsOutput(
                context.native,
                readable,
                self._inbox.inbox,
                cmaf=self._cmaf,
                ts=self._ts,
                encryption=self._encrypted(stream.key),
                spill=self._spill,
                idle_s=self._idle_s,
            )
        except BaseException:
            lease.close()
            raise
        self._leases = [known for known in (*self._leases, lease) if not known.is_over]
        return output

    def _encrypted(self, stream: StreamKey) -> tuple[Callable[[int], bytes] | None, int, bool] | None:
        wanted = self._encryption
        if wanted is None:
            return None
        keys = wanted.keys

        def key(number: int) -> bytes:
            assert keys is not None
            try:
                return keys(stream, number)
            except Exception:
                log.warning("[hls] no key %d for %s", number, stream, exc_info=True)
                raise

        return key if keys else None, wanted.rotate_segments, wanted.iv == "random"

    async def stop(self) -> None:
        """Stop reading warnings. What is being packaged ends with its stream; of a registry of the host's, now."""
        for lease in self._leases:
            lease.close()
        self._leases.clear()
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None
        if self._store is not None:
            await self._store.close()
