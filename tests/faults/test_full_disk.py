"""A full disk: the doors say so, visitors are redirected all the same, and space brings everything back.

What is refused before it is full: test_shedding.py.
"""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.faults.derived import differences
from tests.faults.ledger import compare
from tests.faults.load import JOURNEY, Load
from tests.faults.processes import Service, processes, readiness

pytestmark = pytest.mark.faults

RESERVE = 16 * 2**20
DOORS = sorted({door for _, door in JOURNEY})


def fill(disk: Path) -> None:
    """Leave not a byte."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        for size in (2**20, 2**12, 1):
            with suppress(OSError):
                while True:
                    ballast.write(bytes(size))


def free(disk: Path) -> None:
    (disk / "ballast").unlink()


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=256m", str(disk)], check=True)


def refuses_everywhere(load: Load) -> bool:
    """Whether every door has said that it cannot store: the redirect by redirecting unrecorded."""
    heard = load.ledger.heard
    return all(heard[door, "unknown" if door == "redirect" else "refused"] for door in DOORS)


def refilled(service: Service, disk: Path, load: Load) -> bool:
    """Fill the disk; whether every door refuses, and /readyz says so: what is let go of is taken again."""
    fill(disk)
    return refuses_everywhere(load) and readiness(service) != ""


def filled(service: Service, disk: Path, relieve: Callable[[Path], None], load: Load) -> tuple[str, float]:
    """Fill the disk under load until every door refuses, relieve it, and go on.

    What /readyz named, and the seconds until every door accepted again.
    """
    before = [process.pid for role in ("web", "worker") for process in processes(service, role)]
    with load:
        load.more(100)
        wait_until(lambda: refilled(service, disk, load), seconds=60)
        named = readiness(service)
        relieve(disk)
        relieved = time.monotonic()
        wait_until(lambda: readiness(service) == "")
        for door in DOORS:
            load.more(1, door=door)
        seconds = time.monotonic() - relieved
        load.more(100)
    service.settled()
    assert [p.pid for role in ("web", "worker") for p in processes(service, role)] == before, "restarted"
    return named, seconds


@pytest.mark.parametrize(
    ("reserve", "relieve"), [(0, free), (RESERVE, enlarge)], ids=["without a reserve", "with one"]
)
def test_a_full_disk_refuses_and_space_heals_it(
    serve: Callable[..., Service],
    small_disk: Path,
    tmp_path: Path,
    reserve: int,
    relieve: Callable[[Path], None],
    report: Callable[[str], None],
) -> None:
    service = serve(data=small_disk / "data", CLICKTRAIL_DISK_RESERVE_BYTES=str(reserve))
    load = Load(service)
    named, seconds = filled(service, small_disk, relieve, load)
    assert "inbox" in named
    assert load.ledger.surprises == []
    damage = compare(load.ledger, service.database)
    assert not damage, str(damage)
    assert differences(service.database, tmp_path) == []
    service.stop()
    report(
        f"full disk, reserve {reserve}: {load.ledger.count('accepted')} acknowledged, "
        f"{load.ledger.count('refused')} refused, {load.ledger.count('unknown', 'redirect')} redirected "
        f"unrecorded: 0 false acknowledgements; every door accepts {seconds:.1f} s after there is space "
        "(bar: 5 s), without a restart"
    )


def test_the_ledger_tells_a_pixel_that_says_accepted_whatever_happens(
    serve: Callable[..., Service], small_disk: Path
) -> None:
    service = serve(
        "unavailable_told_as_accepted", data=small_disk / "data", CLICKTRAIL_DISK_RESERVE_BYTES="0"
    )
    with Load(service) as load:
        fill(small_disk)
        wait_until(lambda: load.ledger.count("refused", "api"))
        load.more(20, door="pixel")
        free(small_disk)
        wait_until(lambda: readiness(service) == "")
    service.settled()
    damage = compare(load.ledger, service.database)
    assert {load.ledger.entries[id_].door for id_ in damage.lost} == {"pixel"}
    service.stop()
