"""Whether all is well, for load balancers, orchestrators and people."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from arcly._limits import require_between, require_name
from arcly.contract import HealthCheck, IngestContext, PlaybackRegistry
from arcly.errors import MisuseError

log = logging.getLogger("arcly")

CHECKS_MAX = 64
"""Checks of one registry: they run at once."""

DETAIL_CHARS_MAX = 512
"""Characters of a check's detail that are reported."""


class HealthStatus(IntEnum):
    """How well; the worst is the greatest."""

    HEALTHY = 0
    """All is well."""

    DEGRADED = 1
    """It works, and somebody should look."""

    UNHEALTHY = 2
    """It does not work: send nobody here."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found."""

    status: HealthStatus = HealthStatus.HEALTHY
    """How well."""

    detail: str = ""
    """Why, for people. Whoever may read the report reads it: nothing secret."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One check of a report."""

    name: str
    """Its name."""

    status: HealthStatus
    """How well."""

    detail: str
    """Why, for people."""

    duration_s: float
    """Seconds that it took."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What all checks found."""

    status: HealthStatus
    """The worst of them; HEALTHY when there are none."""

    uptime_s: float
    """Seconds since the registry was started; 0 when it does not run."""

    checks: tuple[CheckReport, ...]
    """Each, by name."""

    def as_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        return {
            "status": self.status.name.lower(),
            "uptime_s": round(self.uptime_s, 3),
            "checks": [
                {
                    "name": check.name,
                    "status": check.status.name.lower(),
                    "detail": check.detail,
                    "duration_s": round(check.duration_s, 6),
                }
                for check in self.checks
            ],
        }


class HealthRegistry:
    """Named checks, run at once, each with a deadline. An `InboundProtocol`: while it runs it counts the uptime.

        health = HealthRegistry()
        async with arcly.Engine(arcly.RtmpHandler(), health) as engine:
            health.register("capacity", CapacityCheck(engine, 100))
            report = await health.check()

    Args:
        deadline_s: seconds for each check, default 1; 0.001 to 60. One that takes longer is UNHEALTHY, and delays no
            other.
    """

    name = "health"

    def __init__(self, *, deadline_s: float = 1.0) -> None:
        require_between("deadline_s", deadline_s, 0.001, 60)
        self._deadline_s = deadline_s
        self._checks: dict[str, _Check] = {}
        self._started_s: float | None = None
        self._running: asyncio.Task[HealthReport] | None = None

    def register(self, name: str, check: HealthCheck, *, deadline_s: float | None = None) -> None:
        """Add a check.

        Args:
            name: 1 to 64 of `a-z 0-9 _ . -`, a letter first.
            check: what is called; see `HealthCheck`.
            deadline_s: seconds; default that of the registry.

        Raises:
            MisuseError: the name is taken or none, `deadline_s` is out of range, or there are 64 already.
        """
        require_name("a check", name)
        deadline_s = self._deadline_s if deadline_s is None else deadline_s
        require_between("deadline_s", deadline_s, 0.001, 60)
        if name in self._checks:
            raise MisuseError(f"there is a check {name!r} already")
        if len(self._checks) == CHECKS_MAX:
            raise MisuseError(f"no more than {CHECKS_MAX} checks")
        self._checks[name] = _Check(name, check, deadline_s)

    def unregister(self, name: str) -> None:
        """Take a check away; nothing happens if there is none."""
        self._checks.pop(name, None)

    async def start(self, context: IngestContext) -> None:
        """Begin to count the uptime."""
        self._started_s = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        """End what is running. The checks stay registered."""
        self._started_s = None
        for check in self._checks.values():
            check.abandon()

    async def check(self) -> HealthReport:
        """Run all checks and return what they found, at the latest after the longest deadline.

        Whoever asks while they run gets the same report: many who ask cost no more than one.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._running)

    async def _run(self) -> HealthReport:
        checks = [self._checks[name] for name in sorted(self._checks)]
        found = await asyncio.gather(*(check.run() for check in checks))
        status = max((report.status for report in found), default=HealthStatus.HEALTHY)
        now_s = asyncio.get_running_loop().time()
        return HealthReport(status, 0.0 if self._started_s is None else now_s - self._started_s, tuple(found))


class _Check:
    """A check, and the call of it that is under way."""

    def __init__(self, name: str, check: HealthCheck, deadline_s: float) -> None:
        self._name = name
        self._check = check
        self._deadline_s = deadline_s
        self._call: asyncio.Task[CheckResult] | None = None

    async def run(self) -> CheckReport:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        result = await self._result()
        return CheckReport(self._name, result.status, result.detail[:DETAIL_CHARS_MAX], loop.time() - began_s)

    async def _result(self) -> CheckResult:
        # One that does not heed its cancellation is not called again beside itself.
        if self._call is None or self._call.done():
            self._call = asyncio.create_task(self._called())
        await asyncio.wait({self._call}, timeout=self._deadline_s)
        if self._call.done() and not self._call.cancelled():
            return self._call.result()
        self.abandon()
        return CheckResult(HealthStatus.UNHEALTHY, f"no answer within {self._deadline_s:g} s")

    async def _called(self) -> CheckResult:
        try:
            result = await self._check()
        except Exception as error:
            log.warning("the health check %s failed", self._name, exc_info=True)
            return CheckResult(HealthStatus.UNHEALTHY, f"failed: {type(error).__name__}")
        if isinstance(result, CheckResult):
            return result
        return CheckResult(HealthStatus.UNHEALTHY, f"returned {type(result).__name__} instead of a CheckResult")

    def abandon(self) -> None:
        if self._call is not None:
            self._call.cancel()


class CapacityCheck:
    """A check of how many streams are published: DEGRADED from 90 % of the limit, UNHEALTHY at it.

    Args:
        engine: whose streams are counted: those of its `registry` where it has one.
        limit: streams, at least 1; usually the engine's `max_publishers`.

    Raises:
        MisuseError: `limit` is below 1.
    """

    def __init__(self, engine: PlaybackRegistry | IngestContext, limit: int) -> None:
        require_between("limit", limit, 1, 1_000_000)
        self._engine = engine
        self._limit = limit

    async def __call__(self) -> CheckResult:
        """Count."""
        count = len(self._engine.list_streams())
        detail = f"{count} of {self._limit} streams"
        if count >= self._limit:
            return CheckResult(HealthStatus.UNHEALTHY, detail)
        if count * 10 >= self._limit * 9:
            return CheckResult(HealthStatus.DEGRADED, detail)
        return CheckResult(HealthStatus.HEALTHY, detail)
