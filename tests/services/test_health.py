import asyncio
import json

import pytest
from virtual_time import Bus, in_virtual_time

import arcly
from arcly.services.health import CapacityCheck, CheckResult, HealthRegistry, HealthStatus

HEALTHY, DEGRADED, UNHEALTHY = HealthStatus


def found(status: HealthStatus, detail: str = "", after_s: float = 0) -> object:
    async def check() -> CheckResult:
        await asyncio.sleep(after_s)
        return CheckResult(status, detail)

    return check


async def hang() -> CheckResult:
    await asyncio.Event().wait()
    return CheckResult()


def registry(**checks: object) -> HealthRegistry:
    health = HealthRegistry(deadline_s=2)
    for name, check in checks.items():
        health.register(name, check)  # type: ignore[arg-type]
    return health


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ([], HEALTHY),
        ([HEALTHY, HEALTHY], HEALTHY),
        ([HEALTHY, DEGRADED], DEGRADED),
        ([UNHEALTHY, DEGRADED, HEALTHY], UNHEALTHY),
    ],
)
async def test_the_worst_status_wins_and_checks_come_by_name(statuses: list[HealthStatus], worst: HealthStatus) -> None:
    health = registry(**{f"c{9 - n}": found(status) for n, status in enumerate(statuses)})
    report = await health.check()
    assert report.status is worst
    assert [check.name for check in report.checks] == sorted(f"c{9 - n}" for n in range(len(statuses)))


@in_virtual_time
async def test_checks_run_at_once_and_one_that_hangs_delays_none() -> None:
    loop = asyncio.get_running_loop()
    health = registry(a=found(HEALTHY, after_s=1.5), b=hang, c=found(HEALTHY, after_s=1), d=found(HEALTHY))
    report = await health.check()
    assert loop.time() == pytest.approx(2)
    assert [check.status for check in report.checks] == [HEALTHY, UNHEALTHY, HEALTHY, HEALTHY]
    assert [check.duration_s for check in report.checks] == [pytest.approx(s) for s in (1.5, 2, 1, 0)]
    assert report.checks[1].detail == "no answer within 2 s"
    health.unregister("b")
    assert (await health.check()).status is HEALTHY


@in_virtual_time
async def test_each_check_may_have_its_own_deadline() -> None:
    health = HealthRegistry(deadline_s=1)
    health.register("slow", found(HEALTHY, after_s=5), deadline_s=6)  # type: ignore[arg-type]
    assert (await health.check()).status is HEALTHY


@in_virtual_time
async def test_a_check_that_does_not_heed_its_cancellation_is_not_called_beside_itself() -> None:
    calls, free = 0, asyncio.Event()

    async def deaf() -> CheckResult:
        nonlocal calls
        calls += 1
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        return CheckResult()

    health = registry(deaf=deaf)
    for _ in range(3):
        assert (await health.check()).status is UNHEALTHY
    assert calls == 1
    free.set()
    assert (await health.check()).status is HEALTHY
    await health.stop()


@in_virtual_time
async def test_many_who_ask_cost_no_more_than_one() -> None:
    calls = 0

    async def count() -> CheckResult:
        nonlocal calls
        calls += 1
        await asyncio.sleep(1)
        return CheckResult()

    health = registry(count=count)
    first = asyncio.create_task(health.check())
    others = [asyncio.create_task(health.check()) for _ in range(99)]
    await asyncio.sleep(0.5)
    first.cancel()
    reports = await asyncio.gather(*others)
    assert calls == 1
    assert len({id(report) for report in reports}) == 1
    await health.check()
    assert calls == 2


async def test_a_check_that_fails_is_unhealthy_and_tells_the_reader_no_details() -> None:
    async def fail() -> CheckResult:
        raise ValueError("password=hunter2")

    async def wrong() -> CheckResult:
        return True  # type: ignore[return-value]

    async def long() -> CheckResult:
        return CheckResult(detail="x" * 10_000)

    report = await registry(fail=fail, wrong=wrong, long=long).check()
    fail_, long_, wrong_ = report.checks
    assert (fail_.status, fail_.detail) == (UNHEALTHY, "failed: ValueError")
    assert (wrong_.status, wrong_.detail) == (UNHEALTHY, "returned bool instead of a CheckResult")
    assert len(long_.detail) == 512


@in_virtual_time
async def test_uptime_counts_while_it_runs() -> None:
    health = registry(a=found(DEGRADED, "b"))
    assert (await health.check()).uptime_s == 0
    await health.start(Bus())  # type: ignore[arg-type]
    await asyncio.sleep(90)
    report = await health.check()
    assert report.uptime_s == pytest.approx(90)
    assert json.loads(json.dumps(report.as_dict())) == {
        "status": "degraded",
        "uptime_s": 90.0,
        "checks": [{"name": "a", "status": "degraded", "detail": "b", "duration_s": 0.0}],
    }
    await health.stop()
    await health.stop()
    assert (await health.check()).uptime_s == 0


@pytest.mark.parametrize(
    ("count", "limit", "status"),
    [
        (0, 10, HEALTHY),
        (8, 10, HEALTHY),
        (9, 10, DEGRADED),
        (10, 10, UNHEALTHY),
        (11, 10, UNHEALTHY),
        (0, 1, HEALTHY),
        (1, 1, UNHEALTHY),
        (26, 29, HEALTHY),
        (27, 29, DEGRADED),
    ],
)
async def test_capacity(count: int, limit: int, status: HealthStatus) -> None:
    bus = Bus()
    bus.streams = [None] * count
    result = await CapacityCheck(bus, limit)()  # type: ignore[arg-type]
    assert (result.status, result.detail) == (status, f"{count} of {limit} streams")


async def test_it_is_a_part_of_an_engine() -> None:
    health = HealthRegistry()
    assert isinstance(health, arcly.InboundProtocol)
    async with arcly.Engine(health, max_publishers=1) as engine:
        health.register("capacity", CapacityCheck(engine, 1))
        assert (await health.check()).status is HEALTHY
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        report = await health.check()
        assert (report.status, report.checks[0].detail) == (UNHEALTHY, "1 of 1 streams")
        session.end()
        assert (await health.check()).status is HEALTHY


@pytest.mark.parametrize("name", ["", "A", "a b", "a\n", "é", "1a", "x" * 65])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(arcly.MisuseError):
        HealthRegistry().register(name, hang)


def test_checks_are_bounded_and_have_different_names() -> None:
    health = HealthRegistry()
    for n in range(64):
        health.register(f"c{n}", hang)
    with pytest.raises(arcly.MisuseError, match="64"):
        health.register("one-more", hang)
    with pytest.raises(arcly.MisuseError, match="already"):
        health.register("c0", hang)
    with pytest.raises(arcly.MisuseError):
        HealthRegistry(deadline_s=0)
    with pytest.raises(arcly.MisuseError):
        HealthRegistry().register("a", hang, deadline_s=100)
    with pytest.raises(arcly.MisuseError):
        CapacityCheck(Bus(), 0)  # type: ignore[arg-type]
