"""What Prometheus and the page's API are told of SRT connections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import srt_server
from conftest import eventually, running
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse
from srt_server import live

import arcly
from arcly.server.viewers import Viewers
from arcly.services import _links
from arcly.services.prometheus import PrometheusObserver


def srt_samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """What is said of SRT, by name and state."""
    families = parse(generate_latest(registry).decode())
    return {
        (sample.name, sample.labels["state"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("srt_conns")
    }


async def test_publisher_and_viewer_are_told_of_with_all_that_is_counted(
    ffmpeg: str, clip: Callable[..., Path]
) -> None:
    registry, handler = CollectorRegistry(), arcly.SrtHandler("127.0.0.1:0")
    observer = PrometheusObserver(registry, srt_connections=handler.list_connections)
    async with srt_server.serving(handler) as srt, live(srt, ffmpeg, clip()):
        await observer.start(srt.engine)
        play = [ffmpeg, "-v", "quiet", "-i", srt.url("read:live/cam"), "-f", "null", "-"]
        async with running(*play):

            def both_flow() -> bool:
                seen = srt_samples(registry)
                sent = seen.get(("srt_conns_packets_sent", "read"), 0)
                received = seen.get(("srt_conns_packets_received", "publish"), 0)
                # A rate is that of the last whole second.
                rates = [("srt_conns_mbps_receive_rate", "publish"), ("srt_conns_mbps_send_rate", "read")]
                return min(sent, received) > 100 and all(seen[rate] > 0 for rate in rates)

            await eventually(both_flow, deadline_s=60)
            seen = srt_samples(registry)
            names = {"", *(f"_{name}" for name in (*_links.COUNTERS, *_links.GAUGES))}
            assert set(seen) == {(f"srt_conns{name}", state) for name in names for state in ("publish", "read")}
            for state, rate in [("publish", "receive"), ("read", "send")]:
                assert seen["srt_conns", state] == 1
                assert 0 < seen["srt_conns_ms_rtt", state] < 10_000
                assert 0 < seen[f"srt_conns_mbps_{rate}_rate", state] < 100
                assert seen["srt_conns_bytes_mss", state] == 1500
            assert seen["srt_conns_ms_receive_tsb_pd_delay", "publish"] == 120
            told = Viewers({"srt": handler}).status("live/cam")["srt"]
            assert [it["role"] for it in told] == ["publisher", "viewer"]
            assert {"id", "rtt_us", "flight_packets", "link_bits_per_second", "retransmitted_packets"} <= set(told[1])
        await observer.stop()
