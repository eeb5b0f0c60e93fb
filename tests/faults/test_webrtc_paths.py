"""What may come to the port of WebRTC, and how large."""

from __future__ import annotations

import socket
from typing import Any

from test_webrtc import Site, check, line


def long_check(session: Any, bytes_: int) -> bytes:
    """A check of so many bytes, with an attribute that may be passed over."""
    head = len(check(f"{session.ice}:Rliy", line(session.answer, "a=ice-pwd:"))) + 4
    return check(f"{session.ice}:Rliy", line(session.answer, "a=ice-pwd:"), padding=bytes_ - head)


async def test_a_datagram_above_the_limit_is_dropped_over_udp_as_over_tcp() -> None:
    """Found by review: only the frames of TCP had a limit."""
    async with Site() as site:
        session = await site.watch()
        assert site.webrtc.address is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.connect(site.webrtc.address)
            peer.settimeout(30)
            too_long, fits = long_check(session, 2004), long_check(session, 2000)
            assert (len(too_long), len(fits)) == (2004, 2000)
            peer.send(too_long)
            peer.send(fits)
            answer = peer.recv(2000)
            assert (answer[:2], answer[8:20]) == (b"\x01\x01", fits[8:20]), "the first one is not answered"
