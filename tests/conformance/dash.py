"""The rules that an MPD keeps beyond its form, clause by clause (ISO/IEC 23009-1:2022; `mpd.py` has the form).

Each rule yields what is wrong. `test_dash.py` breaks a good MPD in each of these ways: a rule that cannot fail is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from conformance.mpd import NAMESPACE

Rule = Callable[[Element], Iterator[str]]
Succession = Callable[[Element, Element], Iterator[str]]

ROUNDING_S = 0.002
"""Times of an MPD have milliseconds or microseconds, those of media are ticks."""

SEAM_S = 0.1
"""The sound of a Period ends with a frame of its own, which may reach beyond the pictures."""

TIMING_SCHEMES = ("http-head", "http-xsdate", "http-iso", "ntp", "sntp", "http-ntp", "direct")


@dataclass(frozen=True)
class Timeline:
    """A Representation's segments (§5.3.9.4, §5.3.9.6)."""

    name: str
    timescale: int
    offset: int
    """`presentationTimeOffset`: what the Period begins with, in ticks."""
    number: int
    segments: list[tuple[int, int]]
    """Start and duration, in ticks."""
    entries: list[Element]

    def start_s(self, index: int) -> float:
        """When a segment begins in its Period."""
        return (self.segments[index][0] - self.offset) / self.timescale

    @property
    def end_s(self) -> float:
        """When the last one ends in its Period."""
        return self.start_s(-1) + self.segments[-1][1] / self.timescale

    @property
    def seconds(self) -> float:
        """How much is listed."""
        return sum(duration for _, duration in self.segments) / self.timescale

    def by_number(self) -> dict[int, tuple[int, int]]:
        """Segments as they are named."""
        return dict(enumerate(self.segments, self.number))


def seconds(text: str | None) -> float:
    """Read an `xs:duration` without years and months."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", text or "P")
    assert found is not None, text
    days, hours, minutes, rest = (float(it or 0) for it in found.groups())
    return days * 86_400 + hours * 3600 + minutes * 60 + rest


def date_s(text: str | None) -> float:
    """Read an `xs:dateTime`: seconds since 1970, 0 where there is none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def find(element: Element, name: str) -> list[Element]:
    """Children of a name."""
    return element.findall(f"{NAMESPACE}{name}")


def periods(root: Element) -> list[Element]:
    """What follows each other."""
    return find(root, "Period")


def representations(period: Element) -> list[Element]:
    """All that can be chosen in a Period."""
    return list(period.iter(f"{NAMESPACE}Representation"))


def timeline(representation: Element) -> Timeline:
    """Read the segments of a Representation; those that a negative `@r` stands for cannot be known."""
    (template,) = find(representation, "SegmentTemplate")
    (written,) = find(template, "SegmentTimeline")
    segments, at = [], 0
    for entry in written:
        at = int(entry.get("t", at))
        for _ in range(int(entry.get("r", 0)) + 1):
            segments.append((at, int(entry.get("d", 0))))
            at += int(entry.get("d", 0))
    return Timeline(
        representation.get("id", ""),
        int(template.get("timescale", 1)),
        int(template.get("presentationTimeOffset", 0)),
        int(template.get("startNumber", 1)),
        segments,
        list(written),
    )


def timelines(root: Element) -> Iterator[str]:
    """§5.3.9.6: `@d` is positive, the first `@t` is written, and the next segment begins where one ends."""
    for period in periods(root):
        for read in map(timeline, representations(period)):
            if read.entries[0].get("t") is None and read.offset > 0:
                yield f"{read.name}: the first S has no t, and the Period does not begin at 0"
            for (start, duration), (following, _) in zip(read.segments, read.segments[1:], strict=False):
                if duration <= 0:
                    yield f"{read.name}: a segment at {start} of no length"
                if following != start + duration:
                    yield f"{read.name}: {start} and {duration} are followed by {following}"


def period_change(root: Element) -> Iterator[str]:
    """§5.3.2.1: Periods follow each other, and what is in one lies between its start and that of the next."""
    all_of = periods(root)
    starts = [seconds(period.get("start")) for period in all_of]
    if all_of[0].get("start") is None:
        yield "the first Period has no start"
    for (period, start_s), (_, next_s) in zip(
        zip(all_of, starts, strict=True), [*zip(all_of, starts, strict=True)][1:], strict=False
    ):
        if next_s <= start_s:
            yield f"a Period at {next_s} s behind one at {start_s} s"
        for read in map(timeline, representations(period)):
            if start_s + read.end_s > next_s + SEAM_S:
                yield f"{read.name} reaches {start_s + read.end_s - next_s:.3f} s into the next Period"
    for period in all_of:
        for read in map(timeline, representations(period)):
            if read.start_s(0) + read.segments[0][1] / read.timescale <= 0:
                yield f"{read.name} begins {-read.start_s(0):.3f} s before its Period"


def adaptation_sets(root: Element) -> Iterator[str]:
    """§5.3.3.2, §5.3.7.2: what a player needs to choose is there, and what is in a set can be switched among."""
    for period in periods(root):
        sets = find(period, "AdaptationSet")
        if not sets:
            yield f"Period {period.get('id')} has nothing in it"
        for found in sets:
            kind = found.get("contentType")
            needs = ["codecs", *(("width", "height") if kind == "video" else ("audioSamplingRate",))]
            for representation in find(found, "Representation"):
                yield from (
                    f"{representation.get('id')} has no {name}" for name in needs if representation.get(name) is None
                )
                if kind == "audio" and not find(representation, "AudioChannelConfiguration"):
                    yield f"{representation.get('id')} has no AudioChannelConfiguration"
            if not (found.get("mimeType") or "").startswith(f"{kind}/"):
                yield f"a set of {kind} as {found.get('mimeType')}"
            codecs = {(it.get("codecs") or "").partition(".")[0] for it in find(found, "Representation")}
            if len(codecs) > 1:
                yield f"one set has {sorted(codecs)}"


def segment_alignment(root: Element) -> Iterator[str]:
    """§5.3.3.2: where `segmentAlignment` is said, the Representations of a set are cut at the same times."""
    for period in periods(root):
        for found in find(period, "AdaptationSet"):
            if found.get("segmentAlignment") != "true":
                continue
            read = [timeline(it) for it in find(found, "Representation")]
            starts = [{round(it.start_s(index), 2) for index in range(len(it.segments))} for it in read]
            for one, of_one in zip(read[1:], starts[1:], strict=False):
                common = (max(min(of_one), min(starts[0])), min(max(of_one), max(starts[0])))
                apart = [it for it in of_one ^ starts[0] if common[0] <= it <= common[1]]
                if apart:
                    yield f"{one.name} and {read[0].name} are cut apart at {sorted(apart)}"


def availability(root: Element) -> Iterator[str]:
    """§5.3.9.5.3: a segment may be had before it is whole, which is said, and not before it begins."""
    for period in periods(root):
        for representation in representations(period):
            (template,) = find(representation, "SegmentTemplate")
            said, read = template.get("availabilityTimeOffset"), timeline(representation)
            if said is None:
                if root.get("type") == "dynamic" and template.get("availabilityTimeComplete") is not None:
                    yield f"{read.name}: availabilityTimeComplete without availabilityTimeOffset"
                continue
            if root.get("type") != "dynamic":
                yield f"{read.name}: availabilityTimeOffset where all is there"
            if template.get("availabilityTimeComplete") != "false":
                yield f"{read.name}: whole segments before they can be whole"
            newest_s = read.segments[-1][1] / read.timescale
            # All of a Period that is over is there.
            if period is periods(root)[-1] and not 0 < float(said) < newest_s:
                yield f"{read.name}: availabilityTimeOffset {said} of a segment of {newest_s} s"


def utc_timing(root: Element) -> Iterator[str]:
    """§5.8.4.11: a live MPD says where the time can be had, in a way that has a name."""
    found = find(root, "UTCTiming")
    if root.get("type") == "dynamic" and not found:
        yield "no UTCTiming"
    for timing in found:
        scheme = timing.get("schemeIdUri") or ""
        if scheme not in [f"urn:mpeg:dash:utc:{name}:2014" for name in TIMING_SCHEMES]:
            yield f"UTCTiming by {scheme}"
        if not timing.get("value"):
            yield "UTCTiming without a value"


def time_shift_buffer(root: Element) -> Iterator[str]:
    """§5.3.1.2: all of `timeShiftBufferDepth` is listed, however many Periods it reaches over."""
    depth_s = seconds(root.get("timeShiftBufferDepth"))
    if root.get("timeShiftBufferDepth") is not None and depth_s <= 0:
        yield "timeShiftBufferDepth is nothing"
    listed: dict[str, float] = {}
    for period in periods(root):
        for kind in {found.get("contentType") or "" for found in find(period, "AdaptationSet")}:
            of_kind = [it for it in find(period, "AdaptationSet") if it.get("contentType") == kind]
            listed[kind] = listed.get(kind, 0) + max(timeline(r).seconds for it in of_kind for r in representations(it))
    for kind, listed_s in listed.items():
        if listed_s < depth_s - ROUNDING_S:
            yield f"{kind}: {listed_s} s are listed of {depth_s} s"


def times(root: Element) -> Iterator[str]:
    """§5.3.1.2: no segment is longer than `maxSegmentDuration`, `minBufferTime` is something, and what is published has
    begun by then.
    """
    if seconds(root.get("minBufferTime")) <= 0:
        yield "minBufferTime is nothing"
    longest_s = seconds(root.get("maxSegmentDuration")) if root.get("maxSegmentDuration") else float("inf")
    began_s, published_s = date_s(root.get("availabilityStartTime")), date_s(root.get("publishTime"))
    if published_s < began_s:
        yield "publishTime is before availabilityStartTime"
    for period in periods(root):
        for read in map(timeline, representations(period)):
            for start, duration in read.segments:
                if duration / read.timescale > longest_s:
                    yield f"{read.name}: a segment at {start} lasts {duration / read.timescale} of {longest_s} s"
            begins_s = began_s + seconds(period.get("start")) + read.start_s(-1)
            if root.get("type") == "dynamic" and begins_s > published_s + SEAM_S:
                yield f"{read.name}: its newest segment begins {begins_s - published_s:.3f} s behind publishTime"


def ended(root: Element) -> Iterator[str]:
    """§5.3.1.2: a static MPD lasts as long as what is in it, and is not to be fetched again."""
    if root.get("type") == "dynamic":
        return
    last = periods(root)[-1]
    ends_s = seconds(last.get("start")) + max((timeline(it).end_s for it in representations(last)), default=0.0)
    said_s = seconds(root.get("mediaPresentationDuration"))
    if abs(ends_s - said_s) > SEAM_S:
        yield f"mediaPresentationDuration {said_s} of {ends_s} s"
    for name in ("Location", "UTCTiming"):
        if find(root, name):
            yield f"{name} where nothing changes"


RULES: list[Rule] = [
    timelines,
    period_change,
    adaptation_sets,
    segment_alignment,
    availability,
    utc_timing,
    time_shift_buffer,
    times,
    ended,
]


def never_changes(older: Element, newer: Element) -> Iterator[str]:
    """§5.3.1.2, §5.4: the time that all others count from stays; what has ended stays so."""
    if newer.get("type") == "dynamic":
        if older.get("type") != "dynamic":
            yield "what was static is dynamic"
        if older.get("availabilityStartTime") != newer.get("availabilityStartTime"):
            yield f"availabilityStartTime was {older.get('availabilityStartTime')}"


def publish_time(older: Element, newer: Element) -> Iterator[str]:
    """§5.3.1.2: `publishTime` never falls, and what differs has another one."""
    if newer.get("type") != "dynamic" or older.get("type") != "dynamic":
        return
    before, now = older.get("publishTime") or "", newer.get("publishTime") or ""
    if now < before:
        yield f"publishTime fell from {before} to {now}"
    if now == before and listed(older) != listed(newer):
        yield f"two MPDs of {now}"


def listed(root: Element) -> dict[str, list[tuple[int, int]]]:
    """All segments, by Period and Representation."""
    return {
        f"{period.get('id')} {it.get('id')}": timeline(it).segments
        for period in periods(root)
        for it in representations(period)
    }


def segments_stay(older: Element, newer: Element) -> Iterator[str]:
    """§5.4: of one Period, a number stands for one segment; numbers never fall. The length of the newest is a guess."""
    before = {(p.get("id"), r.get("id")): timeline(r) for p in periods(older) for r in representations(p)}
    for period in periods(newer):
        for representation in representations(period):
            now, was = timeline(representation), before.get((period.get("id"), representation.get("id")))
            if was is None or newer.get("type") != older.get("type"):
                continue
            if now.number < was.number:
                yield f"{now.name}: startNumber fell from {was.number} to {now.number}"
            newest, known = max(was.by_number()), was.by_number()
            if max(now.by_number()) < newest:
                yield f"{now.name}: segment {newest} was taken back"
            for number, segment in now.by_number().items():
                if number in known and (
                    segment[0] != known[number][0] or (number < newest and segment != known[number])
                ):
                    yield f"{now.name}: segment {number} was {known[number]} and is {segment}"


def periods_stay(older: Element, newer: Element) -> Iterator[str]:
    """§5.3.2.2, §5.4: a Period keeps its start, and its sets what they are."""
    if newer.get("type") != older.get("type"):
        return  # then all is counted from the oldest that is left
    known = {period.get("id"): period for period in periods(older)}
    for period in periods(newer):
        before = known.get(period.get("id"))
        if before is None:
            continue
        if abs(seconds(before.get("start")) - seconds(period.get("start"))) > ROUNDING_S:
            yield f"Period {period.get('id')} began at {before.get('start')} and begins at {period.get('start')}"
        sets = {it.get("id"): (it.get("contentType"), it.get("lang")) for it in find(before, "AdaptationSet")}
        for found in find(period, "AdaptationSet"):
            now = (found.get("contentType"), found.get("lang"))
            if sets.get(found.get("id"), now) != now:
                yield f"AdaptationSet {found.get('id')} was {sets[found.get('id')]} and is {now}"


SUCCESSIONS: list[Succession] = [never_changes, publish_time, segments_stay, periods_stay]


def faults(root: Element) -> list[str]:
    """What is wrong with an MPD."""
    return [f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(root)]


def faults_between(older: Element, newer: Element) -> list[str]:
    """What is wrong with an MPD that follows another."""
    return [f"{rule.__name__}: {fault}" for rule in SUCCESSIONS for fault in rule(older, newer)]
