"""WS-Discovery (OASIS WS-Discovery 1.1, as the ONVIF core specification §7 profiles it): who is a camera here?"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import uuid
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from arcly.errors import MisuseError
from arcly.onvif.soap import SoapError, Tree, parse

PORT = 3702
GROUP_V4 = "239.255.255.250"
GROUP_V6 = "ff02::c"

FOUND_MAX = 1024
"""Cameras that are listed: whoever answers for more is not a network of cameras."""

DATAGRAM_BYTES_MAX = 64 << 10

PROBE = """\
<?xml version="1.0" encoding="utf-8"?>
<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
 xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><e:Header><w:MessageID>uuid:{id}</w:MessageID>
<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>
<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>
<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"""


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that has answered. All of this is what it says of itself."""

    id: str
    """Its own name, `urn:uuid:…`: stays when its address changes."""

    peer: str
    """The IP address that the answer came from."""

    addresses: tuple[str, ...]
    """URLs of its device service at `peer`, best first."""

    name: str
    """For people; may be empty."""

    model: str
    """Its hardware; may be empty."""


async def discover(
    *,
    timeout_s: float = 3.0,
    interface: str | None = None,
    ipv6: bool = False,
    target: tuple[str, int] | None = None,
) -> list[Found]:
    """Ask the local network for cameras and return those that answer, by address.

    Args:
        timeout_s: seconds that answers are waited for, default 3; the question is asked again after half of them.
        interface: the network interface to ask by: with IPv4 one of its addresses or its name, with IPv6 its name;
            default: the one that the routes say.
        ipv6: ask by IPv6 instead of IPv4.
        target: ask there, and not the group of all cameras.

    Raises:
        MisuseError: there is no such interface.
        OSError: the network cannot be reached.
    """
    asking = _socket(interface, ipv6=ipv6)
    loop = asyncio.get_running_loop()
    found: dict[str, Found] = {}
    transport, _ = await loop.create_datagram_endpoint(lambda: _Listener(found), sock=asking)
    try:
        group = (GROUP_V6 if ipv6 else GROUP_V4, PORT)
        # Twice: datagrams are lost, and cameras answer once to the same question.
        message = PROBE.format(id=uuid.uuid4()).encode()
        for _ in range(2):
            transport.sendto(message, target or group)
            await asyncio.sleep(timeout_s / 2)
    finally:
        transport.close()
    return sorted(found.values(), key=lambda camera: (camera.peer, camera.id))


def _socket(interface: str | None, *, ipv6: bool) -> socket.socket:
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    asking = socket.socket(family, socket.SOCK_DGRAM)
    try:
        asking.setblocking(False)
        asking.bind(("::" if ipv6 else "", 0))
        if interface is not None:
            _choose(asking, interface, ipv6=ipv6)
    except BaseException:
        asking.close()
        raise
    return asking


def _choose(asking: socket.socket, interface: str, *, ipv6: bool) -> None:
    try:
        if ipv6:
            asking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface))
            return
        try:
            address, index = ipaddress.IPv4Address(interface).packed, 0
        except ValueError:
            address, index = bytes(4), socket.if_nametoindex(interface)
        # struct ip_mreqn (ip(7)): the group, the address, the number.
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(4) + address + index.to_bytes(4, "little"))
    except OSError as error:
        raise MisuseError(f"{interface!r} is no network interface here: {error}") from None


class _Listener(asyncio.DatagramProtocol):
    """Reads answers."""

    def __init__(self, found: dict[str, Found]) -> None:
        self._found = found

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Read one; what is no answer is passed over."""
        if len(data) > DATAGRAM_BYTES_MAX or len(self._found) >= FOUND_MAX:
            return
        try:
            tree = parse(data)
        except SoapError:
            return
        for match in tree.all("ProbeMatch"):
            camera = _match(match, addr[0])
            if camera is not None:
                self._found.setdefault(camera.id, camera)


def _match(match: Tree, peer: str) -> Found | None:
    # Only what is at the address that has answered: an answer must not send us, and a password, elsewhere.
    urls = match.text("XAddrs").split()
    ours = tuple(url for url in urls if _is_at(url, peer))
    if not ours:
        return None
    scopes = [scope.partition("onvif.org/")[2].strip("/") for scope in match.text("Scopes").split()]
    values = {name: unquote(value) for name, _, value in (scope.partition("/") for scope in scopes)}
    id = match.text("Address") or ours[0]
    return Found(id[:200], peer, ours, values.get("name", "")[:80], values.get("hardware", "")[:80])


def _is_at(url: str, peer: str) -> bool:
    try:
        parts = urlsplit(url)
        host = ipaddress.ip_address((parts.hostname or "").partition("%")[0])
        return parts.scheme in ("http", "https") and host == ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
