"""The addresses under which WebRTC's peers reach this machine."""

from __future__ import annotations

import asyncio
import logging
import re
import socket

from arcly._address import split
from arcly.errors import MisuseError

log = logging.getLogger("arcly")

STUN_PORT = 3478


def is_any(address: str) -> bool:
    """Tell whether `address` stands for all addresses of this machine."""
    return address.startswith(("0.0.0.0:", "[::]:"))


def local_addresses() -> list[str]:
    """Return the addresses by which this machine reaches others, and loopback behind them."""
    found = []
    # Documentation addresses (RFC 5737, RFC 3849): no packet is sent, the system only says which way it would go.
    for family, other in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((other, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return [*dict.fromkeys([*found, "127.0.0.1"])]


def stun_server(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `HOST` or a `stun:` URL (RFC 7064 §3.1).

    Raises:
        MisuseError: it is none of them.
    """
    rest = text.removeprefix("stun:")
    has_port = re.search(r"(\]|^[^:]*):[^:\]]*$", rest) is not None
    host, port = split(rest if has_port else f"{rest}:{STUN_PORT}")
    if not host or (":" in host and "[" not in rest):
        raise MisuseError(f"{text!r} names no STUN server: HOST:PORT is what one is named by")
    return host, port


async def reachable(servers: list[tuple[str, int]], bound: str) -> list[str]:
    """Return the addresses of servers, one a family each, that a socket bound to that address can ask.

    Whose name is not known now, or has no such address, is left out, with a warning.
    """
    loop = asyncio.get_running_loop()
    # A socket of IPv6 takes both.
    family = socket.AF_UNSPEC if bound.startswith("[") else socket.AF_INET
    # All at once: a resolver that does not answer takes its time for each.
    asking = [loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM) for host, port in servers]
    found: list[str] = []
    for (host, port), infos in zip(servers, await asyncio.gather(*asking, return_exceptions=True), strict=True):
        if isinstance(infos, OSError):
            log.warning("[webrtc] the STUN server %s is left out: %s", host, infos)
            continue
        if isinstance(infos, BaseException):
            raise infos
        first = {family: address[0] for family, *_, address in reversed(infos)}
        found += [f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}" for ip in first.values()]
    return found


async def addresses(hosts: list[str]) -> list[str]:
    """Return the addresses of hosts that are given by name or address.

    Raises:
        MisuseError: one is neither.
    """
    found: list[str] = []
    for host in hosts:
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise MisuseError(f"{host!r} is no address that peers could connect to: {error}") from None
        found += [str(info[4][0]) for info in infos]
    return [*dict.fromkeys(found)]
