"""SRT connections for Prometheus, under the names of MediaMTX, whose dashboards show them then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, UnknownMetricFamily

from arcly.protocols.srt import SrtConnection

if TYPE_CHECKING:
    from prometheus_client.core import Metric

LABELS = ["id", "path", "remoteAddr", "state"]

COUNTERS = {
    "packets_sent": "sent_packets",
    "packets_received": "received_packets",
    "packets_sent_unique": "sent_unique_packets",
    "packets_received_unique": "received_unique_packets",
    "packets_send_loss": "send_lost_packets",
    "packets_received_loss": "receive_lost_packets",
    "packets_retrans": "retransmitted_packets",
    "packets_received_retrans": "received_retransmitted_packets",
    "packets_sent_ack": "sent_acks",
    "packets_received_ack": "received_acks",
    "packets_sent_nak": "sent_naks",
    "packets_received_nak": "received_naks",
    "packets_send_drop": "send_dropped_packets",
    "packets_received_drop": "receive_dropped_packets",
    "packets_received_belated": "belated_packets",
    "packets_received_undecrypt": "undecrypted_packets",
    "us_snd_duration": "send_busy_us",
    "bytes_sent": "sent_bytes",
    "bytes_received": "received_bytes",
    "bytes_sent_unique": "sent_unique_bytes",
    "bytes_received_unique": "received_unique_bytes",
    "bytes_retrans": "retransmitted_bytes",
    "bytes_send_drop": "send_dropped_bytes",
    "bytes_received_undecrypt": "undecrypted_bytes",
}
"""What only grows: the name behind `srt_conns_`, and ours in `SrtConnection.stats`."""

GAUGES = {
    "us_packets_send_period": ("send_period_us", 1.0),
    "packets_flow_window": ("flow_window_packets", 1.0),
    "packets_flight_size": ("flight_packets", 1.0),
    "ms_rtt": ("rtt_us", 1e-3),
    "mbps_send_rate": ("send_bits_per_second", 1e-6),
    "mbps_receive_rate": ("receive_bits_per_second", 1e-6),
    "mbps_link_capacity": ("link_bits_per_second", 1e-6),
    "mbps_max_bw": ("max_bits_per_second", 1e-6),
    "bytes_mss": ("mtu_bytes", 1.0),
    "packets_send_buf": ("send_buffer_packets", 1.0),
    "bytes_send_buf": ("send_buffer_bytes", 1.0),
    "ms_send_buf": ("send_buffer_ms", 1.0),
    "ms_send_tsb_pd_delay": ("send_latency_ms", 1.0),
    "packets_receive_buf": ("receive_buffer_packets", 1.0),
    "bytes_receive_buf": ("receive_buffer_bytes", 1.0),
    "ms_receive_buf": ("receive_buffer_ms", 1.0),
    "ms_receive_tsb_pd_delay": ("receive_latency_ms", 1.0),
}
"""What goes up and down, in the units of MediaMTX."""

STATES = {"publisher": "publish", "viewer": "read"}


def srt_metrics(connections: Sequence[SrtConnection]) -> Iterable[Metric]:
    """Return what is known of each connection. Without `_total`, as MediaMTX has it."""
    labelled = [([str(it.id), str(it.key), it.peer, STATES[it.role]], it.stats) for it in connections]
    family: GaugeMetricFamily | UnknownMetricFamily = GaugeMetricFamily("srt_conns", "SRT connections.", labels=LABELS)
    for labels, _ in labelled:
        family.add_metric(labels, 1)
    yield family
    for name, field in COUNTERS.items():
        family = UnknownMetricFamily(f"srt_conns_{name}", f"{field} of an SRT connection.", labels=LABELS)
        for labels, stats in labelled:
            family.add_metric(labels, stats[field])
        yield family
    for name, (field, factor) in GAUGES.items():
        family = GaugeMetricFamily(f"srt_conns_{name}", f"{field} of an SRT connection.", labels=LABELS)
        for labels, stats in labelled:
            family.add_metric(labels, stats[field] * factor)
        yield family
