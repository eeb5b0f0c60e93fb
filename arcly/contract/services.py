"""What a host injects to see, record and judge what happens."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from arcly.events import StreamEvent

if TYPE_CHECKING:
    from arcly.services.audit import AuditRecord
    from arcly.services.health import CheckResult
    from arcly.services.observe import StreamReport


@runtime_checkable
class Observer(Protocol):
    """What is told of all streams, by `arcly.services.observe.Observers`, one call at a time on the event loop.

    `arcly.services.observe.Observer` is a base class that leaves out what you do not override.
    """

    async def on_event(self, event: StreamEvent) -> None:
        """Something has happened to a stream."""

    async def on_stats(self, streams: Sequence[StreamReport]) -> None:
        """Time for numbers: all streams that are being published, by key."""


@runtime_checkable
class AuditSink(Protocol):
    """Where `arcly.services.audit.AuditPipeline` leaves its records."""

    async def write(self, records: Sequence[AuditRecord]) -> None:
        """Keep `records`, at least one, in this order. Not called again before it returns; raising loses them."""

    async def close(self) -> None:
        """Keep safe what was written. Idempotent; a `write` may come after it and opens anew."""


@runtime_checkable
class HealthCheck(Protocol):
    """A question that `arcly.services.health.HealthRegistry` asks: any function of no arguments will do."""

    def __call__(self) -> Awaitable[CheckResult]:
        """Return what it found. One that raises has found UNHEALTHY."""
