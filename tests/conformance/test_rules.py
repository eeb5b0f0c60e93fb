"""Every rule fails on the playlist that breaks it, and on no other."""

from __future__ import annotations

import pytest

from conformance.playlist import Malformed, parse
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
    "discontinuities": ("DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:4"),
}


@pytest.mark.parametrize("rule", SUCCESSIONS, ids=lambda rule: rule.__name__)
def test_each_rule_of_succession_can_fail(rule: object) -> None:
    good, bad = FOLLOWERS[rule.__name__]
    follower = playlist(6, 1)
    assert good in follower
    found = faults_between(parse(GOOD), parse(follower.replace(good, bad)))
    assert [fault for fault in found if fault.startswith(f"{rule.__name__}:")], found


def test_numbers_that_fall_and_segments_behind_the_end_are_found() -> None:
    assert any("fell" in fault for fault in faults_between(parse(playlist(6)), parse(GOOD)))
    assert any("behind" in fault for fault in faults_between(parse(GOOD + "#EXT-X-ENDLIST\n"), parse(playlist(6))))


@pytest.mark.parametrize("text", ["", "#EXT-X-VERSION:9", "#EXTM3U\n#EXTINF:x,\n", "#EXTM3U\n#EXT-X-MAP:A=1,A=2\n"])
def test_what_is_no_playlist_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)
