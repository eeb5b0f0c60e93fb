"""Who may see the addresses of those who watch and publish."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Literal

from starlette.requests import Request

from arcly.protocols._whip import peer_of

Shown = Literal["nobody", "local", "everybody"]
"""To whom addresses are shown; `local`: to whoever asks on this machine."""

HIDDEN: dict[str, Any] = {"peer": None, "agent": ""}


def may_see(request: Request, shown: Shown) -> bool:
    """Return whether who asks may see addresses."""
    if shown != "local":
        return shown == "everybody"
    try:
        address = ipaddress.ip_address(peer_of(request.scope) or "")
    except ValueError:
        return False
    # A listener for both families sees IPv4 in the form of IPv6.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def without_addresses(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries without what says where somebody is and with what they came."""
    return [entry | {name: hidden for name, hidden in HIDDEN.items() if name in entry} for entry in entries]
