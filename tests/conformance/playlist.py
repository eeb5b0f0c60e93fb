"""A media playlist of HLS as a strict reader sees it (draft-pantos-hls-rfc8216bis)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)(?:,|$)')


class Malformed(Exception):
    """What is no playlist at all (§4.1, §4.2)."""


@dataclass
class Part:
    """`EXT-X-PART` (§4.4.4.9)."""

    uri: str
    seconds: float
    independent: bool
    gap: bool


@dataclass
class Segment:
    """A Media Segment and its tags (§4.4.4); the last one of a playlist has no URI yet."""

    uri: str = ""
    seconds: float = 0.0
    sequence: int = 0
    discontinuities: int = 0
    map: str | None = None
    map_key: dict[str, str] | None = None
    key: dict[str, str] | None = None
    date: datetime | None = None
    gap: bool = False
    parts: list[Part] = field(default_factory=list)


@dataclass
class Playlist:
    """What a Media Playlist says."""

    version: int = 1
    target: int | None = None
    part_target: float | None = None
    control: dict[str, str] = field(default_factory=dict)
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    kind: str | None = None
    independent: bool = False
    skipped: int = 0
    ended: bool = False
    segments: list[Segment] = field(default_factory=list)
    rest: Segment = field(default_factory=Segment)
    hints: list[dict[str, str]] = field(default_factory=list)
    reports: list[dict[str, str]] = field(default_factory=list)
    date_ranges: list[dict[str, str]] = field(default_factory=list)
    keys: list[dict[str, str]] = field(default_factory=list)

    @property
    def next_sequence(self) -> int:
        """Number of the segment of which there may be parts."""
        return self.media_sequence + self.skipped + len(self.segments)

    @property
    def seconds(self) -> float:
        """How long it is, parts behind the last segment included."""
        return sum(it.seconds for it in self.segments) + sum(it.seconds for it in self.rest.parts)


def attributes(text: str) -> dict[str, str]:
    """Read an attribute list (§4.2); a name that comes twice is refused."""
    found: dict[str, str] = {}
    for name, value in ATTRIBUTE.findall(text):
        if name in found:
            raise Malformed(f"attribute {name} twice: {text}")
        found[name] = value.strip('"')
    return found


def date(text: str) -> datetime:
    """Read a date and time with its time zone (§4.4.4.6)."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def parse(text: str) -> Playlist:
    """Read a playlist.

    Raises:
        Malformed: it does not begin as it must, or a tag cannot be read.
    """
    lines = text.splitlines()
    if not lines or lines[0] != "#EXTM3U":
        raise Malformed("the first line is #EXTM3U (§4.4.1.1)")
    found = Playlist()
    segment = Segment()
    current_map: str | None = None
    key: dict[str, str] | None = None
    map_key: dict[str, str] | None = None
    try:
        for line in lines[1:]:
            tag, _, value = line.partition(":")
            match tag:
                case "#EXT-X-VERSION":
                    found.version = int(value)
                case "#EXT-X-TARGETDURATION":
                    found.target = int(value)
                case "#EXT-X-PART-INF":
                    found.part_target = float(attributes(value)["PART-TARGET"])
                case "#EXT-X-SERVER-CONTROL":
                    found.control = attributes(value)
                case "#EXT-X-MEDIA-SEQUENCE":
                    found.media_sequence = int(value)
                case "#EXT-X-DISCONTINUITY-SEQUENCE":
                    found.discontinuity_sequence = int(value)
                case "#EXT-X-PLAYLIST-TYPE":
                    found.kind = value
                case "#EXT-X-INDEPENDENT-SEGMENTS":
                    found.independent = True
                case "#EXT-X-SKIP":
                    found.skipped = int(attributes(value)["SKIPPED-SEGMENTS"])
                case "#EXT-X-DISCONTINUITY":
                    segment.discontinuities += 1
                case "#EXT-X-MAP":
                    current_map, map_key = attributes(value)["URI"], key
                case "#EXT-X-KEY":
                    key = attributes(value)
                    found.keys.append(key)
                case "#EXT-X-PROGRAM-DATE-TIME":
                    segment.date = date(value)
                case "#EXT-X-GAP":
                    segment.gap = True
                case "#EXT-X-PART":
                    part = attributes(value)
                    independent, gap = part.get("INDEPENDENT") == "YES", part.get("GAP") == "YES"
                    segment.parts.append(Part(part["URI"], float(part["DURATION"]), independent, gap))
                case "#EXTINF":
                    segment.seconds = float(value.partition(",")[0])
                case "#EXT-X-PRELOAD-HINT":
                    found.hints.append(attributes(value))
                case "#EXT-X-RENDITION-REPORT":
                    found.reports.append(attributes(value))
                case "#EXT-X-DATERANGE":
                    found.date_ranges.append(attributes(value))
                case "#EXT-X-ENDLIST":
                    found.ended = True
                case _ if line and not line.startswith("#"):
                    segment.uri, segment.map, segment.sequence = line, current_map, found.next_sequence
                    segment.key, segment.map_key = key, map_key
                    found.segments.append(segment)
                    segment = Segment()
    except (ValueError, KeyError) as error:
        raise Malformed(f"{line}: {error!r}") from error
    segment.map, segment.sequence = current_map, found.next_sequence
    segment.key, segment.map_key = key, map_key
    found.rest = segment
    return found


def ends(segment: Segment) -> datetime | None:
    """When a segment ends, by its date."""
    return None if segment.date is None else segment.date + timedelta(seconds=segment.seconds)
