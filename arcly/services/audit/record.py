"""What is recorded, and where it can go."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from arcly._native import StreamKey
from arcly.services.observe import utc

REASON_CHARS_MAX = 512
"""Characters of a reason that are recorded; peers have a say in some."""


class AuditAction(StrEnum):
    """What arcly itself records. A host may record actions of its own."""

    PUBLISH_STARTED = "publish_started"
    """A publisher took a key."""

    PUBLISH_INTERRUPTED = "publish_interrupted"
    """It is gone, and its stream waits for it to come back."""

    PUBLISH_RESUMED = "publish_resumed"
    """It, or another with the same right, has come back in time."""

    PUBLISH_ENDED = "publish_ended"
    """The stream is over."""

    SUBSCRIBER_JOINED = "subscriber_joined"
    """Somebody began to watch; the reason says how."""

    SUBSCRIBER_LEFT = "subscriber_left"
    """Somebody watches no more."""

    RECORDING_STARTED = "recording_started"
    """A recording was begun."""

    RECORDING_ENDED = "recording_ended"
    """A recording is complete or was given up."""

    SUBSCRIBER_EVICTED = "subscriber_evicted"
    """A reader was too slow and is out."""

    PUBLISH_REFUSED = "publish_refused"
    """The authenticator did not let somebody publish; recorded by `Audited`."""

    PLAY_REFUSED = "play_refused"
    """The authenticator did not let somebody play; recorded by `Audited`."""

    RECORDS_DROPPED = "records_dropped"
    """Here records are missing; the reason says how many."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One action."""

    action: str
    """What: an `AuditAction`, or a word of the host."""

    at_unix_ms: int
    """When, in milliseconds of Unix time."""

    key: StreamKey | None = None
    """On which stream."""

    peer: str | None = None
    """Who: `192.0.2.1:51234`; None for this process, and when it is not known."""

    reason: str | None = None
    """Why, for people."""

    def as_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        return {
            "at": utc(self.at_unix_ms),
            "at_unix_ms": self.at_unix_ms,
            "action": self.action,
            "app": None if self.key is None else self.key.app,
            "stream": None if self.key is None else self.key.stream,
            "peer": self.peer,
            "reason": self.reason,
        }


def now_ms() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
