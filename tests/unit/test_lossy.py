"""The bad network of the tests does what it says."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

import pytest
from conftest import eventually
from lossy import Address, Network, Path, lossy


def fates(network: Network, count: int = 10_000, seed: int = 1, every_s: float = 0.001) -> list[list[float]]:
    path = Path(network, seed)
    return [path.fate(number * every_s, 1000) for number in range(count)]


def test_a_perfect_network_hands_on_at_once() -> None:
    assert fates(Network(), 3) == [[0.0], [0.001], [0.002]]


def test_equal_seeds_give_equal_fates() -> None:
    network = Network(loss=0.1, burst=3, jitter_s=0.01, reorder=0.1, duplicate=0.1)
    assert fates(network) == fates(network)
    assert fates(network) != fates(network, seed=2)


@pytest.mark.parametrize("burst", [1.0, 5.0])
def test_loss_has_its_share_and_its_length(burst: float) -> None:
    lost = [not fate for fate in fates(Network(loss=0.1, burst=burst), 100_000)]
    assert 0.09 < sum(lost) / len(lost) < 0.11
    runs = [len(list(run)) for is_lost, run in itertools.groupby(lost) if is_lost]
    # Without a memory, too, two follow each other now and then.
    mean = sum(runs) / len(runs)
    assert 0.9 * burst < mean < 1.2 * burst


def test_jitter_delays_and_keeps_the_order() -> None:
    network = Network(delay_s=0.05, jitter_s=0.02)
    times = [fate[0] - number for number, fate in enumerate(fates(network, every_s=1))]
    assert 0.05 - 1e-9 <= min(times) < 0.052
    assert 0.068 < max(times) <= 0.07 + 1e-9
    arrivals = [fate[0] for fate in fates(Network(jitter_s=0.02))]
    assert arrivals == sorted(arrivals)


def test_reordering_and_doubling_have_their_shares() -> None:
    arrivals = [fate[0] for fate in fates(Network(reorder=0.1))]
    overtaken = sum(later < before for before, later in itertools.pairwise(arrivals))
    assert 0.08 < overtaken / len(arrivals) < 0.11
    doubled = sum(len(fate) == 2 for fate in fates(Network(duplicate=0.1)))
    assert 900 < doubled < 1100


def test_a_narrow_link_lets_wait_and_then_loses() -> None:
    # 8 Mbit/s come to a link of 4: half of it goes on, behind a queue of 16 KiB.
    narrow = [fate for fate in fates(Network(bits_per_s=4e6, queue_bytes=16 << 10))]
    passed = [(number * 0.001, fate[0]) for number, fate in enumerate(narrow) if fate]
    assert 0.49 < len(passed) / len(narrow) < 0.51
    assert max(out - came for came, out in passed) <= (16 << 10) * 8 / 4e6 + 1e-9
    assert all(later - before >= 0.002 - 1e-9 for (_, before), (_, later) in itertools.pairwise(passed))


class Echo(asyncio.DatagramProtocol):
    """A server that says everything again, and from whom it came."""

    def __init__(self) -> None:
        self.peers: set[Address] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, datagram: bytes, peer: Address) -> None:
        self.peers.add(peer)
        cast(asyncio.DatagramTransport, self.transport).sendto(datagram, peer)


class Client(asyncio.DatagramProtocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagram_received(self, datagram: bytes, _: Address) -> None:
        self.got.append(datagram)


async def test_it_relays_both_ways_for_several_clients_and_forgets_a_port() -> None:
    loop = asyncio.get_running_loop()
    server, echo = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    async with lossy(server.get_extra_info("sockname")[1], Network(delay_s=0.01)) as link:
        remote = ("127.0.0.1", link.port)
        clients = [await loop.create_datagram_endpoint(Client, remote_addr=remote) for _ in range(2)]
        for number, (transport, client) in enumerate(clients):
            transport.sendto(b"%d" % number)
            await eventually(lambda client=client, number=number: client.got == [b"%d" % number])
        assert len(echo.peers) == 2
        await link.rebind()
        clients[0][0].sendto(b"again")
        await eventually(lambda: clients[0][1].got == [b"0", b"again"])
        assert len(echo.peers) == 3
        for transport, _ in clients:
            transport.close()
    server.close()


async def test_what_a_relay_loses_it_counts() -> None:
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    async with lossy(server.get_extra_info("sockname")[1], Network(loss=0.5), Network(), seed=3) as link:
        transport, client = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", link.port))
        for number in range(100):
            transport.sendto(b"%d" % number)
        await eventually(lambda: link.there.sent == 100 and len(client.got) == 100 - link.there.lost)
        assert 30 < link.there.lost < 70
        assert (link.back.sent, link.back.lost) == (len(client.got), 0)
        transport.close()
    server.close()
