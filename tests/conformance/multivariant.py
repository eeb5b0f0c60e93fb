"""A multivariant playlist and its rules (draft-pantos-hls-rfc8216bis §4.4.6). `test_multivariant.py` breaks each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from conformance.playlist import Malformed, Playlist, attributes

VIDEO = ("avc1", "avc3", "hvc1", "hev1", "vvc1", "vvi1", "av01", "vp09", "vp08", "dvh1", "dvhe", "dva1", "dav1")
AUDIO = ("mp4a", "opus", "ac-3", "ec-3", "fLaC", "ac-4")

BRANDS = {"db1p": "PQ", "db2g": "SDR", "db4h": "HLG", "db4g": "HLG"}
"""What the brands of Dolby Vision say of the pictures that others see."""

LANGUAGE = r"[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*"
"""As much of RFC 5646 as can be seen without its registry."""

RATE_TOLERANCE = 1.1
"""§4.4.6.2: rates are within a tenth of what is measured."""


@dataclass
class Multivariant:
    """What a multivariant playlist says."""

    version: int = 1
    independent: bool = False
    media: list[dict[str, str]] = field(default_factory=list)
    variants: list[dict[str, str]] = field(default_factory=list)
    """With their URI, as `""`."""


def parse(text: str) -> Multivariant:
    """Read a multivariant playlist.

    Raises:
        Malformed: it does not begin as it must, has tags of media playlists, or a variant without a URI.
    """
    lines = text.splitlines()
    if not lines or lines[0] != "#EXTM3U":
        raise Malformed("the first line is #EXTM3U (§4.4.1.1)")
    found, waits = Multivariant(), False
    for line in lines[1:]:
        tag, _, value = line.partition(":")
        if waits and line.startswith("#EXT"):
            raise Malformed(f"{line} between EXT-X-STREAM-INF and its URI (§4.4.6.2)")
        match tag:
            case "#EXT-X-VERSION":
                found.version = int(value)
            case "#EXT-X-INDEPENDENT-SEGMENTS":
                found.independent = True
            case "#EXT-X-MEDIA":
                found.media.append(attributes(value))
            case "#EXT-X-STREAM-INF":
                found.variants.append(attributes(value))
                waits = True
            case "#EXTINF" | "#EXT-X-TARGETDURATION" | "#EXT-X-PART" | "#EXT-X-MEDIA-SEQUENCE" | "#EXT-X-ENDLIST":
                raise Malformed(f"{tag} in a multivariant playlist (§4.1)")
            case _ if line and not line.startswith("#"):
                if not waits:
                    raise Malformed(f"{line} without EXT-X-STREAM-INF")
                found.variants[-1][""], waits = line, False
    if waits:
        raise Malformed("a variant without a URI (§4.4.6.2)")
    return found


Rule = Callable[[Multivariant], Iterator[str]]


def bandwidths(playlist: Multivariant) -> Iterator[str]:
    """§4.4.6.2: BANDWIDTH always, a whole number of bits; AVERAGE-BANDWIDTH is no more."""
    for variant in playlist.variants:
        rates = [variant.get(name, "") for name in ("BANDWIDTH", "AVERAGE-BANDWIDTH")]
        if not all(re.fullmatch(r"[1-9]\d*", rate) for rate in rates):
            yield f"{variant['']}: rates of {rates}"
        elif int(rates[1]) > int(rates[0]):
            yield f"{variant['']}: on average {rates[1]} of {rates[0]}"


def codecs(playlist: Multivariant) -> Iterator[str]:
    """§4.4.6.2: CODECS names what is in the variant and in each rendition that goes with it."""
    for variant in playlist.variants:
        kinds = [codec.strip().partition(".")[0] for codec in variant.get("CODECS", "").split(",")]
        if unknown := [kind for kind in kinds if kind not in VIDEO + AUDIO]:
            yield f"{variant['']}: codecs {unknown}"
        if "AUDIO" in variant and not set(kinds) & set(AUDIO):
            yield f"{variant['']}: no codec of its sound"
        if len(set(kinds)) < len(kinds):
            yield f"{variant['']}: {kinds}"


def pictures(playlist: Multivariant) -> Iterator[str]:
    """§4.4.6.2: RESOLUTION and FRAME-RATE where there are pictures, and only there; rates have three decimals."""
    for variant in playlist.variants:
        has_video = any(codec.startswith(VIDEO) for codec in variant.get("CODECS", "").split(","))
        if has_video != ("RESOLUTION" in variant):
            yield f"{variant['']}: RESOLUTION {variant.get('RESOLUTION')}"
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", variant.get("RESOLUTION", "1x1")):
            yield f"{variant['']}: RESOLUTION {variant['RESOLUTION']}"
        rate = variant.get("FRAME-RATE")
        if has_video != (rate is not None) or not re.fullmatch(r"\d+(\.\d{1,3})?", rate or "1"):
            yield f"{variant['']}: FRAME-RATE {rate}"


def supplemental(playlist: Multivariant) -> Iterator[str]:
    """§4.4.6.2: SUPPLEMENTAL-CODECS are codecs, each with its compatibility brands."""
    for variant in playlist.variants:
        for found in variant.get("SUPPLEMENTAL-CODECS", "dvh1.08.07/db4h").split(","):
            if not re.fullmatch(r"\s*\w[\w.-]*(/\w{4})+", found):
                yield f"{variant['']}: SUPPLEMENTAL-CODECS {found}"


def ranges(playlist: Multivariant) -> Iterator[str]:
    """§4.4.6.2: VIDEO-RANGE is SDR, HLG or PQ, SDR where it is not said, and that of the pictures."""
    for variant in playlist.variants:
        told = variant.get("VIDEO-RANGE", "SDR")
        if told not in ("SDR", "HLG", "PQ"):
            yield f"{variant['']}: VIDEO-RANGE {told}"
        for brand in variant.get("SUPPLEMENTAL-CODECS", "").split("/")[1:]:
            if told != BRANDS.get(brand, told):
                yield f"{variant['']}: VIDEO-RANGE {told} of {brand}"


def groups(playlist: Multivariant) -> Iterator[str]:
    """§4.4.6.1.1, §4.4.6.2.1: a group that is named is there; its members have names, and one default."""
    known = {(it.get("TYPE"), it.get("GROUP-ID")) for it in playlist.media}
    for variant in playlist.variants:
        for kind in ("AUDIO", "VIDEO", "SUBTITLES"):
            if kind in variant and (kind, variant[kind]) not in known:
                yield f"{variant['']}: no group {variant[kind]} of {kind}"
    for group in known:
        members = [it for it in playlist.media if (it.get("TYPE"), it.get("GROUP-ID")) == group]
        if len({it.get("NAME") for it in members}) < len(members):
            yield f"{group}: two of one name"
        if sum(it.get("DEFAULT") == "YES" for it in members) > 1:
            yield f"{group}: several defaults"


def renditions(playlist: Multivariant) -> Iterator[str]:
    """§4.4.6.1: TYPE, GROUP-ID and NAME always; a default is selected by itself; LANGUAGE is a tag of RFC 5646."""
    for found in playlist.media:
        for name in ("TYPE", "GROUP-ID", "NAME"):
            if not found.get(name):
                yield f"a rendition without {name}: {found}"
        if found.get("DEFAULT") == "YES" and found.get("AUTOSELECT", "YES") != "YES":
            yield f"{found.get('NAME')}: a default that is not selected"
        if not re.fullmatch(LANGUAGE, found.get("LANGUAGE", "en")):
            yield f"{found.get('NAME')}: LANGUAGE {found['LANGUAGE']}"
        if found.get("TYPE") == "AUDIO" and not re.fullmatch(r"\d+(/.*)?", found.get("CHANNELS", "1")):
            yield f"{found.get('NAME')}: CHANNELS {found['CHANNELS']}"


def unique(playlist: Multivariant) -> Iterator[str]:
    """§4.4.6.2: there are variants, and no two are one."""
    uris = [variant[""] for variant in playlist.variants]
    if not uris:
        yield "no variant"
    if len(set(uris)) < len(uris):
        yield f"{uris}"


RULES: list[Rule] = [bandwidths, codecs, pictures, supplemental, ranges, groups, renditions, unique]


def faults(playlist: Multivariant) -> list[str]:
    """What is wrong with a multivariant playlist."""
    return [f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(playlist)]


def peak_bps(playlist: Playlist, sizes: dict[str, int]) -> float:
    """§4.4.6.2: the most that any run of segments of half to one and a half target durations has for each second."""
    target, most = playlist.target or 1, 0.0
    for first in range(len(playlist.segments)):
        seconds = bits = 0.0
        for segment in playlist.segments[first:]:
            seconds, bits = seconds + segment.seconds, bits + 8 * sizes[segment.uri]
            if 0.5 * target <= seconds <= 1.5 * target:
                most = max(most, bits / seconds)
    return most


def faults_of_rates(variant: dict[str, str], tracks: list[tuple[Playlist, dict[str, int]]]) -> list[str]:
    """§4.4.6.2: BANDWIDTH is no less than the peaks of what is played together, by a tenth at most; so the average."""
    peak = sum(peak_bps(*track) for track in tracks)
    average = sum(8 * sum(sizes.values()) / sum(it.seconds for it in playlist.segments) for playlist, sizes in tracks)
    said, said_average = int(variant["BANDWIDTH"]), int(variant["AVERAGE-BANDWIDTH"])
    found = [] if said * RATE_TOLERANCE >= peak else [f"BANDWIDTH {said} of {peak:.0f}"]
    if not average / RATE_TOLERANCE <= said_average <= average * RATE_TOLERANCE:
        found.append(f"AVERAGE-BANDWIDTH {said_average} of {average:.0f}")
    return found
