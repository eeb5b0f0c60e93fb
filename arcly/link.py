"""Connections to other servers that are kept up: how they are, and how they are looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from arcly._limits import require_between
from arcly._native import RemoteTarget


class LinkState(StrEnum):
    """What a link is doing."""

    CONNECTING = "connecting"
    """It connects, or waits for the remote's consent and the first media."""

    RUNNING = "running"
    """Media flows."""

    WAITING = "waiting"
    """It will try again; or, to push, there is no stream yet."""

    STOPPED = "stopped"
    """It was stopped, or has not been started. Final unless it is started again."""

    FAILED = "failed"
    """It has given up after `retries_max`; `last_error` says why. Final."""


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """A look at a link."""

    state: LinkState
    """What it is doing."""

    since_unix_ms: int = 0
    """When it began to, in milliseconds of Unix time."""

    last_error: str | None = None
    """Why the last connection was lost or refused, in the remote's words where it gave any. Stays when a later one
    succeeds.
    """

    retries: int = 0
    """Connections that were tried after the first."""

    frames: int = 0
    """Frames that came or went."""

    bytes: int = 0
    """Bytes of media that came, or of all that went."""

    skipped: int = 0
    """Frames that were not sent because the remote was too slow; by UDP, datagrams that were not sent too."""

    remote: str = ""
    """Where it goes, without what is secret: its URL, or where the remote has sent it. Empty before it has begun."""


IDLE = LinkStatus(LinkState.STOPPED)

Raw = tuple[str, int, str | None, int, int, int, int, str]


def status_of(raw: Raw) -> LinkStatus:
    """Return what the native side says."""
    state, *rest = raw
    return LinkStatus(LinkState(state), *rest)  # type: ignore[arg-type]


class Link:
    """What `PullSource` and `PushTarget` have in common: a status that can be looked at and followed."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()

    @property
    def status(self) -> LinkStatus:
        """How it is now."""
        raise NotImplementedError

    @property
    def state(self) -> LinkState:
        """What it is doing."""
        return self.status.state

    @property
    def last_error(self) -> str | None:
        """Why the last connection was lost or refused."""
        return self.status.last_error

    @property
    def retries(self) -> int:
        """Connections that were tried after the first."""
        return self.status.retries

    async def changes(self) -> AsyncIterator[LinkStatus]:
        """Iterate over the states from now on, the present one first. One that passes quickly may be left out."""
        seen: LinkState | None = None
        while True:
            async with self._changed:
                while self.state is seen:
                    await self._changed.wait()
            status = self.status
            seen = status.state
            yield status

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def remote(
    url: str,
    *,
    backoff_s: tuple[float, float],
    retries_max: int | None,
    ca_file: str | Path | None,
    verify: bool,
) -> RemoteTarget:
    """Return where a link goes and how it gets there.

    Raises:
        MisuseError: `url` is none that is spoken here, `ca_file` has no certificate, or a number is out of range.
        OSError: `ca_file` cannot be read.
    """
    require_between("retries_max", retries_max or 0, 0, (1 << 32) - 1)
    authorities = None if ca_file is None else Path(ca_file).read_bytes()
    return RemoteTarget(url, retry=(*backoff_s, retries_max), authorities=authorities, verify=verify)
