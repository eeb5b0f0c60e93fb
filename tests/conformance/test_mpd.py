"""The checker of MPDs finds what is wrong, and nothing in what is right."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from conformance import schema
from conformance.mpd import faults

GOOD = """<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic"
 availabilityStartTime="2026-01-01T00:00:00.000Z" publishTime="2026-01-01T00:00:09.000Z" minimumUpdatePeriod="PT1S"
 minBufferTime="PT1S" timeShiftBufferDepth="PT15.000000S">
<Location>manifest.mpd</Location>
<ServiceDescription id="0"><Latency target="1600" min="800" max="4800"/><PlaybackRate min="0.95" max="1.1"/>
</ServiceDescription>
<Period id="0" start="PT0.000000S"><AdaptationSet id="0" contentType="video" mimeType="video/mp4">
<Representation id="v0" codecs="avc1.64001f" bandwidth="5000000" width="1280" height="720" frameRate="30">
<SegmentTemplate timescale="90000" startNumber="3" media="$Number$.m4s" initialization="i.mp4">
<SegmentTimeline><S t="0" d="90000" r="2"/><S d="45000"/></SegmentTimeline></SegmentTemplate></Representation>
</AdaptationSet></Period>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="time.txt"/></MPD>"""

BROKEN = [
    ('profiles="urn:mpeg:dash:profile:isoff-live:2011" ', "", "no profiles"),
    ('minBufferTime="PT1S"', 'minBufferTime="1 s"', "minBufferTime is"),
    ('publishTime="2026-01-01T00:00:09.000Z"', "", "no publishTime"),
    ('type="dynamic"', 'type="static"', "where nothing changes"),
    ("<Location>manifest.mpd</Location>", "<Place/>", "Place is not known"),
    ("</AdaptationSet></Period>", "</AdaptationSet></Period><Location>late.mpd</Location>", "should be"),
    ("</SegmentTemplate>", "<SegmentTimeline/></SegmentTemplate>", "should be"),
    (' d="90000"', "", "has no d"),
    ('r="2"', 'r="two"', "@r is"),
    ('id="v0" codecs', "codecs", "has no id"),
    ('id="v0"', 'id="v 0"', "@id is"),
    ('bandwidth="5000000"', 'bandWidth="5000000"', "no attribute bandWidth"),
    ('id="0" contentType', 'id="zero" contentType', "@id is"),
    ("urn:mpeg:dash:schema:mpd:2011", "urn:mpeg:dash:schema:mpd:2010", "the root is"),
]


def test_a_good_mpd_has_no_fault() -> None:
    assert faults(ElementTree.fromstring(GOOD)) == []


@pytest.mark.parametrize(("good", "bad", "fault"), BROKEN)
def test_each_fault_is_found(good: str, bad: str, fault: str) -> None:
    assert good in GOOD
    found = faults(ElementTree.fromstring(GOOD.replace(good, bad, 1)))
    assert any(fault in it for it in found), found


def test_two_of_one_name_are_found() -> None:
    start, end = GOOD.index("<Representation"), GOOD.index("</AdaptationSet>")
    assert faults(ElementTree.fromstring(GOOD[:end] + GOOD[start:end] + GOOD[end:])) == ["Representation: ['v0', 'v0']"]
    assert "an AdaptationSet without a Representation" in faults(ElementTree.fromstring(GOOD[:start] + GOOD[end:]))


def test_the_schema_agrees_where_there_is_one() -> None:
    if schema.schema() is None:
        pytest.skip("ARCLY_MPD_XSD names no schema")
    assert schema.faults(GOOD) == []
    found = [bad for good, bad, _ in BROKEN if schema.faults(GOOD.replace(good, bad, 1))]
    assert len(found) >= 10, "that a live MPD has a publishTime is in the text of the standard alone, say"
