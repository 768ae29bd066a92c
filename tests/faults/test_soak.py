"""Hours of load: memory, descriptors, logs and waits must not grow. The short form shows that it measures.

CLICKTRAIL_FAULTS=long runs it for an hour, CLICKTRAIL_SOAK_MINUTES for as long as you say. Slopes are those
of a straight line through all samples but the first quarter, in which caches fill.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import linear_regression

import psutil
import pytest

from tests.faults.ledger import compare
from tests.faults.processes import Role, Service, processes
from tests.faults.rapid import Rapid, percentile

pytestmark = pytest.mark.faults

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
SECONDS = 60 * float(os.environ.get("CLICKTRAIL_SOAK_MINUTES", "60" if LONG else "0.08"))
SAMPLES = 240 if LONG else 12
RATE = 150  # requests a second
MIB = 2**20
HOUR = 3600.0
ROLES: tuple[Role, ...] = ("web", "worker")


@dataclass(frozen=True, slots=True)
class Sample:
    """The service at one moment: bytes, and of the requests since the last sample the slow ones' seconds."""

    at: float
    memory: dict[Role, int]
    descriptors: dict[Role, int]
    log: int
    inbox: int
    p99: float


@dataclass(frozen=True, slots=True)
class Slope:
    """How a value changed: where its line began, and by how much it rises in an hour."""

    name: str
    start: float
    per_hour: float
    unit: str

    def __str__(self) -> str:
        return f"{self.name} {self.start:.1f} {self.unit} {self.per_hour:+.2f}/h"

    @property
    def part(self) -> float:
        """The rise in an hour as a part of the start."""
        return self.per_hour / max(self.start, 1e-9)


def sampled(service: Service, found: dict[Role, psutil.Process], waits: Sequence[float]) -> Sample:
    def held(pattern: str) -> int:
        return sum(path.stat().st_size for path in service.data.glob(pattern) if path.exists())

    return Sample(
        time.monotonic(),
        {role: process.memory_info().rss for role, process in found.items()},
        {role: process.num_fds() for role, process in found.items()},
        held("clicktrail.db-wal"),
        held("inbox/*.db*"),
        percentile(list(waits), 0.99) if waits else 0.0,
    )


async def soaked(service: Service, seconds: float) -> tuple[Rapid, list[Sample]]:
    """A steady load for so long, and what was seen of the service meanwhile."""
    found = {role: processes(service, role)[-1] for role in ROLES}
    samples: list[Sample] = []
    async with Rapid(service, RATE) as load:
        seen = 0
        for _ in range(SAMPLES):
            await asyncio.sleep(seconds / SAMPLES)
            fresh, seen = load.waits[seen:], len(load.waits)
            samples.append(await asyncio.to_thread(sampled, service, found, fresh))
    return load, samples


def slopes(samples: Sequence[Sample]) -> list[Slope]:
    """Of everything that was measured."""
    kept = samples[len(samples) // 4 :]
    values: dict[tuple[str, str], list[float]] = {
        **{(f"memory of {r}", "MiB"): [s.memory[r] / MIB for s in kept] for r in ROLES},
        **{(f"descriptors of {r}", ""): [float(s.descriptors[r]) for s in kept] for r in ROLES},
        ("log", "MiB"): [s.log / MIB for s in kept],
        ("inbox", "MiB"): [s.inbox / MIB for s in kept],
        ("p99", "ms"): [1000 * s.p99 for s in kept],
    }
    lines = {named: linear_regression([s.at - kept[0].at for s in kept], ys) for named, ys in values.items()}
    return [Slope(name, line.intercept, line.slope * HOUR, unit) for (name, unit), line in lines.items()]


async def test_nothing_grows_under_a_steady_load(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    service = serve()
    load, samples = await soaked(service, SECONDS)
    found = {slope.name: slope for slope in slopes(samples)}
    await asyncio.to_thread(service.settled)
    assert load.failures == {} and load.ledger.surprises == []
    damage = compare(load.ledger, service.database)
    assert not damage, str(damage)
    assert max(sample.log for sample in samples) <= 64 * MIB
    assert found["memory of web"].per_hour / HOUR < LEAKED / 4, str(found["memory of web"])
    if SECONDS >= HOUR / 2:  # what a shorter run measures is mostly chance
        for role in ROLES:
            assert found[f"descriptors of {role}"].per_hour < 5
            assert found[f"memory of {role}"].part < 0.2
    report(
        f"soak of {SECONDS / 60:.1f} minutes, {load.achieved:.0f} requests/s, "
        f"{load.ledger.count('accepted')} acknowledged, 0 lost; {'; '.join(map(str, found.values()))} "
        "(bar: 1 %/h in an hour)"
    )


#: MiB a second that the planted leak costs at this rate: a quarter of one with each request.
LEAKED = RATE / 4


async def test_a_service_that_leaks_is_found_out(serve: Callable[..., Service]) -> None:
    service = serve("leaks")
    _, samples = await soaked(service, min(SECONDS, 5.0))
    found = {slope.name: slope for slope in slopes(samples)}
    assert found["memory of web"].per_hour / HOUR > LEAKED / 4
    assert found["descriptors of web"].per_hour / HOUR > 1
