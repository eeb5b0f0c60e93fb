"""Every rule fails on the playlist that breaks it, and on no other."""

from __future__ import annotations

import pytest

from conformance.answers import faults_of_answer, faults_of_delta, faults_of_reports
from conformance.playlist import Malformed, Playlist, parse
from conformance.rules import RULES, SUCCESSIONS, faults, faults_between

HEAD = """#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6.0,PART-HOLD-BACK=0.63
#EXT-X-PART-INF:PART-TARGET=0.21
"""

ENCRYPTED = f'#EXT-X-KEY:METHOD=AES-128,URI="k0.key",IV=0x{7:032x}\n'


def segment(number: int, parts: bool = True) -> str:
    lines = [f"#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{number:02}.000Z"]
    for index in range(5 if parts else 0):
        independent = ",INDEPENDENT=YES" if index == 0 else ""
        lines.append(f'#EXT-X-PART:DURATION=0.200000,URI="p{5 * number + index}.m4s"{independent}')
    return "\n".join([*lines, "#EXTINF:1.000000,", f"{number}.m4s", ""])


def playlist(first: int = 5, rest: int = 2) -> str:
    numbers = range(first, first + 5)
    body = "".join(segment(number, number >= first + 2) for number in numbers)
    after = first + 5
    opening = f"#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{after:02}.000Z\n" if rest else ""
    opening += "".join(
        f'#EXT-X-PART:DURATION=0.200000,URI="p{5 * after + index}.m4s"{",INDEPENDENT=YES" if index == 0 else ""}\n'
        for index in range(rest)
    )
    return (
        f"{HEAD}#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        f'#EXT-X-MAP:URI="i0.mp4"\n{ENCRYPTED}{body}{opening}'
        f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p{5 * after + rest}.m4s"\n'
        '#EXT-X-RENDITION-REPORT:URI="a1.m3u8",LAST-MSN=10,LAST-PART=1\n'
    )


GOOD = playlist()

BROKEN = {
    "version": ("VERSION:9", "VERSION:5"),
    "target_duration": ("#EXTINF:1.000000", "#EXTINF:1.500000"),
    "header": ('#EXT-X-MAP:URI="i0.mp4"\n', ""),
    "keys": ('METHOD=AES-128,URI="k0.key"', "METHOD=AES-128"),
    "server_control": ("PART-HOLD-BACK=0.63", "PART-HOLD-BACK=0.525"),
    "parts": ("DURATION=0.200000", "DURATION=0.220000"),
    "parts_make_segments": ('#EXT-X-PART:DURATION=0.200000,URI="p37.m4s"\n', ""),
    "parts_near_the_end": ("\n".join(segment(9).splitlines()[1:6]) + "\n", ""),
    "independent": ('URI="p45.m4s",INDEPENDENT=YES', 'URI="p45.m4s"'),
    "dates": ("00:00:08.000Z", "00:00:08.500Z"),
    "hints": ('URI="p52.m4s"', 'URI="p51.m4s"'),
    "unique": ('URI="p46.m4s"', 'URI="p45.m4s"'),
    "date_ranges": ("#EXT-X-MAP", '#EXT-X-DATERANGE:ID="x"\n#EXT-X-MAP'),
    "breaks": ("#EXTINF:1.000000,\n8.m4s\n", '#EXTINF:1.000000,\n8.m4s\n#EXT-X-MAP:URI="i1.mp4"\n'),
    "reports": ("LAST-MSN=10,", ""),
    "skips": ("#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-MAP"),
    "long_enough": ("TARGETDURATION:1", "TARGETDURATION:2"),
}

MORE_BROKEN = [
    ("target_duration", "#EXT-X-TARGETDURATION:1\n", ""),
    ("keys", "METHOD=AES-128", "METHOD=NONE"),
    ("keys", "METHOD=AES-128", "METHOD=AES-256"),
    ("keys", "METHOD=AES-128,", ""),
    ("keys", f"IV=0x{7:032x}", "IV=0x7"),
    ("keys", '#EXT-X-MAP:URI="i0.mp4"\n' + ENCRYPTED, '#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXT-X-MAP:URI="i0.mp4"\n'),
    ("server_control", "CAN-SKIP-UNTIL=6.0", "CAN-SKIP-UNTIL=5.9"),
    ("server_control", "CAN-BLOCK-RELOAD=YES,", ""),
    ("parts", "DURATION=0.200000", "DURATION=0.170000"),
    ("parts", "#EXT-X-PART-INF:PART-TARGET=0.21\n", ""),
    ("dates", "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:07.000Z\n", ""),
    ("dates", "00:00:07.000Z", "00:00:07.000"),
    ("hints", '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p52.m4s"\n', ""),
    ("hints", '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p52.m4s"\n', "#EXT-X-ENDLIST\n"),
    ("hints", "#EXT-X-PRELOAD-HINT", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD-HINT"),
    ("reports", ",LAST-PART=1", ""),
    ("reports", 'URI="a1.m3u8"', 'URI=""'),
    ("reports", 'URI="a1.m3u8"', 'URI="https://other.example/a1.m3u8"'),
    (
        "reports",
        "#EXT-X-RENDITION-REPORT",
        '#EXT-X-RENDITION-REPORT:URI="a1.m3u8",LAST-MSN=9,LAST-PART=0\n#EXT-X-RENDITION-REPORT',
    ),
    ("reports", "#EXT-X-RENDITION-REPORT", "#EXT-X-ENDLIST\n#EXT-X-RENDITION-REPORT"),
    ("version", "VERSION:9", "VERSION:8\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1"),
    *(
        ("date_ranges", "#EXT-X-MAP", f'#EXT-X-DATERANGE:ID="x",START-DATE="2026-01-01T00:00:05Z",{wrong}\n#EXT-X-MAP')
        for wrong in (
            "DURATION=-1",
            "PLANNED-DURATION=-1",
            'END-DATE="2026-01-01T00:00:04Z"',
            "END-ON-NEXT=YES",
            'CLASS="c",END-ON-NEXT=YES,DURATION=1',
            "SCTE35-OUT=0xFC3",
            "SCTE35-IN=FC30",
            'SCTE35-CMD="splice"',
        )
    ),
    (
        "date_ranges",
        "#EXT-X-MAP",
        '#EXT-X-DATERANGE:ID="x",START-DATE="a"\n#EXT-X-DATERANGE:ID="x",START-DATE="b"\n#EXT-X-MAP',
    ),
]


def test_a_good_playlist_has_no_fault() -> None:
    assert faults(parse(GOOD)) == []
    for rest in range(5):
        assert faults(parse(playlist(6, rest))) == []
        assert faults_between(parse(GOOD), parse(playlist(6, rest))) == []
    assert faults_between(parse(GOOD), parse(GOOD)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_can_fail(rule: object) -> None:
    good, bad = BROKEN[rule.__name__]
    assert good in GOOD
    found = faults(parse(GOOD.replace(good, bad) if rule.__name__ != "long_enough" else shortened()))
    assert [fault for fault in found if fault.startswith(f"{rule.__name__}:")], found


def shortened() -> str:
    """Two seconds of what should be three."""
    head, _, tail = GOOD.partition(segment(5, parts=False))
    return head + tail.partition(segment(7))[2].partition(segment(8))[2]


@pytest.mark.parametrize(("rule", "good", "bad"), MORE_BROKEN)
def test_rules_of_several_sentences_fail_on_each(rule: str, good: str, bad: str) -> None:
    assert good in GOOD
    found = faults(parse(GOOD.replace(good, bad)))
    assert [fault for fault in found if fault.startswith(f"{rule}:")], found


FOLLOWERS = {
    "never_changes": ("PART-TARGET=0.21", "PART-TARGET=0.22"),
    "goes_on": ("\n7.m4s", "\n7x.m4s"),
    "parts_go_on": ('URI="p51.m4s"', 'URI="p51x.m4s"'),
    "hints_come_true": ('URI="p52.m4s"', 'URI="p52x.m4s"'),
    "keys_stay": ("k0.key", "k1.key"),
    "keeps_all": ("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQUENCE"),
    "discontinuities": ("DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:4"),
}


@pytest.mark.parametrize("rule", SUCCESSIONS, ids=lambda rule: rule.__name__)
def test_each_rule_of_succession_can_fail(rule: object) -> None:
    good, bad = FOLLOWERS[rule.__name__]
    follower = playlist(6, 1)
    assert good in follower
    before = GOOD.replace(good, bad) if rule.__name__ == "keeps_all" else GOOD
    found = faults_between(parse(before), parse(follower.replace(good, bad)))
    assert [fault for fault in found if fault.startswith(f"{rule.__name__}:")], found


MPEGTS = """#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:4
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:08.000Z
#EXTINF:2.000000,
4.ts
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:10.000Z
#EXTINF:2.000000,
5.ts
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:12.000Z
#EXTINF:2.000000,
6.ts
"""


def test_mpegts_needs_no_header_and_a_version_for_its_fractions() -> None:
    assert faults(parse(MPEGTS)) == []
    assert [it.partition(":")[0] for it in faults(parse(MPEGTS.replace("VERSION:3", "VERSION:2")))] == ["version"]
    assert {it.partition(":")[0] for it in faults(parse(MPEGTS.replace(".ts", ".m4s")))} == {"version", "header"}


def test_an_answer_without_what_was_asked_for_is_found() -> None:
    there = parse(GOOD)  # five segments from 5 on, and two parts
    for asked in (9, None), (10, 0), (10, 1), (8, 99):
        assert faults_of_answer(asked, there) == []
    for asked in (10, None), (10, 2), (11, 0):
        assert len(faults_of_answer(asked, there)) == 1
        assert faults_of_answer(asked, parse(GOOD + "#EXT-X-ENDLIST\n")) == []
    whole = parse(playlist(rest=0))
    assert (faults_of_answer((9, 4), whole), len(faults_of_answer((9, 5), whole))) == ([], 1)


LONG = GOOD.replace("CAN-SKIP-UNTIL=6.0", "CAN-SKIP-UNTIL=2.0")
HEADER = f'#EXT-X-MAP:URI="i0.mp4"\n{ENCRYPTED}'
UPDATE = LONG.replace(HEADER + segment(5, parts=False) + segment(6, parts=False), "#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n")
"""Header and key are those of the segments that are skipped."""


def test_an_update_that_is_not_what_the_whole_playlist_is_is_found() -> None:
    assert UPDATE != LONG
    full = parse(LONG)
    assert faults_of_delta(full, parse(UPDATE)) == []
    assert faults_of_delta(full, full) == [], "nothing need be skipped"
    for good, bad in (
        ("SKIPPED-SEGMENTS=2", "SKIPPED-SEGMENTS=1"),
        ("SKIPPED-SEGMENTS=2", "SKIPPED-SEGMENTS=3"),
        ("\n7.m4s", "\n7x.m4s"),
        ('URI="p51.m4s"', 'URI="p51x.m4s"'),
        ("PART-TARGET=0.21", "PART-TARGET=0.22"),
        ("DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:4"),
        ("p52.m4s", "p53.m4s"),
        ("#EXT-X-PRELOAD", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD"),
        ("#EXT-X-SKIP", '#EXT-X-DATERANGE:ID="x",START-DATE="2026-01-01T00:00:05Z"\n#EXT-X-SKIP'),
        ("#EXT-X-SKIP", '#EXT-X-MAP:URI="i1.mp4"\n#EXT-X-SKIP'),
        ("CAN-SKIP-UNTIL=2.0", "CAN-SKIP-UNTIL=6.0"),
        ("VERSION:9", "VERSION:8"),
        ("MEDIA-SEQUENCE:5", "MEDIA-SEQUENCE:6"),
    ):
        assert good in UPDATE
        assert faults_of_delta(full, parse(UPDATE.replace(good, bad, 1))), bad


def reported(report: str) -> Playlist:
    return parse(GOOD.replace("LAST-MSN=10,LAST-PART=1", report))


def test_a_report_of_what_is_not_there_yet_or_no_more_the_newest_is_found() -> None:
    before, after = parse(playlist(5, 1)), parse(playlist(5, 3))
    for right in ("LAST-MSN=10,LAST-PART=0", "LAST-MSN=10,LAST-PART=2"):
        assert faults_of_reports(reported(right), {"a1.m3u8": (before, after)}) == []
    assert faults_of_reports(reported("LAST-MSN=9,LAST-PART=4"), {"a1.m3u8": (parse(playlist(5, 0)), after)}) == []
    for wrong in ("LAST-MSN=9,LAST-PART=4", "LAST-MSN=10,LAST-PART=3", "LAST-MSN=11,LAST-PART=0"):
        assert len(faults_of_reports(reported(wrong), {"a1.m3u8": (before, after)})) == 1
    assert faults_of_reports(parse(GOOD), {"a2.m3u8": (before, after)}) == ["no report of a2.m3u8"]


def test_numbers_that_fall_and_segments_behind_the_end_are_found() -> None:
    assert any("fell" in fault for fault in faults_between(parse(playlist(6)), parse(GOOD)))
    assert any("behind" in fault for fault in faults_between(parse(GOOD + "#EXT-X-ENDLIST\n"), parse(playlist(6))))


@pytest.mark.parametrize("text", ["", "#EXT-X-VERSION:9", "#EXTM3U\n#EXTINF:x,\n", "#EXTM3U\n#EXT-X-MAP:A=1,A=2\n"])
def test_what_is_no_playlist_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)
