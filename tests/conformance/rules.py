"""The rules that a live playlist with low latency keeps, clause by clause (draft-pantos-hls-rfc8216bis).

Each rule yields what is wrong. `test_rules.py` breaks a good playlist in each of these ways: a rule that cannot fail is
none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise

from conformance.playlist import Playlist, Segment, date, ends

Rule = Callable[[Playlist], Iterator[str]]
Succession = Callable[[Playlist, Playlist], Iterator[str]]

ROUNDING_S = 1e-4
"""Durations have six digits."""

DATE_TOLERANCE = timedelta(milliseconds=30)
"""Dates have milliseconds, and a segment of sound begins with a frame of its own."""

PART_SHARE_MIN = 0.85


def is_mpegts(playlist: Playlist) -> bool:
    """Whether its segments need no initialization section."""
    return all(segment.uri.partition("?")[0].endswith(".ts") for segment in playlist.segments)


def version(playlist: Playlist) -> Iterator[str]:
    """§8: 3 for durations with a fraction, 6 for EXT-X-MAP, 9 for EXT-X-SKIP."""
    if playlist.version < (9 if playlist.skipped else 3 if is_mpegts(playlist) else 6):
        yield f"version {playlist.version} is too low for what is in it"


def target_duration(playlist: Playlist) -> Iterator[str]:
    """§4.4.3.1: each EXTINF, rounded to the nearest integer, is at most the target duration."""
    if playlist.target is None:
        yield "there is no EXT-X-TARGETDURATION"
        return
    for segment in playlist.segments:
        if int(segment.seconds + 0.5) > playlist.target:
            yield f"{segment.uri} lasts {segment.seconds} of {playlist.target} s"


def header(playlist: Playlist) -> Iterator[str]:
    """§3.1.2, §4.4.4.5: fragmented MP4 has its initialization section, MPEG-TS its tables in each segment."""
    for segment in [] if is_mpegts(playlist) else [*playlist.segments, playlist.rest]:
        if (segment.uri or segment.parts) and segment.map is None:
            yield f"{segment.uri or 'the segment in the making'} has no EXT-X-MAP"


def breaks(playlist: Playlist) -> Iterator[str]:
    """§4.4.4.3: another initialization section is another encoding, which only begins behind EXT-X-DISCONTINUITY."""
    for before, segment in pairwise([*playlist.segments, playlist.rest]):
        if segment.map != before.map and segment.discontinuities == 0 and (segment.uri or segment.parts):
            yield f"{segment.uri or 'the segment in the making'} goes over to {segment.map} without a discontinuity"


def keys(playlist: Playlist) -> Iterator[str]:
    """§4.4.4.4: METHOD always, URI unless it is NONE, IVs of 128 bits; §4.4.4.5: a header under AES-128 needs one."""
    for key in playlist.keys:
        method = key.get("METHOD")
        if method == "NONE":
            if len(key) > 1:
                yield f"METHOD=NONE with other attributes: {key}"
            continue
        if method not in ("AES-128", "SAMPLE-AES", "SAMPLE-AES-CTR"):
            yield f"METHOD {method}"
        if not key.get("URI"):
            yield f"a key without a URI: {key}"
        if "IV" in key and not re.fullmatch("0[xX][0-9a-fA-F]{32}", key["IV"]):
            yield f"an IV of {key['IV']}"
        if key.get("KEYFORMAT", "identity") != "identity" and playlist.version < 5:
            yield f"KEYFORMAT in version {playlist.version}"
    for segment in [*playlist.segments, playlist.rest]:
        if segment.map_key and segment.map_key.get("METHOD") == "AES-128" and "IV" not in segment.map_key:
            yield f"{segment.map} is encrypted without an IV"


def server_control(playlist: Playlist) -> Iterator[str]:
    """§4.4.3.8: PART-HOLD-BACK twice, better three times the part target; CAN-SKIP-UNTIL at least six targets."""
    control, target = playlist.control, playlist.target or 0
    if playlist.part_target is not None:
        hold_back = float(control.get("PART-HOLD-BACK", 0))
        if hold_back < 3 * playlist.part_target - ROUNDING_S:
            yield f"PART-HOLD-BACK {hold_back} is below three part targets of {playlist.part_target}"
        if control.get("CAN-BLOCK-RELOAD") != "YES":
            yield "parts without CAN-BLOCK-RELOAD"
    if "CAN-SKIP-UNTIL" in control and float(control["CAN-SKIP-UNTIL"]) < 6 * target:
        yield f"CAN-SKIP-UNTIL {control['CAN-SKIP-UNTIL']} is below six target durations"
    if "HOLD-BACK" in control and float(control["HOLD-BACK"]) < 3 * target:
        yield f"HOLD-BACK {control['HOLD-BACK']} is below three target durations"


def parts(playlist: Playlist) -> Iterator[str]:
    """§4.4.3.7, §4.4.4.9: none beyond the part target; none below 85 % of it but the last one of a segment."""
    if playlist.part_target is None:
        if any(it.parts for it in [*playlist.segments, playlist.rest]):
            yield "EXT-X-PART without EXT-X-PART-INF"
        return
    for segment in [*playlist.segments, playlist.rest]:
        for index, part in enumerate(segment.parts):
            if part.seconds > playlist.part_target + ROUNDING_S:
                yield f"{part.uri} lasts {part.seconds} of {playlist.part_target} s"
            is_last = segment.uri and index == len(segment.parts) - 1
            if not is_last and not part.gap and part.seconds < PART_SHARE_MIN * playlist.part_target - ROUNDING_S:
                yield f"{part.uri} lasts only {part.seconds} of {playlist.part_target} s"


def parts_make_segments(playlist: Playlist) -> Iterator[str]:
    """§4.4.4.9: the parts of a segment are all of it."""
    for segment in playlist.segments:
        total = sum(part.seconds for part in segment.parts)
        if segment.parts and abs(total - segment.seconds) > ROUNDING_S * len(segment.parts):
            yield f"the parts of {segment.uri} last {total} of {segment.seconds} s"


def parts_near_the_end(playlist: Playlist) -> Iterator[str]:
    """§6.2.2: parts are listed within three target durations of the end."""
    if playlist.part_target is None:
        return
    behind = sum(part.seconds for part in playlist.rest.parts)
    for segment in reversed(playlist.segments):
        behind += segment.seconds
        if behind <= 3 * (playlist.target or 0) and not segment.parts:
            yield f"{segment.uri} is near the end and has no parts"


def independent(playlist: Playlist) -> Iterator[str]:
    """§4.4.2.1: where all segments are independent, the first part of each contains an independent frame."""
    for segment in [*playlist.segments, playlist.rest] if playlist.independent else ():
        if segment.parts and not segment.parts[0].independent:
            yield f"{segment.parts[0].uri} begins an independent segment and is not INDEPENDENT"


def dates(playlist: Playlist) -> Iterator[str]:
    """§4.4.4.6: dates follow the durations, within what a discontinuity leaves."""
    before: Segment | None = None
    for segment in playlist.segments:
        if segment.date is None:
            yield f"{segment.uri} has no EXT-X-PROGRAM-DATE-TIME"
        elif segment.date.tzinfo is None:
            yield f"{segment.uri}: a date without a time zone"
            before = None
            continue
        elif before is not None and (end := ends(before)) is not None:
            difference = segment.date - end
            if segment.discontinuities == 0 and abs(difference) > DATE_TOLERANCE:
                yield f"{segment.uri} begins {difference} behind the end of the one before"
            if difference < -DATE_TOLERANCE:
                yield f"{segment.uri} begins before the one before has ended"
        before = segment


def hints(playlist: Playlist) -> Iterator[str]:
    """§4.4.5.3: a live playlist with parts hints at one part, which it does not list already; an ended one at none."""
    wanted = playlist.part_target is not None and not playlist.ended
    if playlist.ended and playlist.rest.parts:
        yield "parts of a segment that never comes"
    if len([it for it in playlist.hints if it.get("TYPE") == "PART"]) != int(wanted):
        yield f"{len(playlist.hints)} hints"
    known = {part.uri for segment in [*playlist.segments, playlist.rest] for part in segment.parts}
    for hint in playlist.hints:
        if hint.get("URI") in known:
            yield f"a hint at {hint['URI']}, which is there"


def unique(playlist: Playlist) -> Iterator[str]:
    """No two segments or parts have one name."""
    uris = [it.uri for it in playlist.segments]
    uris += [part.uri for segment in [*playlist.segments, playlist.rest] for part in segment.parts]
    for uri in {uri for uri in uris if uris.count(uri) > 1}:
        yield f"{uri} twice"


def date_ranges(playlist: Playlist) -> Iterator[str]:
    """§4.4.5.1: an ID and a date each; of one ID, attributes of one name have one value; SCTE-35 is hexadecimal."""
    known: dict[str, dict[str, str]] = {}
    for found in playlist.date_ranges:
        if "ID" not in found or "START-DATE" not in found:
            yield f"EXT-X-DATERANGE without ID or START-DATE: {found}"
            continue
        for name in ("DURATION", "PLANNED-DURATION"):
            if float(found.get(name, 0)) < 0:
                yield f"{found['ID']}: {name} {found[name]}"
        if "END-DATE" in found and date(found["END-DATE"]) < date(found["START-DATE"]):
            yield f"{found['ID']} ends before it begins"
        if "END-ON-NEXT" in found and ("CLASS" not in found or found.keys() & {"DURATION", "END-DATE"}):
            yield f"{found['ID']}: END-ON-NEXT needs CLASS, and no other end"
        for name in ("SCTE35-CMD", "SCTE35-OUT", "SCTE35-IN"):
            if not re.fullmatch("0[xX]([0-9a-fA-F]{2})+", found.get(name, "0x00")):
                yield f"{found['ID']}: {name} {found[name]}"
        before = known.setdefault(found["ID"], {})
        for name in before.keys() & found.keys():
            if before[name] != found[name]:
                yield f"{found['ID']}: two values of {name}"
        before |= found


def reports(playlist: Playlist) -> Iterator[str]:
    """§4.4.5.4: where a rendition is and how far, its newest part too; none twice, none of what has ended."""
    uris = [report.get("URI", "") for report in playlist.reports]
    if playlist.ended and uris:
        yield "reports where nothing is waited for"
    for report in playlist.reports:
        if not report.get("URI") or "://" in report["URI"] or uris.count(report["URI"]) > 1:
            yield f"a report of {report.get('URI')!r}"
        for name in ("LAST-MSN", *(("LAST-PART",) if playlist.part_target is not None else ())):
            if not report.get(name, "").isdigit():
                yield f"{report.get('URI')}: {name} {report.get(name)!r}"


def skips(playlist: Playlist) -> Iterator[str]:
    """§4.4.5.2, §6.2.5.1: what is skipped is further behind than CAN-SKIP-UNTIL, and that is said."""
    if playlist.skipped == 0:
        return
    until = float(playlist.control.get("CAN-SKIP-UNTIL", "inf"))
    if playlist.seconds < until - ROUNDING_S * len(playlist.segments):
        yield f"{playlist.skipped} segments are skipped, and only {playlist.seconds} s of {until} s are there"


def long_enough(playlist: Playlist) -> Iterator[str]:
    """§6.2.2: what slides keeps three target durations."""
    if playlist.media_sequence > 0 and not playlist.ended and playlist.seconds < 3 * (playlist.target or 0):
        yield f"only {playlist.seconds} s are listed"


RULES: list[Rule] = [
    version,
    target_duration,
    header,
    breaks,
    keys,
    server_control,
    parts,
    parts_make_segments,
    parts_near_the_end,
    independent,
    dates,
    hints,
    unique,
    date_ranges,
    reports,
    skips,
    long_enough,
]


def never_changes(older: Playlist, newer: Playlist) -> Iterator[str]:
    """§6.2.1: target durations never change."""
    for name in ("target", "part_target", "kind"):
        if getattr(older, name) != getattr(newer, name):
            yield f"{name} was {getattr(older, name)} and is {getattr(newer, name)}"


def goes_on(older: Playlist, newer: Playlist) -> Iterator[str]:
    """§6.2.1: numbers never fall; segments that are listed twice are the same; nothing follows the end."""
    if newer.media_sequence < older.media_sequence:
        yield f"EXT-X-MEDIA-SEQUENCE fell from {older.media_sequence} to {newer.media_sequence}"
    if older.ended and newer.next_sequence != older.next_sequence:
        yield "something came behind EXT-X-ENDLIST"
    known = {segment.sequence: segment for segment in older.segments}
    for segment in newer.segments:
        before = known.get(segment.sequence)
        if before is not None and (before.uri, before.seconds, before.date, before.map) != (
            segment.uri,
            segment.seconds,
            segment.date,
            segment.map,
        ):
            yield f"segment {segment.sequence} has changed"


def parts_go_on(older: Playlist, newer: Playlist) -> Iterator[str]:
    """§6.2.1: a part is never taken back before its segment is complete, and its order stays."""
    before = [part.uri for part in older.rest.parts]
    now = [*newer.segments, newer.rest]
    same = next((segment for segment in now if segment.sequence == older.rest.sequence), None)
    if same is not None and same.parts and [part.uri for part in same.parts][: len(before)] != before:
        yield f"the parts of segment {same.sequence} have changed"


def hints_come_true(older: Playlist, newer: Playlist) -> Iterator[str]:
    """§4.4.5.3: what was hinted at is what comes."""
    known = {part.uri for segment in [*newer.segments, newer.rest] for part in segment.parts}
    known |= {hint.get("URI", "") for hint in newer.hints}
    if newer.ended or newer.media_sequence > older.next_sequence:
        return
    if any(segment.sequence == older.next_sequence and not segment.parts for segment in newer.segments):
        return  # what came then is listed whole by now (§4.4.4.9): who asks seldom cannot tell
    for hint in older.hints:
        if hint.get("URI") not in known:
            yield f"{hint.get('URI')} was hinted at and did not come"


def keys_stay(older: Playlist, newer: Playlist) -> Iterator[str]:
    """§4.4.4.4, §6.2.1: what a segment is encrypted with never changes."""
    known = {segment.sequence: segment.key for segment in [*older.segments, older.rest] if segment.uri or segment.parts}
    for segment in newer.segments:
        if segment.sequence in known and known[segment.sequence] != segment.key:
            yield f"segment {segment.sequence} had {known[segment.sequence]} and has {segment.key}"


def discontinuities(older: Playlist, newer: Playlist) -> Iterator[str]:
    """§4.4.3.3: the number counts the discontinuities that have left, whoever reads them when."""
    position = older.discontinuity_sequence
    by_sequence = {}
    for segment in [*older.segments, older.rest]:
        position += segment.discontinuities
        by_sequence[segment.sequence] = position
    position = newer.discontinuity_sequence
    for segment in newer.segments:
        position += segment.discontinuities
        if segment.sequence in by_sequence and by_sequence[segment.sequence] != position and segment.uri:
            was = by_sequence[segment.sequence]
            if segment.sequence != older.rest.sequence or older.rest.parts:
                yield f"discontinuity number of segment {segment.sequence} was {was} and is {position}"
                return


def keeps_all(older: Playlist, newer: Playlist) -> Iterator[str]:
    """§4.4.3.5, §6.2.1: of an EVENT nothing is ever removed."""
    if older.kind == "EVENT" and newer.media_sequence != older.media_sequence:
        yield f"an EVENT began at {older.media_sequence} and begins at {newer.media_sequence}"


SUCCESSIONS: list[Succession] = [
    never_changes,
    goes_on,
    parts_go_on,
    hints_come_true,
    keys_stay,
    keeps_all,
    discontinuities,
]


def faults(playlist: Playlist) -> list[str]:
    """What is wrong with a playlist."""
    return [f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(playlist)]


def faults_between(older: Playlist, newer: Playlist) -> list[str]:
    """What is wrong with a playlist that follows another."""
    return [f"{rule.__name__}: {fault}" for rule in SUCCESSIONS for fault in rule(older, newer)]
