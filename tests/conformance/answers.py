"""What a server answers to a player, and what its playlists say of each other (draft-pantos-hls-rfc8216bis).

Each function returns what is wrong; `test_rules.py` has an answer for each that is.
"""

from __future__ import annotations

from dataclasses import replace

from conformance.playlist import Playlist, Segment
from conformance.rules import skips, version


def faults_of_answer(asked: tuple[int, int | None], playlist: Playlist) -> list[str]:
    """§6.2.5.2: a blocking reload is answered by a playlist that has what was asked for, or says that nothing comes."""
    sequence, part = asked
    if part is not None and playlist.next_sequence == sequence + 1 and 0 < len(playlist.segments[-1].parts) <= part:
        sequence, part = sequence + 1, 0  # behind the last part of a segment is the first of the next
    parts = len(playlist.rest.parts) if playlist.next_sequence == sequence else 0
    if playlist.next_sequence > sequence or playlist.ended or (part is not None and parts > part):
        return []
    return [f"answered without part {part} of segment {sequence}"]


def faults_of_delta(full: Playlist, delta: Playlist) -> list[str]:
    """§6.2.5.1: the update of a playlist, put in front of which is what a client knows, is the whole playlist."""
    found = [*skips(delta), *version(delta)]
    if delta.media_sequence != full.media_sequence:
        return [*found, f"it begins at {delta.media_sequence}, not at {full.media_sequence}"]
    known = full.segments[: delta.skipped]
    segments = [after(known, segment) for segment in delta.segments]
    if [*known, *segments] != full.segments or after(known, delta.rest) != full.rest:
        found.append("segments behind the skipped ones differ")
    for name in ("target", "part_target", "control", "discontinuity_sequence", "hints", "ended", "date_ranges"):
        if getattr(full, name) != getattr(delta, name):
            found.append(f"{name} differs")
    return found


def after(known: list[Segment], segment: Segment) -> Segment:
    """A segment of an update as it is behind those that it skips: their header and key go on (§4.4.4.4, §4.4.4.5)."""
    if not known or segment.map is not None:
        return segment
    return replace(segment, map=known[-1].map, map_key=known[-1].map_key, key=segment.key or known[-1].key)


def faults_of_reports(playlist: Playlist, others: dict[str, tuple[Playlist, Playlist]]) -> list[str]:
    """§4.4.5.4: each other rendition is told of, and is as far as that; `others`: each before and after it was said."""
    found = [f"no report of {uri}" for uri in others.keys() - {report.get("URI") for report in playlist.reports}]
    for report in playlist.reports:
        if (around := others.get(report.get("URI", ""))) is None:
            continue
        before, after = (newest(it) for it in around)
        if not before <= (int(report["LAST-MSN"]), int(report.get("LAST-PART", 0))) <= after:
            found.append(f"{report} where {before} to {after} were there")
    return found


def newest(playlist: Playlist) -> tuple[int, int]:
    """Numbers of the newest part, or of the newest segment and its last part."""
    if playlist.rest.parts:
        return playlist.next_sequence, len(playlist.rest.parts) - 1
    return playlist.next_sequence - 1, max(len(playlist.segments[-1].parts) - 1, 0)
