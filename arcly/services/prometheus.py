"""Numbers for Prometheus. Needs the extra `arcly[prometheus]`.

    registry = CollectorRegistry()
    async with arcly.Engine(arcly.RtmpHandler(), PrometheusObserver(registry)):
        start_http_server(9998, addr="127.0.0.1", registry=registry)

Nothing is counted while frames flow: a scrape reads what the native side has counted anyway. Names that begin with
`paths` and `srt_conns` are those of MediaMTX, so that dashboards made for it show arcly; names that begin with `arcly_`
say more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from arcly._limits import require_between
from arcly._native import StreamKey
from arcly.contract import IngestContext
from arcly.errors import MisuseError
from arcly.events import StreamEvent, StreamEventKind
from arcly.protocols.srt import SrtConnection
from arcly.services._follow import EventFollower
from arcly.services.observe import StreamReport

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, UnknownMetricFamily
    from prometheus_client.registry import Collector

    from arcly.services._links import srt_metrics
except ImportError as error:
    raise ImportError("PrometheusObserver needs prometheus-client: pip install 'arcly[prometheus]'") from error

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

READY, NOT_READY = "ready", "notReady"
"""The states of a path in MediaMTX: whether it can be read."""


class PrometheusObserver(Collector):
    """Reads an engine whenever its registry is scraped. An `InboundProtocol`.

    Labels are bounded: at most `streams_max` streams have samples of their own, the oldest ones, so that a stream
    which has them keeps them; the others are counted in `arcly_streams_without_samples`. A scrape of 1000 streams
    takes some 0.2 s, in the thread that scrapes.

    Args:
        registry: where it registers when it is started; one engine per registry, since the names are the same.
        streams_max: streams with samples of their own, default 1000; 0 to 100 000. Each has 16.
        http_viewers: returns the viewers over HTTP of a stream, such as `HttpOrigin.viewers`; called in the thread
            that scrapes. Default None: they are counted among the subscriptions.
        srt_connections: returns connections, such as `SrtHandler.list_connections`; called in the thread that
            scrapes. The first `streams_max` of them have samples, 42 each. Default None: nothing is said of them.

    Raises:
        MisuseError: `streams_max` is out of range.
    """

    name = "prometheus"

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        streams_max: int = 1000,
        http_viewers: Callable[[StreamKey], int] | None = None,
        srt_connections: Callable[[], Sequence[SrtConnection]] | None = None,
    ) -> None:
        require_between("streams_max", streams_max, 0, 100_000)
        self._registry = registry
        self._streams_max = streams_max
        self._http_viewers = http_viewers
        self._srt_connections = srt_connections
        self._events = dict.fromkeys(StreamEventKind, 0)
        self._context: IngestContext | None = None
        self._follower: EventFollower | None = None

    async def start(self, context: IngestContext) -> None:
        """Register, and count events from now on.

        Raises:
            MisuseError: it runs already, or the registry has another engine's numbers.
        """
        if self._context is not None:
            raise MisuseError("this observer is started already")
        try:
            self._registry.register(self)
        except ValueError:
            raise MisuseError("the registry has numbers of these names already: one engine per registry") from None
        self._context = context
        self._follower = EventFollower(context.events(), self._count)

    async def stop(self) -> None:
        """Leave the registry."""
        if self._context is not None:
            self._registry.unregister(self)
            self._context = None
        if self._follower is not None:
            await self._follower.close()
            self._follower = None

    def _count(self, event: StreamEvent) -> None:
        self._events[event.kind] += 1

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without samples."""
        srt = srt_metrics([]) if self._srt_connections is not None else []
        return [*_paths([], None), *_streams([], None), *_totals([], [], {}), *srt]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as of now."""
        context = self._context
        streams = [] if context is None else context.list_streams()
        chosen = sorted(streams, key=lambda stream: (stream.started_unix_ms, stream.key))[: self._streams_max]
        reports = [StreamReport.of(stream) for stream in sorted(chosen, key=lambda stream: stream.key)]
        yield from _paths(reports, self._http_viewers)
        yield from _streams(reports, self._http_viewers)
        yield from _totals([stream.key for stream in streams], reports, dict(self._events))
        if self._srt_connections is not None:
            yield from srt_metrics(self._srt_connections()[: self._streams_max])


HttpViewers = Callable[[StreamKey], int] | None


def _paths(reports: Sequence[StreamReport], http_viewers: HttpViewers) -> Iterable[Metric]:
    """Return what MediaMTX says of its paths, under its names and without `_total`."""
    paths = GaugeMetricFamily("paths", "Streams.", labels=["name", "state"])
    readers = GaugeMetricFamily("paths_readers", "Who reads a stream.", labels=["name", "state", "readerType"])
    received = UnknownMetricFamily("paths_inbound_bytes", "Payload bytes received.", labels=["name", "state"])
    errors = UnknownMetricFamily(
        "paths_inbound_frames_in_error", "Frames received with impossible timestamps.", labels=["name", "state"]
    )
    for report in reports:
        labels = [str(report.key), READY if report.tracks and report.state == "publishing" else NOT_READY]
        paths.add_metric(labels, 1)
        for kind, count in _readers(report, http_viewers):
            readers.add_metric([*labels, kind], count)
        received.add_metric(labels, report.stats.bytes)
        errors.add_metric(labels, report.stats.repaired)
    return [paths, readers, received, errors]


def _streams(reports: Sequence[StreamReport], http_viewers: HttpViewers) -> Iterable[Metric]:
    """Return what is known of each stream; counters begin at 0 with each publish."""
    names = ["app", "stream"]
    state = GaugeMetricFamily("arcly_stream_state", "1 for the state it is in.", labels=[*names, "state"])
    started = GaugeMetricFamily("arcly_stream_started_seconds", "Unix time of the publish.", labels=names)
    bit_rate = GaugeMetricFamily("arcly_stream_bits_per_second", "Payload bits per second now.", labels=names)
    frame_rate = GaugeMetricFamily("arcly_stream_frames_per_second", "Video frames per second now.", labels=names)
    subscribers = GaugeMetricFamily("arcly_stream_subscribers", "Who reads it.", labels=[*names, "kind"])
    payload = CounterMetricFamily("arcly_stream_bytes", "Payload bytes received.", labels=names)
    frames = CounterMetricFamily("arcly_stream_frames", "Frames received.", labels=[*names, "kind"])
    missed = CounterMetricFamily("arcly_stream_missed_frames", "Frames slow readers had to skip.", labels=names)
    joined = CounterMetricFamily("arcly_stream_joins", "All who have read it.", labels=names)
    evicted = CounterMetricFamily("arcly_stream_evictions", "Readers that were too slow and are out.", labels=names)
    repaired = CounterMetricFamily("arcly_stream_repaired_frames", "Frames with repaired timestamps.", labels=names)
    for report in reports:
        labels, stats = [report.key.app, report.key.stream], report.stats
        state.add_metric([*labels, report.state], 1)
        started.add_metric(labels, report.started_unix_ms / 1000)
        bit_rate.add_metric(labels, stats.bits_per_s)
        frame_rate.add_metric(labels, stats.frames_per_s)
        for kind, count in _readers(report, http_viewers):
            subscribers.add_metric([*labels, kind], count)
        payload.add_metric(labels, stats.bytes)
        frames.add_metric([*labels, "video"], stats.video_frames)
        frames.add_metric([*labels, "other"], stats.other_frames)
        missed.add_metric(labels, stats.missed)
        joined.add_metric(labels, stats.joined)
        evicted.add_metric(labels, stats.evicted)
        repaired.add_metric(labels, stats.repaired)
    return [state, started, bit_rate, frame_rate, subscribers, payload, frames, missed, joined, evicted, repaired]


def _totals(
    publishing: Sequence[StreamKey], reports: Sequence[StreamReport], events: Mapping[StreamEventKind, int]
) -> Iterable[Metric]:
    """Return what is said of the engine as a whole, and of those applications of which a stream has samples."""
    apps = Counter(key.app for key in publishing)
    publishers = GaugeMetricFamily("arcly_app_publishers", "Streams of an application.", labels=["app"])
    for app in sorted({report.key.app for report in reports}):
        publishers.add_metric([app], apps[app])
    happened = CounterMetricFamily("arcly_events", "Events since the start.", labels=["kind"])
    for kind, count in events.items():
        happened.add_metric([kind.value], count)
    return [
        publishers,
        happened,
        GaugeMetricFamily("arcly_publishers", "Streams that are being published.", len(publishing)),
        GaugeMetricFamily(
            "arcly_streams_without_samples", "Streams beyond the bound of labels.", len(publishing) - len(reports)
        ),
    ]


def _readers(report: StreamReport, http_viewers: HttpViewers) -> Iterable[tuple[str, int]]:
    sessions = http_viewers(report.key) if http_viewers is not None else 0
    # A stream counts all who watch it, HLS players among them.
    yield "subscription", max(report.stats.viewers - sessions, 0)
    if http_viewers is not None:
        yield "hlsSession", sessions
