"""Every rule of DASH fails on the MPD that breaks it, and on no other."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from conformance import mpd
from conformance.dash import RULES, SUCCESSIONS, faults, faults_between

VIDEO = (
    '<Representation id="{id}" codecs="avc1.64001f" bandwidth="5000000" width="1280" height="720" frameRate="30">'
    '<SegmentTemplate timescale="90000" presentationTimeOffset="{offset}" startNumber="{number}" media="$Number$.m4s"'
    ' initialization="i.mp4"{early}><SegmentTimeline>{timeline}</SegmentTimeline></SegmentTemplate></Representation>'
)

AUDIO = (
    '<Representation id="a1" codecs="mp4a.40.2" bandwidth="128000" audioSamplingRate="48000">'
    '<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>'
    '<SegmentTemplate timescale="48000" presentationTimeOffset="0" startNumber="{number}" media="a$Number$.m4s"'
    ' initialization="j.mp4"{early}><SegmentTimeline>{timeline}</SegmentTimeline></SegmentTemplate></Representation>'
)

EARLY = ' availabilityTimeOffset="0.800" availabilityTimeComplete="false"'

STATIC = (
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static" '
    'mediaPresentationDuration="PT16.000000S" minBufferTime="PT1S">'
)


def video_set(first: str, second: str = "") -> str:
    return (
        '<AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true">'
        f"{first}{second}</AdaptationSet>"
    )


def live(first: int = 0, published_s: int = 17, newest: int = 90_000) -> str:
    """Six seconds of one Period, from segment `first` on, then ten of another, in which there are two sizes."""
    size = VIDEO.format(
        id="{}", offset=0, number=6, early=EARLY, timeline=f'<S t="0" d="90000" r="9"/><S d="{newest}"/>'
    )
    before = VIDEO.format(
        id="v0", offset=0, number=first, early=EARLY, timeline=f'<S t="{first * 90_000}" d="90000" r="{5 - first}"/>'
    )
    sound = '<AdaptationSet id="100" contentType="audio" mimeType="audio/mp4" lang="en">{}</AdaptationSet>'
    early = sound.format(
        AUDIO.format(number=first, early=EARLY, timeline=f'<S t="{first * 48_000}" d="48000" r="{5 - first}"/>')
    )
    late = sound.format(AUDIO.format(number=6, early=EARLY, timeline='<S t="0" d="48000" r="9"/><S d="48000"/>'))
    return (
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" '
        f'availabilityStartTime="2026-01-01T00:00:00.000Z" publishTime="2026-01-01T00:00:{published_s}.000Z" '
        'minimumUpdatePeriod="PT1S" minBufferTime="PT1S" maxSegmentDuration="PT1.500000S" '
        f'timeShiftBufferDepth="PT{16 - first}.000000S" suggestedPresentationDelay="PT1.6S">'
        "<Location>manifest.mpd</Location>"
        f'<Period id="0" start="PT0.000000S">{video_set(before)}{early}</Period>'
        f'<Period id="1" start="PT6.000000S">{video_set(size.format("v0"), size.format("v1"))}{late}</Period>'
        '<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="time.txt"/></MPD>'
    )


def over() -> str:
    """A static one of what is left at the end."""
    first = VIDEO.format(id="v0", offset=0, number=0, early="", timeline='<S t="0" d="90000" r="5"/>')
    second = VIDEO.format(id="v0", offset=900_000, number=6, early="", timeline='<S t="900000" d="90000" r="9"/>')
    return (
        f'{STATIC}<Period id="0" start="PT0.000000S">{video_set(first)}</Period>'
        f'<Period id="1" start="PT6.000000S">{video_set(second)}</Period></MPD>'
    )


LIVE, OVER = live(), over()

BROKEN = [
    (
        "timelines",
        LIVE,
        '<S t="0" d="90000" r="9"/><S d="90000"/>',
        '<S t="0" d="90000" r="9"/><S t="900001" d="90000"/>',
    ),
    ("timelines", LIVE, '<S t="0" d="90000" r="9"/><S d="90000"/>', '<S t="0" d="0" r="9"/><S d="90000"/>'),
    ("timelines", OVER, '<S t="900000" d="90000" r="9"/>', '<S d="90000" r="9"/>'),
    ("period_change", LIVE, 'start="PT6.000000S"', 'start="PT0.000000S"'),
    ("period_change", LIVE, 'start="PT6.000000S"', 'start="PT5.000000S"'),
    ("period_change", LIVE, ' start="PT0.000000S"', ""),
    ("period_change", OVER, '<S t="900000" d="90000" r="9"/>', '<S t="720000" d="90000" r="11"/>'),
    ("adaptation_sets", LIVE, ' codecs="avc1.64001f"', ""),
    ("adaptation_sets", LIVE, ' width="1280"', ""),
    ("adaptation_sets", LIVE, ' audioSamplingRate="48000"', ""),
    ("adaptation_sets", LIVE, 'mimeType="audio/mp4"', 'mimeType="video/mp4"'),
    ("adaptation_sets", LIVE, '"v1" codecs="avc1.64001f"', '"v1" codecs="hvc1.1.6.L93.B0"'),
    ("adaptation_sets", LIVE, LIVE[LIVE.index("<AudioChannel") : LIVE.index('value="2"/>') + 10], ""),
    ("adaptation_sets", STATIC + "</MPD>", "</MPD>", '<Period id="0" start="PT0S"></Period></MPD>'),
    ("segment_alignment", LIVE, 'r="9"/><S d="90000"/>', 'r="8"/><S d="45000"/><S d="135000"/>'),
    ("availability", LIVE, ' availabilityTimeComplete="false"', ""),
    ("availability", LIVE, 'availabilityTimeOffset="0.800" ', ""),
    ("availability", LIVE, 'availabilityTimeOffset="0.800"', 'availabilityTimeOffset="1.200"'),
    ("availability", LIVE, 'availabilityTimeOffset="0.800"', 'availabilityTimeOffset="0.000"'),
    ("availability", OVER, "><SegmentTimeline>", f"{EARLY}><SegmentTimeline>"),
    ("utc_timing", LIVE, LIVE[LIVE.index("<UTCTiming") : LIVE.index("</MPD>")], ""),
    ("utc_timing", LIVE, "http-iso", "sundial"),
    ("utc_timing", LIVE, 'value="time.txt"', 'value=""'),
    ("time_shift_buffer", LIVE, 'Depth="PT16.000000S"', 'Depth="PT18.000000S"'),
    ("time_shift_buffer", LIVE, 'Depth="PT16.000000S"', 'Depth="PT0.000000S"'),
    ("times", LIVE, 'minBufferTime="PT1S"', 'minBufferTime="PT0S"'),
    ("times", LIVE, 'Duration="PT1.500000S"', 'Duration="PT0.900000S"'),
    ("times", LIVE, 'publishTime="2026-01-01', 'publishTime="2025-01-01'),
    ("times", LIVE, "00:00:17.000Z", "00:00:15.000Z"),
    ("ended", OVER, 'Duration="PT16.000000S"', 'Duration="PT15.000000S"'),
    ("ended", OVER, f"{STATIC}<Period", f"{STATIC}<Location>again.mpd</Location><Period"),
]


def read(text: str) -> Element:
    return ElementTree.fromstring(text)


def test_good_mpds_have_no_fault() -> None:
    for text in (LIVE, OVER, live(3, 18, 80_000)):
        assert (mpd.faults(read(text)), faults(read(text))) == ([], [])
    assert faults_between(read(LIVE), read(live(3, 18, 80_000))) == [], "the last one was a guess"
    assert faults_between(read(LIVE), read(LIVE)) == []
    assert faults_between(read(LIVE), read(OVER)) == []


@pytest.mark.parametrize(("rule", "text", "good", "bad"), BROKEN, ids=[f"{it[0]}-{i}" for i, it in enumerate(BROKEN)])
def test_each_sentence_of_each_rule_can_fail(rule: str, text: str, good: str, bad: str) -> None:
    assert good in text
    # The last of several: rules of what is newest are about the last Period.
    before, _, after = text.rpartition(good)
    found = faults(read(before + bad + after))
    assert [fault for fault in found if fault.startswith(f"{rule}:")], found


FOLLOWERS = [
    ("never_changes", LIVE, live(1, 18), "00:00:00.000Z", "00:00:01.000Z"),
    ("never_changes", OVER, live(1, 18), "", ""),
    ("publish_time", LIVE, live(1, 18), "00:00:18.000Z", "00:00:16.000Z"),
    ("publish_time", LIVE, live(1, 17), "", ""),
    ("segments_stay", live(2), live(1, 18), "", ""),
    ("segments_stay", LIVE, live(1, 18), '<S t="90000" d="90000" r="4"/>', '<S t="90001" d="90000" r="4"/>'),
    ("segments_stay", LIVE, live(1, 18), '<S t="0" d="90000" r="9"/>', '<S t="0" d="90000" r="8"/><S d="45000"/>'),
    ("segments_stay", LIVE, live(1, 18), 'r="9"/><S d="90000"/>', 'r="9"/>'),
    ("periods_stay", LIVE, live(1, 18), 'start="PT6.000000S"', 'start="PT6.500000S"'),
    ("periods_stay", LIVE, live(1, 18), 'lang="en"', 'lang="de"'),
]


@pytest.mark.parametrize(
    ("rule", "older", "newer", "good", "bad"), FOLLOWERS, ids=[f"{it[0]}-{i}" for i, it in enumerate(FOLLOWERS)]
)
def test_each_sentence_of_each_rule_of_succession_can_fail(
    rule: str, older: str, newer: str, good: str, bad: str
) -> None:
    assert good in newer
    found = faults_between(read(older), read(newer.replace(good, bad, 1) if good else newer))
    assert [fault for fault in found if fault.startswith(f"{rule}:")], found


def test_no_rule_is_without_an_mpd_that_breaks_it() -> None:
    assert {rule.__name__ for rule in RULES} == {it[0] for it in BROKEN}
    assert {rule.__name__ for rule in SUCCESSIONS} == {it[0] for it in FOLLOWERS}
