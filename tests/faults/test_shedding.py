"""Running out of room, on the disk and in the inbox: impressions are refused first, sales last of all."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.faults.ledger import Ledger, compare
from tests.faults.load import JOURNEY, Load
from tests.faults.processes import Service, readiness
from tests.faults.test_full_disk import enlarge

pytestmark = pytest.mark.faults

RESERVE = 64 * 2**20  # the default of the disk; the inbox's is a quarter of its limit
LIMIT = 4 * RESERVE
KINDS = {kind for kind, _ in JOURNEY}
Leave = Callable[[Service, float], None]

#: The part of the reserve that is left, and what is refused then: in the midst of each band, and kept there,
#: so that what the load itself writes does not leave it. Nothing left: test_full_disk.py.
STAGES = (
    (1.5, set()),
    (0.94, {"impression"}),
    (0.81, {"impression", "open"}),
    (0.62, {"impression", "open", "pageview"}),
    (0.37, {"impression", "open", "pageview", "visit"}),
    (0.12, {"impression", "open", "pageview", "visit", "click"}),
)


def leave_on_disk(service: Service, left: float) -> None:
    """Take free space away, or give some back, so that this part of the reserve is left."""
    ballast = service.data.parent / "ballast"
    excess = shutil.disk_usage(ballast.parent).free - int(left * RESERVE)
    with ballast.open("ab") as file:
        if excess > 0:
            os.posix_fallocate(file.fileno(), file.tell(), excess)
        else:
            file.truncate(max(0, file.tell() + excess))


def leave_in_inbox(service: Service, left: float) -> None:
    """Let the inbox hold so much (a file without content) that this part of its reserve is left."""
    ballast = service.data / "inbox" / "ballast"
    ballast.touch()
    held = 0
    for path in ballast.parent.iterdir():
        with suppress(FileNotFoundError):  # drained meanwhile
            held += path.stat().st_size if path != ballast else 0
    os.truncate(ballast, LIMIT - int(left * RESERVE) - held)


def relieve(service: Service) -> None:
    for folder in (service.data.parent, service.data / "inbox"):
        (folder / "ballast").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """What was heard of each kind while so much was left."""

    left: float
    accepted: Counter[str]
    turned_away: Counter[str]  # refused, or redirected unrecorded


def refused(service: Service) -> set[str]:
    """The kinds of the load that /readyz names as refused: all of them when it is not ready."""
    with service.client() as client:
        answer = client.get("/readyz")
    return KINDS if answer.status_code == 503 else KINDS & set(answer.json().get("refused", ()))


def heard_since(ledger: Ledger, start: float, left: float) -> Stage:
    entries = [e for e in list(ledger.entries.values()) if e.sent_at > start and e.heard_at]
    return Stage(
        left,
        Counter(e.kind for e in entries if e.status == "accepted"),
        Counter(e.kind for e in entries if e.status != "accepted"),
    )


def at_stage(service: Service, leave: Leave, load: Load, left: float) -> Stage:
    """Go on until every kind was tried three times, with as much left however long that takes."""
    before = refused(service)
    start = time.time()

    def tried() -> bool:
        leave(service, left)
        found = heard_since(load.ledger, start, left)
        return all((found.accepted + found.turned_away)[kind] >= 3 for kind in KINDS)

    wait_until(tried, seconds=60)
    assert refused(service) == before, "the load has left the band: this shows nothing"
    return heard_since(load.ledger, start, left)


def reached(service: Service, leave: Leave, left: float, expected: set[str]) -> bool:
    """Leave so much; whether the service has seen it."""
    leave(service, left)
    return refused(service) == expected


def squeezed(service: Service, leave: Leave, load: Load) -> tuple[list[Stage], float]:
    """Take room away stage by stage under load, then give it back; and seconds until all is accepted."""
    stages = []
    with load:
        load.more(50)
        for left, expected in STAGES:
            wait_until(partial(reached, service, leave, left, expected))
            stages.append(at_stage(service, leave, load, left))
        relieve(service)
        freed = time.monotonic()
        wait_until(lambda: readiness(service) == "" and not refused(service))
        again = time.time()
        wait_until(lambda: set(heard_since(load.ledger, again, 1).accepted) >= KINDS)
        seconds = time.monotonic() - freed
    service.settled()
    return stages, seconds


@pytest.mark.parametrize("leave", [leave_on_disk, leave_in_inbox])
def test_short_of_room_sales_are_taken_to_the_last_and_impressions_refused_first(
    serve: Callable[..., Service],
    small_disk: Path,
    leave: Leave,
    report: Callable[[str], None],
) -> None:
    enlarge(small_disk)
    service = serve(
        data=small_disk / "data",
        CLICKTRAIL_INBOX_LIMIT_BYTES=str(LIMIT),
        CLICKTRAIL_DISK_RESERVE_BYTES=str(RESERVE if leave is leave_on_disk else 0),
    )
    load = Load(service)
    stages, seconds = squeezed(service, leave, load)
    for stage, (_, expected) in zip(stages, STAGES, strict=True):
        assert set(stage.turned_away) == expected, f"{stage.left} of the reserve"
        assert set(stage.accepted) == KINDS - expected, f"{stage.left} of the reserve"
    assert load.ledger.surprises == []
    damage = compare(load.ledger, service.database)
    assert not damage, str(damage)
    service.stop()
    report(
        f"short of room ({leave.__name__}): impressions refused first, money last; "
        f"{load.ledger.count('accepted')} acknowledged, {load.ledger.count('refused')} refused: "
        f"0 false acknowledgements; all kinds accepted {seconds:.1f} s after room was back (bar: 5 s)"
    )


def test_a_service_to_which_all_kinds_are_alike_is_found_out(
    serve: Callable[..., Service], small_disk: Path
) -> None:
    enlarge(small_disk)
    service = serve("all_kinds_alike", data=small_disk / "data")
    with Load(service) as load:
        load.more(50)
        leave_on_disk(service, STAGES[1][0])
        wait_until(lambda: refused(service))
        stage = at_stage(service, leave_on_disk, load, STAGES[1][0])
        relieve(service)
    assert "sale" in stage.turned_away
    service.stop()
