"""`HOST:PORT` as people write it."""

from __future__ import annotations

import asyncio
import socket

from arcly.errors import MisuseError


def split(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `:PORT` or `[IPV6]:PORT`; an empty host stands for all addresses."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise MisuseError(f"{text!r} is not an address of the form HOST:PORT or :PORT")
    if int(port) > 65535:
        raise MisuseError(f"{text!r} is no HOST:PORT: the port is too large, 65535 is the last")
    try:
        host.encode("idna")
    except UnicodeError:  # The resolver would raise it: two dots in a row, a label of more than 63 bytes.
        raise MisuseError(f"{host!r} is no name that a host can have") from None
    return host.removeprefix("[").removesuffix("]"), int(port)


async def resolve(text: str) -> str:
    """Return the address to listen on, `IP:PORT` or `[IPV6]:PORT`, of what `split` accepts."""
    host, port = split(text)
    if not host:
        # One socket for both families, where the machine has both.
        return f"[::]:{port}" if socket.has_dualstack_ipv6() else f"0.0.0.0:{port}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise MisuseError(f"{host!r} is no address of this machine: {error.strerror or error}") from None
    ip = found[0][4][0]
    return f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}"


def show(address: tuple[str, int]) -> str:
    """Return a listening address as people write it: `:1935` for all interfaces."""
    host, port = address
    if host in ("::", "0.0.0.0"):
        return f":{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
