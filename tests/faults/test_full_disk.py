"""A full disk: the doors say so, visitors are redirected all the same, and space brings everything back."""

import shutil
import subprocess
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


def fill(disk: Path, leave: int) -> None:
    """Leave this many bytes, or none."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        for size in (2**20, 2**12, 1):
            with suppress(OSError):
                while shutil.disk_usage(disk).free > leave:
                    ballast.write(bytes(size))


def free(disk: Path) -> None:
    (disk / "ballast").unlink()


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=256m", str(disk)], check=True)


def refuses_everywhere(load: Load) -> bool:
    """Whether every door has said that it cannot store: the redirect by redirecting unrecorded."""
    heard = load.ledger.heard
    return all(heard[door, "unknown" if door == "redirect" else "refused"] for door in DOORS)


def filled(service: Service, disk: Path, leave: int, relieve: Callable[[Path], None], load: Load) -> str:
    """Fill the disk under load until every door refuses, relieve it, and go on; what /readyz named."""
    before = [process.pid for role in ("web", "worker") for process in processes(service, role)]
    with load:
        load.more(100)
        fill(disk, leave)
        wait_until(lambda: refuses_everywhere(load), seconds=60)
        named = readiness(service)
        relieve(disk)
        wait_until(lambda: readiness(service) == "")
        for door in DOORS:
            load.more(5, door=door)
    service.settled()
    assert [p.pid for role in ("web", "worker") for p in processes(service, role)] == before, "restarted"
    return named


@pytest.mark.parametrize(
    ("reserve", "leave", "relieve", "reason"),
    [
        (0, 0, free, "inbox"),
        (RESERVE, RESERVE - 2**20, enlarge, f"less than {RESERVE} bytes are free"),
    ],
    ids=["to the last byte", "to the reserve"],
)
def test_a_full_disk_refuses_and_space_heals_it(
    serve: Callable[..., Service],
    small_disk: Path,
    tmp_path: Path,
    reserve: int,
    leave: int,
    relieve: Callable[[Path], None],
    reason: str,
    report: Callable[[str], None],
) -> None:
    service = serve(data=small_disk / "data", CLICKTRAIL_DISK_RESERVE_BYTES=str(reserve))
    load = Load(service)
    named = filled(service, small_disk, leave, relieve, load)
    assert reason in named
    assert load.ledger.surprises == []
    damage = compare(load.ledger, service.database)
    assert not damage, str(damage)
    assert differences(service.database, tmp_path) == []
    service.stop()
    report(
        f"full disk, reserve {reserve}: {load.ledger.count('accepted')} acknowledged, "
        f"{load.ledger.count('refused')} refused, {load.ledger.count('unknown', 'redirect')} redirected "
        "unrecorded: 0 false acknowledgements, recovered without restart"
    )


def test_the_ledger_tells_a_pixel_that_says_accepted_whatever_happens(
    serve: Callable[..., Service], small_disk: Path
) -> None:
    service = serve(
        "unavailable_told_as_accepted", data=small_disk / "data", CLICKTRAIL_DISK_RESERVE_BYTES="0"
    )
    with Load(service) as load:
        fill(small_disk, 0)
        wait_until(lambda: load.ledger.count("refused", "api"))
        load.more(20, door="pixel")
        free(small_disk)
        wait_until(lambda: readiness(service) == "")
    service.settled()
    damage = compare(load.ledger, service.database)
    assert {load.ledger.entries[id_].door for id_ in damage.lost} == {"pixel"}
    service.stop()
