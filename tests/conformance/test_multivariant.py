"""Every rule of multivariant playlists fails on the one that breaks it, and on no other."""

from __future__ import annotations

import pytest

from conformance.multivariant import RULES, faults, faults_of_rates, parse, peak_bps
from conformance.playlist import Malformed
from conformance.playlist import parse as parse_media

GOOD = """#EXTM3U
#EXT-X-VERSION:9
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="a1.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="Deutsch",LANGUAGE="de-AT",DEFAULT=NO,AUTOSELECT=YES,CHANNELS="2",URI="a2.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=5100000,AVERAGE-BANDWIDTH=4900000,CODECS="hvc1.2.4.L123.B0,mp4a.40.2",SUPPLEMENTAL-CODECS="dvh1.08.07/db4h",RESOLUTION=1280x720,FRAME-RATE=29.970,VIDEO-RANGE=HLG,AUDIO="aac"
v0.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1100000,AVERAGE-BANDWIDTH=900000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=29.970,AUDIO="aac"
../cam%7E360p/v0.m3u8
"""

BROKEN = [
    ("bandwidths", "BANDWIDTH=5100000,AVERAGE", "AVERAGE"),
    ("bandwidths", "BANDWIDTH=5100000", "BANDWIDTH=0"),
    ("bandwidths", "BANDWIDTH=5100000", "BANDWIDTH=5.1"),
    ("bandwidths", "AVERAGE-BANDWIDTH=900000", "AVERAGE-BANDWIDTH=1900000"),
    ("codecs", "avc1.64001f,mp4a.40.2", "avc1.64001f"),
    ("codecs", 'CODECS="avc1.64001f,mp4a.40.2",', ""),
    ("codecs", "avc1.64001f,mp4a.40.2", "h264,aac"),
    ("codecs", "avc1.64001f,mp4a.40.2", "avc1.64001f,mp4a.40.2,mp4a.40.5"),
    ("pictures", "RESOLUTION=640x360,", ""),
    ("pictures", "RESOLUTION=640x360", "RESOLUTION=360p"),
    ("pictures", "FRAME-RATE=29.970", "FRAME-RATE=29.97003"),
    ("pictures", "FRAME-RATE=29.970", "FRAME-RATE=30000/1001"),
    ("pictures", ",FRAME-RATE=29.970", ""),
    ("pictures", "avc1.64001f,", ""),
    ("supplemental", "dvh1.08.07/db4h", "dvh1.08.07"),
    ("supplemental", "dvh1.08.07/db4h", "/db4h"),
    ("ranges", "VIDEO-RANGE=HLG", "VIDEO-RANGE=HDR"),
    ("ranges", "VIDEO-RANGE=HLG", "VIDEO-RANGE=PQ"),
    ("ranges", ",VIDEO-RANGE=HLG", ""),
    ("groups", 'AUDIO="aac"', 'AUDIO="opus"'),
    ("groups", 'NAME="Deutsch"', 'NAME="English"'),
    ("groups", "DEFAULT=NO", "DEFAULT=YES"),
    ("renditions", 'NAME="Deutsch",', ""),
    ("renditions", 'GROUP-ID="aac",NAME="Deutsch"', 'NAME="Deutsch"'),
    ("renditions", "DEFAULT=YES,AUTOSELECT=YES", "DEFAULT=YES,AUTOSELECT=NO"),
    ("renditions", 'LANGUAGE="de-AT"', 'LANGUAGE="Deutsch (AT)"'),
    ("renditions", 'CHANNELS="2"', 'CHANNELS="stereo"'),
    ("unique", "../cam%7E360p/v0.m3u8", "v0.m3u8"),
]


def test_a_good_one_has_no_fault() -> None:
    assert faults(parse(GOOD)) == []
    sound = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000,AVERAGE-BANDWIDTH=900,CODECS="mp4a.40.2"\na1.m3u8\n'
    assert faults(parse(sound)) == []


@pytest.mark.parametrize(("rule", "good", "bad"), BROKEN, ids=[f"{it[0]}-{i}" for i, it in enumerate(BROKEN)])
def test_each_sentence_of_each_rule_can_fail(rule: str, good: str, bad: str) -> None:
    assert good in GOOD
    found = faults(parse(GOOD.replace(good, bad)))
    assert [fault for fault in found if fault.startswith(f"{rule}:")], found


def test_no_rule_is_without_a_playlist_that_breaks_it() -> None:
    assert {rule.__name__ for rule in RULES} == {it[0] for it in BROKEN}
    assert [fault for fault in faults(parse("#EXTM3U\n")) if fault.startswith("unique:")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#EXTM3U\nv0.m3u8\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-VERSION:6\nv0.m3u8\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv0.m3u8\n#EXTINF:1,\n",
    ],
)
def test_what_is_no_multivariant_playlist_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


def test_rates_that_are_not_those_of_the_segments_are_found() -> None:
    names = [f"{number}.m4s" for number in range(4)]
    media = parse_media("#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + "".join(f"#EXTINF:2.0,\n{name}\n" for name in names))
    sizes = dict(zip(names, (100_000, 200_000, 100_000, 100_000), strict=True))
    assert peak_bps(media, sizes) == 800_000
    for said, average, count in ((800_000, 500_000, 0), (720_000, 500_000, 1), (800_000, 400_000, 1), (1, 1, 2)):
        variant = {"BANDWIDTH": str(said), "AVERAGE-BANDWIDTH": str(average)}
        assert len(faults_of_rates(variant, [(media, sizes)])) == count
    both = {"BANDWIDTH": "1600000", "AVERAGE-BANDWIDTH": "1000000"}
    assert faults_of_rates(both, [(media, sizes), (media, sizes)]) == []
