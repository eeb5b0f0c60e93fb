"""What goes out as a transport stream over UDP and RTP, by its bytes: rate, time to live, and what Wireshark says."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import eventually, missing, run
from test_udp_ts import CAM, GROUP, free_udp_port

import arcly


@asynccontextmanager
async def taking(port: int) -> AsyncIterator[list[bytes]]:
    """All datagrams that come to a port, as they come."""
    datagrams: list[bytes] = []

    class Taker(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            datagrams.append(data)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Taker, local_addr=("127.0.0.1", port))
    try:
        yield datagrams
    finally:
        transport.close()


def clock_references(stream: bytes) -> list[tuple[int, int]]:
    """Where each clock reference of a stream stands, and what it says, in 27 MHz (ISO/IEC 13818-1 §2.4.3.5)."""
    found = []
    for at in range(0, len(stream), 188):
        packet = stream[at : at + 188]
        if packet[3] & 0x20 and packet[4] > 0 and packet[5] & 0x10:
            base = int.from_bytes(packet[6:10]) << 1 | packet[10] >> 7
            found.append((at, base * 300 + (int.from_bytes(packet[10:12]) & 0x1FF)))
    return found


async def test_a_constant_rate_is_one_by_its_own_clock_and_is_filled_with_null_packets(
    clip: Callable[..., Path],
) -> None:
    port, rate = free_udp_port(), 3_000_000
    push = arcly.PushTarget(f"udp://127.0.0.1:{port}?bitrate={rate}", CAM)
    async with taking(port) as datagrams, arcly.Engine(push, arcly.FileSource(clip(), CAM)):
        await eventually(lambda: len(datagrams) * 1316 * 8 > 4 * rate, deadline_s=60, what="four seconds of it")
    assert {len(data) for data in datagrams} == {1316}
    stream = b"".join(datagrams)
    numbers = [int.from_bytes(stream[at + 1 : at + 3]) & 0x1FFF for at in range(0, len(stream), 188)]
    assert numbers.count(0x1FFF) > len(numbers) / 4, "the clip has less than half of the rate"
    clocks = clock_references(stream)
    (first, first_27m), (_, last_27m) = clocks[0], clocks[-1]
    assert last_27m - first_27m > 2 * 27_000_000
    for at, clock in clocks:
        # What a receiver expects by now, to a millisecond.
        assert abs((at - first) * 8 / rate - (clock - first_27m) / 27e6) < 0.001


IP_RECVTTL = 12
"""Of Linux (ip(7)); Python has no name for it."""


@pytest.mark.skipif(sys.platform != "linux", reason="the option has its number of Linux")
async def test_the_time_to_live_is_on_the_wire(clip: Callable[..., Path]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((GROUP, 0))
        membership = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        receiver.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        receiver.setblocking(False)
        port = receiver.getsockname()[1]
        push = arcly.PushTarget(f"udp://{GROUP}:{port}?iface=lo&ttl=5", CAM)

        def received() -> list[tuple[int, int, bytes]]:
            try:
                return list(receiver.recvmsg(2000, 100)[1])
            except BlockingIOError:
                return []

        async with arcly.Engine(push, arcly.FileSource(clip(), CAM)):
            [(_, kind, value)] = await eventually(received)
    assert (kind, struct.unpack("i", value)) == (socket.IP_TTL, (5,))


def capture(path: Path, port: int, datagrams: list[bytes]) -> None:
    """Write datagrams as if they had been captured on Ethernet (the format of libpcap)."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
        for number, data in enumerate(datagrams):
            udp = struct.pack("!HHHH", 5000, port, 8 + len(data), 0) + data
            ip = struct.pack(
                "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"
            )
            frame = bytes(12) + b"\x08\0" + ip + udp
            file.write(struct.pack("<IIII", number // 1000, number % 1000 * 1000, len(frame), len(frame)) + frame)


@pytest.mark.parametrize(("scheme", "more"), [("udp", ""), ("rtp", ""), ("udp", "?bitrate=3000000")])
async def test_wireshark_finds_nothing_wrong_with_what_goes_out(
    scheme: str, more: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        missing("tshark (on Debian: apt-get install tshark)")
        return
    port, path = free_udp_port(), tmp_path / "ours.pcap"
    push = arcly.PushTarget(f"{scheme}://127.0.0.1:{port}{more}", CAM)
    async with taking(port) as datagrams, arcly.Engine(push, arcly.FileSource(clip(), CAM)):
        await eventually(lambda: len(datagrams) > 300)
    capture(path, port, datagrams)
    dissector = "rtp" if scheme == "rtp" else "mp2t"
    read = [tshark, "-r", path, "-d", f"udp.port=={port},{dissector}", "-T", "fields"]
    seen = await run(*read, "-e", "mp2t.sync_byte")
    assert len(seen.stdout.split()) >= 300, seen.stderr
    found = await run(*read, "-Y", "_ws.malformed || mp2t.cc.drop", "-e", "frame.number", "-e", "_ws.expert.message")
    assert (found.returncode, found.stdout) == (0, b""), found
