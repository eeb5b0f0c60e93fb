"""`arcly cameras`: the ONVIF cameras of the local network."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from arcly._address import split
from arcly.errors import MisuseError, StreamError
from arcly.onvif import Found, OnvifCamera, discover
from arcly.onvif.soap import SoapError
from arcly.server.naming import naming
from arcly.server.said import reason_of, shown

PASSWORD = "ARCLY_CAMERA_PASSWORD"
"""The variable of the environment with the password: on a command line everybody on this machine would see it."""


def run(options: argparse.Namespace) -> int:
    """List cameras; returns the exit status: 0 when there was one."""
    try:
        rows = asyncio.run(find(options))
    except (StreamError, OSError) as error:
        print(f"arcly cameras: {reason_of(error)}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows, Console(markup=False, highlight=False))
    return 0 if rows else 1


async def find(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each camera."""
    with naming("--target"):
        target = split(options.target) if options.target else None
    found = await discover(timeout_s=options.seconds, interface=options.interface, ipv6=options.ipv6, target=target)
    password = os.environ.get(PASSWORD, "")
    return list(await asyncio.gather(*(row(camera, options.user or "", password) for camera in found)))


async def row(found: Found, user: str, password: str) -> dict[str, Any]:
    """Return what is known of a camera: what it says in answer to the question, and its streams."""
    known: dict[str, Any] = {"address": found.addresses[0], "name": found.name, "model": found.model, "profiles": []}
    try:
        camera = OnvifCamera(found.addresses[0], user, password)
        for profile in await camera.profiles():
            stream = await camera.stream_uri(profile)
            try:
                snapshot = await camera.snapshot_uri(profile)
            except SoapError:
                snapshot = ""
            size = f"{profile.width}x{profile.height}" if profile.width else ""
            entry = {"name": profile.name, "encoding": profile.encoding, "size": size}
            known["profiles"].append(entry | {"stream": stream, "snapshot": snapshot})
    except (SoapError, MisuseError) as error:
        known["error"] = str(error)
    return known


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print a table."""
    if not rows:
        console.print("no camera has answered")
        return
    table = Table()
    for name in ("camera", "profile", "what", "stream"):
        table.add_column(name, overflow="fold")
    for known in rows:
        title = " ".join(filter(None, [known["name"], known["model"], known["address"]]))
        for profile in known["profiles"] or [None]:
            if profile is None:
                cells = [title, "", known.get("error", ""), ""]
            else:
                cells = [title, profile["name"], f"{profile['encoding']} {profile['size']}", profile["stream"]]
            table.add_row(*map(shown, cells))
            title = ""
    console.print(table)
