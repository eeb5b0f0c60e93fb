"""An MPD as its schema has it (ISO/IEC 23009-1 §5.2, annex B): which elements follow in which order, how often, with
which attributes of which form. What is in no table is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

NAMESPACE = "{urn:mpeg:dash:schema:mpd:2011}"

STRING, TOKEN = r"(?s).*", r"\S+"
UINT, INT, BOOL = r"\d+", r"-?\d+", "true|false|0|1"
DOUBLE = r"INF|-?\d+(\.\d+)?([eE]-?\d+)?"
DURATION = r"P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?"
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"
RATE = r"\d+(/[1-9]\d*)?"


@dataclass(frozen=True)
class Form:
    """What an element has; `children` in their order, as `Name`, `Name?`, `Name*` or `Name+`."""

    children: str = ""
    required: dict[str, str] = field(default_factory=dict)
    optional: dict[str, str] = field(default_factory=dict)


DESCRIPTOR = Form(required={"schemeIdUri": STRING}, optional={"value": STRING, "id": STRING})

SEGMENTS = "SegmentBase? SegmentList? SegmentTemplate?"

BASE = (
    "FramePacking* AudioChannelConfiguration* ContentProtection* OutputProtection? EssentialProperty* "
    "SupplementalProperty* InbandEventStream* Switching* RandomAccess* GroupLabel* Label* ProducerReferenceTime* "
    "ContentPopularityRate* Resync*"
)

BASE_ATTRIBUTES = {
    "profiles": STRING,
    "width": UINT,
    "height": UINT,
    "sar": r"\d*:\d*",
    "frameRate": RATE,
    "audioSamplingRate": r"\d+( \d+)?",
    "mimeType": r"[a-z]+/[\w.+-]+",
    "codecs": r"[^,\s]+(,[^,\s]+)*",
    "startWithSAP": "[0-6]",
    "scanType": "progressive|interlaced|unknown",
}

FORMS = {
    "MPD": Form(
        "ProgramInformation* BaseURL* Location* PatchLocation* ServiceDescription* InitializationSet* "
        "InitializationGroup* InitializationPresentation* ContentProtection* Period+ Metrics* EssentialProperty* "
        "SupplementalProperty* UTCTiming* LeapSecondInformation?",
        {"profiles": STRING, "minBufferTime": DURATION},
        {"id": STRING, "type": "static|dynamic", "availabilityStartTime": DATE, "availabilityEndTime": DATE}
        | {"publishTime": DATE, "mediaPresentationDuration": DURATION, "minimumUpdatePeriod": DURATION}
        | {"timeShiftBufferDepth": DURATION, "suggestedPresentationDelay": DURATION, "maxSegmentDuration": DURATION},
    ),
    "Location": Form(),
    "UTCTiming": DESCRIPTOR,
    "ServiceDescription": Form(
        "Scope* Latency* PlaybackRate* OperatingQuality* OperatingBandwidth*", optional={"id": UINT}
    ),
    "Latency": Form(optional={"referenceId": UINT, "target": UINT, "min": UINT, "max": UINT}),
    "PlaybackRate": Form(optional={"min": DOUBLE, "max": DOUBLE}),
    "Period": Form(
        f"BaseURL* {SEGMENTS} AssetIdentifier? EventStream* ServiceDescription* ContentProtection* AdaptationSet* "
        "Subset* SupplementalProperty* EmptyAdaptationSet* GroupLabel* Preselection*",
        optional={"id": STRING, "start": DURATION, "duration": DURATION, "bitstreamSwitching": BOOL},
    ),
    "AdaptationSet": Form(
        f"{BASE} Accessibility* Role* Rating* Viewpoint* ContentComponent* BaseURL* {SEGMENTS} Representation*",
        optional=BASE_ATTRIBUTES
        | {"id": UINT, "group": UINT, "lang": r"[a-zA-Z]{1,8}(-\w{1,8})*", "contentType": "video|audio|text|image"}
        | {"par": r"\d*:\d*", "minBandwidth": UINT, "maxBandwidth": UINT, "minWidth": UINT, "maxWidth": UINT}
        | {"minHeight": UINT, "maxHeight": UINT, "minFrameRate": RATE, "maxFrameRate": RATE}
        | {"segmentAlignment": BOOL, "bitstreamSwitching": BOOL, "subsegmentAlignment": BOOL},
    ),
    "Representation": Form(
        f"{BASE} BaseURL* ExtendedBandwidth* SubRepresentation* {SEGMENTS}",
        {"id": TOKEN, "bandwidth": UINT},
        BASE_ATTRIBUTES | {"qualityRanking": UINT, "dependencyId": STRING},
    ),
    "AudioChannelConfiguration": DESCRIPTOR,
    "EssentialProperty": DESCRIPTOR,
    "SupplementalProperty": DESCRIPTOR,
    "InbandEventStream": DESCRIPTOR,
    "Role": DESCRIPTOR,
    "SegmentTemplate": Form(
        "Initialization? RepresentationIndex? FailoverContent? SegmentTimeline? BitstreamSwitching?",
        optional={"timescale": UINT, "presentationTimeOffset": UINT, "eptDelta": INT, "duration": UINT}
        | {"startNumber": UINT, "endNumber": UINT, "media": STRING, "index": STRING, "initialization": STRING}
        | {"availabilityTimeOffset": DOUBLE, "availabilityTimeComplete": BOOL, "timeShiftBufferDepth": DURATION},
    ),
    "SegmentTimeline": Form("S+"),
    "S": Form(required={"d": UINT}, optional={"t": UINT, "n": UINT, "r": INT, "k": UINT}),
    "ProducerReferenceTime": Form(
        "UTCTiming?",
        {"id": UINT, "wallClockTime": STRING, "presentationTime": UINT},
        {"type": "encoder|captured|application", "inband": BOOL, "applicationScheme": STRING},
    ),
    "Resync": Form(optional={"type": UINT, "dT": UINT, "dImin": DOUBLE, "dImax": DOUBLE, "marker": BOOL}),
}


def faults(root: Element) -> list[str]:
    """What is wrong with an MPD."""
    if root.tag != f"{NAMESPACE}MPD":
        return [f"the root is {root.tag}"]
    return [*of_element(root, "MPD"), *of_kind(root), *of_names(root)]


def of_element(element: Element, path: str) -> Iterator[str]:
    """Children and attributes of an element, and of those in it."""
    form = FORMS.get(path.rpartition("/")[2])
    if form is None:
        yield f"{path} is not known"
        return
    allowed = form.required | form.optional
    for name in form.required.keys() - element.keys():
        yield f"{path} has no {name}"
    for name, value in element.items():
        if name not in allowed:
            yield f"{path} has no attribute {name}"
        elif not re.fullmatch(allowed[name], value):
            yield f"{path}/@{name} is {value!r}"
    names = [child.tag.removeprefix(NAMESPACE) for child in element]
    pattern = "".join(re.sub(r"(\w+)([?*+]?)", r"(?:\1 )\2", part) for part in form.children.split())
    if not re.fullmatch(pattern, "".join(f"{name} " for name in names)):
        yield f"{path} has {names}, which should be {form.children}"
    for child, name in zip(element, names, strict=True):
        yield from of_element(child, f"{path}/{name}")


def of_kind(root: Element) -> Iterator[str]:
    """§5.3.1.2: what a dynamic MPD must have, and a static one must not."""
    dynamic = root.get("type") == "dynamic"
    for name in ("availabilityStartTime", "publishTime") if dynamic else ("mediaPresentationDuration",):
        if root.get(name) is None:
            yield f"no {name}"
    for name in () if dynamic else ("minimumUpdatePeriod", "timeShiftBufferDepth", "suggestedPresentationDelay"):
        if root.get(name) is not None:
            yield f"{name} where nothing changes"


def of_names(root: Element) -> Iterator[str]:
    """Identifiers are unique in their scope (§5.3.2.2, §5.3.3.2, §5.3.5.2); every set has a Representation."""
    periods = root.findall(f"{NAMESPACE}Period")
    for scope, elements in [
        ("Period", periods),
        *(("AdaptationSet", period.findall(f"{NAMESPACE}AdaptationSet")) for period in periods),
        *(("Representation", list(period.iter(f"{NAMESPACE}Representation"))) for period in periods),
    ]:
        ids = [element.get("id") for element in elements]
        if len(set(ids)) != len(ids):
            yield f"{scope}: {ids}"
    for found in root.iter(f"{NAMESPACE}AdaptationSet"):
        if found.find(f"{NAMESPACE}Representation") is None:
            yield "an AdaptationSet without a Representation"
