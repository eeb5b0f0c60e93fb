"""SRT with real clients over bad networks: what a link loses is asked for and sent again, both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from conftest import eventually
from lossy import Network, lossy
from srt_server import SECRET, Srt, is_whole, live, play, serving

import arcly

LATENCY_MS = 3000
"""Room for many round trips, and for a machine that is busy with something else for a second or two."""

BAD = [
    pytest.param(Network(loss=0.05, delay_s=0.01, jitter_s=0.005), id="5 %"),
    pytest.param(Network(loss=0.10, delay_s=0.02, jitter_s=0.01), id="10 %"),
    pytest.param(
        Network(loss=0.05, burst=4, delay_s=0.03, reorder=0.02, late_s=0.02, duplicate=0.02, bits_per_s=20e6),
        id="bursts, out of order, twice, narrow",
    ),
]


@pytest.fixture
async def srt() -> AsyncIterator[Srt]:
    """A server that encrypts: what comes out of order is decrypted as such."""
    async with serving(arcly.SrtHandler("127.0.0.1:0", passphrase=SECRET, latency_ms=LATENCY_MS)) as srt:
        yield srt


@pytest.mark.parametrize("network", BAD)
async def test_what_is_lost_is_repaired_on_the_way_in_and_out(
    srt: Srt, ffmpeg: str, clip: Callable[..., Path], network: Network
) -> None:
    secret = {"passphrase": SECRET, "latency": LATENCY_MS * 1000}
    async with lossy(srt.port, network) as link:
        far = srt.at(link.port)
        async with live(far, ffmpeg, clip(), **secret):
            read = await play(ffmpeg, far.url("read:live/cam", **secret), 2)
            assert is_whole(read, 2), read.stderr
            [publisher] = [it for it in srt.handler.list_connections() if it.role == "publisher"]
            assert publisher.stats["receive_lost_packets"] > 0
            assert publisher.stats["receive_dropped_packets"] == publisher.stats["undecrypted_packets"] == 0
            assert link.there.lost
            assert link.back.lost


async def test_a_client_whose_router_forgets_its_port_goes_on(srt: Srt, ffmpeg: str, clip: Callable[..., Path]) -> None:
    async with (
        lossy(srt.port, Network()) as link,
        live(srt.at(link.port), ffmpeg, clip(), passphrase=SECRET, latency=LATENCY_MS * 1000),
    ):
        [before] = await eventually(srt.handler.list_connections)
        await link.rebind()
        await eventually(lambda: srt.handler.list_connections()[0].peer != before.peer, what="its new port")
        [after] = srt.handler.list_connections()
        assert after.id == before.id
        read = await play(ffmpeg, srt.url("read:live/cam", passphrase=SECRET), 2)
        assert is_whole(read, 2), read.stderr
