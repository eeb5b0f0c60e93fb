"""Hundreds of WebRTC sessions that really connect, by ICE and DTLS, and go: what they took comes back.

`ARCLY_WEBRTC_SESSIONS=10000 pytest tests/faults/test_webrtc_connected.py -n 0 -o timeout=1800` opens as many as the
specification of the test wants; by default there are some hundreds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate
from conftest import eventually
from OpenSSL import SSL
from test_webrtc import KEY, Site, check, line, offer, resident_kib

import arcly
from arcly.contract import Credentials

SESSIONS = int(os.environ.get("ARCLY_WEBRTC_SESSIONS", "300"))
TOGETHER = 50
"""Sessions that are there at the same time."""

GROWTH_KIB_MAX = 8 * 1024
"""What the process may be larger behind them all, for the room that allocators keep."""


@dataclass
class Caller:
    """Who connects: one certificate for all its sessions."""

    certificate: RTCCertificate
    context: Any

    @classmethod
    def new(cls) -> Caller:
        certificate = RTCCertificate.generateCertificate()
        return cls(certificate, certificate._create_ssl_context(srtp_profiles=SRTP_PROFILES))

    def offer(self, way: str) -> str:
        """What it offers."""
        sha = next(it.value for it in self.certificate.getFingerprints() if it.algorithm == "sha-256")
        lines = offer(way).split("\n")
        return "\n".join(f"a=fingerprint:sha-256 {sha}" if it.startswith("a=fingerprint") else it for it in lines)

    def connect(self, address: tuple[str, int], session: Any) -> socket.socket:
        """Check by ICE and shake hands by DTLS."""
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.connect(address)
        peer.settimeout(30)
        peer.send(check(f"{session.ice}:Rliy", line(session.answer, "a=ice-pwd:")))
        assert peer.recv(2000)[:2] == b"\x01\x01", "the check is not answered"
        dtls = SSL.Connection(self.context, None)
        dtls.set_connect_state()
        while True:
            try:
                dtls.do_handshake()
                done = True
            except SSL.WantReadError:
                done = False
            with contextlib.suppress(SSL.WantReadError):
                peer.send(dtls.bio_read(1400))
            if done:
                return peer
            datagram = peer.recv(2000)
            if 20 <= datagram[0] < 64:
                dtls.bio_write(datagram)


async def come_and_go(site: Site, caller: Caller, count: int) -> None:
    """Let viewers and publishers connect, some at a time, and go."""
    assert site.webrtc.address is not None
    for begin in range(0, count, TOGETHER):
        sessions, peers = [], []
        for number in range(begin, min(begin + TOGETHER, count)):
            who = Credentials(peer=f"192.0.2.{number % 200}")
            if number % 5 == 0:
                key = arcly.StreamKey("live", f"cam{number}")
                sessions.append(await site.webrtc.publish(key, caller.offer("sendonly"), who))
            else:
                sessions.append(await site.webrtc.play(KEY, caller.offer("recvonly"), who))
            peers.append(caller.connect(site.webrtc.address, sessions[-1]))
        viewers = len([number for number in range(begin, min(begin + TOGETHER, count)) if number % 5])
        await eventually(lambda viewers=viewers: len(site.webrtc.list_viewers()) == viewers, what="they are connected")
        for session in sessions:
            await site.webrtc.close(session.id)
        for peer in peers:
            peer.close()
        assert site.webrtc.sessions == 0


async def test_sessions_that_connected_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="arcly")  # pytest keeps every line.
    caller = Caller.new()
    # Nobody here checks again, and a slow machine takes its time.
    async with Site(connect_timeout_s=300.0, silence_timeout_s=300.0) as site:
        await come_and_go(site, caller, 2 * TOGETHER)  # What is kept for good is there.
        before = resident_kib(), len(os.listdir("/proc/self/fd")), threading.active_count()
        await come_and_go(site, caller, SESSIONS)
        assert site.engine.get_stream(KEY).stats.viewers == 0
        assert [str(stream.key) for stream in site.engine.list_streams()] == [str(KEY)]
        assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before[1:]
        assert resident_kib() - before[0] < GROWTH_KIB_MAX
