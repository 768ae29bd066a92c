"""PostgreSQL dies under load: one of its processes, or all of it. It costs nothing, and nobody need help.

The server of these tests is as durable as PostgreSQL is by default. Its processes are killed; the machine
below it lives, and forgets nothing that it was told: a power cut is another test's matter.
"""

import os
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests import engines
from tests.conftest import wait_until
from tests.faults.conftest import DURABLE
from tests.faults.derived import differences
from tests.faults.ledger import Ledger, compare
from tests.faults.load import Load
from tests.faults.processes import Service, reading

pytestmark = pytest.mark.faults

SEED = 20261122
ROUNDS = 12 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 1

#: The connections of the service.
OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'clicktrail' AND pid <> pg_backend_pid()"


def backends(service: Service) -> list[int]:
    """The server's processes at work for the service; each moment others."""
    with reading(service) as connection:
        return list(connection.scalars(text(OURS)))


def terminated(service: Service, server: engines.Server, chance: random.Random) -> None:
    """The operator ends one connection."""
    server.say(f"SELECT pg_terminate_backend({chance.choice(backends(service))})")


def killed(service: Service, server: engines.Server, chance: random.Random) -> None:
    """SIGKILL one of the server's processes: all connections end, and the server recovers by itself."""
    os.kill(chance.choice(backends(service)), signal.SIGKILL)


def crashed(service: Service, server: engines.Server, chance: random.Random) -> None:
    """The server ends at once, and is started again."""
    server.stop("immediate")
    server.start(*DURABLE)


def suffered(
    service: Service, server: engines.Server, blows: Sequence[Callable[..., None]], rounds: int
) -> Ledger:
    """Deal the blows under load, at random moments."""
    chance = random.Random(SEED)
    with Load(service) as load:
        for _ in range(rounds):
            for blow in blows:
                load.more(chance.randrange(20, 200))
                wait_until(lambda: answers(service, server))
                blow(service, server, chance)
        load.more(50)
    service.settled()
    service.stop()
    return load.ledger


def answers(service: Service, server: engines.Server) -> bool:
    """Whether the server answers, and works for the service."""
    try:
        return bool(backends(service))
    except DBAPIError:
        return False


def test_deaths_of_the_server_and_its_processes_cost_nothing(
    serve_afar: Callable[..., Service],
    postgres: engines.Server,
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    service = serve_afar()
    ledger = suffered(service, postgres, (terminated, killed, crashed), ROUNDS)
    assert ledger.surprises == []
    assert ledger.count("refused") == 0, "the doors need no database"
    assert not (damage := compare(ledger, service.database)), str(damage)
    assert differences(service.database, tmp_path) == []
    report(
        f"PostgreSQL: {ROUNDS} connections terminated, {ROUNDS} processes killed -9, {ROUNDS} crashes; "
        f"{ledger.count('accepted')} acknowledged, 0 refused: 0 lost, 0 twice, money exact, recount equal"
    )


def test_the_ledger_tells_a_service_that_loses_by_the_servers_death(
    serve_afar: Callable[..., Service], postgres: engines.Server
) -> None:
    service = serve_afar("storing_error_swallowed")
    assert compare(suffered(service, postgres, (crashed,), 2), service.database).lost
