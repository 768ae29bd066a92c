"""kill -9 under load: nothing acknowledged is lost, nothing counts twice, and money is exact."""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import engines
from tests.conftest import wait_until
from tests.faults.derived import differences
from tests.faults.ledger import Damage, Ledger, compare
from tests.faults.load import Load
from tests.faults.planted import IN_THE_GAP
from tests.faults.processes import Role, Service, kill

pytestmark = pytest.mark.faults

SEED = 20261121
LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
ROUNDS = 20 if LONG else 2 if engines.POSTGRESQL else 3
#: Of each role before the parent is killed too: it waits ever longer before it replaces what keeps dying.
KILLS_A_ROUND = 2 if engines.POSTGRESQL else 5 if LONG else 4
#: Acknowledgements between two kills; none: what restarts is killed, or two die at once.
MOMENTS = (0, 0, 1, 20, 100)


@dataclass(frozen=True)
class Outcome:
    ledger: Ledger
    damage: Damage
    differences: list[str]


def killed(
    service: Service,
    scratch: Path,
    *,
    victims: Sequence[Role],
    rounds: int,
    kills: int = KILLS_A_ROUND,
    awaited: str = "",
) -> Outcome:
    """Kill the victims at random moments of the load (or when the file `awaited` is there), and once a round
    the parent with all its children."""
    chance = random.Random(SEED)
    with Load(service) as load:
        for last in range(rounds):
            for _ in range(kills):
                for role in victims:
                    load.more(chance.choice(MOMENTS))
                    if awaited:
                        (service.data / awaited).unlink(missing_ok=True)
                        wait_until((service.data / awaited).exists)
                    kill(service, role)
            load.more(50)
            if last < rounds - 1:
                service.crash()
                service.open()
    service.settled()
    service.stop()
    return Outcome(
        load.ledger, compare(load.ledger, service.database), differences(service.database, scratch)
    )


def test_kills_of_web_worker_and_parent_cost_nothing(
    serve: Callable[..., Service], tmp_path: Path, report: Callable[[str], None]
) -> None:
    found = killed(serve(), tmp_path, victims=("web", "worker"), rounds=ROUNDS)
    assert found.ledger.surprises == []
    assert not found.damage, str(found.damage)
    assert found.differences == []
    kills = ROUNDS * KILLS_A_ROUND
    report(
        f"kill -9: {kills} of web, {kills} of worker, {ROUNDS - 1} of all; "
        f"{found.ledger.count('accepted')} acknowledged, {found.ledger.count('refused')} refused: "
        "0 lost, 0 twice, 0 phantom, 0 micro-units off, recount equal"
    )


@pytest.mark.parametrize(
    ("bug", "victim"),
    [
        ("acknowledged_before_commit", "web"),
        ("cursor_moved_first", "worker"),
        ("notes_taken_before_work", "worker"),
    ],
)
def test_the_ledger_tells_a_service_that_loses_by_a_kill(
    serve: Callable[..., Service], tmp_path: Path, bug: str, victim: Role
) -> None:
    awaited = IN_THE_GAP if victim == "worker" else ""
    found = killed(
        serve(bug), tmp_path, victims=[victim], rounds=1, kills=3 if awaited else 5, awaited=awaited
    )
    assert found.damage.lost
    assert (found.differences != []) == (bug == "notes_taken_before_work")
