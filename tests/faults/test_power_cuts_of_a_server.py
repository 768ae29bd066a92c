"""Power cuts of PostgreSQL's machine: what the inbox has let go of is in the database when that is back.

Clicktrail's own machine stays on: its doors accept, its inbox waits. Only the server's data folder is on
the disk that forgets. The server starts on what was left, by its own recovery, and the service goes on.
"""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from tests import engines
from tests.faults.conftest import DURABLE, impossible
from tests.faults.derived import differences
from tests.faults.ledger import Damage, compare
from tests.faults.load import Load
from tests.faults.power.machine import Machine, cannot_mount
from tests.faults.processes import Service

pytestmark = pytest.mark.faults

SEED = 20261122
CUTS = 20 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 2
#: A server that says committed, and sees to it when it gets round to it.
HASTY = ("synchronous_commit=off", "wal_writer_delay=10s")
#: Small, so that the inbox lets go of files all the time.
SEGMENT = {"CLICKTRAIL_SEGMENT_BYTES": str(2**16)}


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A data folder with the database `clicktrail`, empty."""
    if reason := cannot_mount(tmp_path):
        impossible(reason)
    made = engines.new_server()
    made.say("CREATE DATABASE clicktrail")
    made.stop()
    return made.data


class Cuttable:
    """A server whose data folder is on a disk that forgets."""

    def __init__(self, template: Path, scratch: Path, settings: tuple[str, ...]) -> None:
        self.settings = settings
        self.scratch = scratch
        self.server = engines.Server(template.parent, engines.embedded())
        template.rename(template.parent / "template")
        self._machine = Machine(template, template.parent / "template").__enter__()
        self.server.start(*settings)

    def cut(self, chance: random.Random, cut: int) -> int:
        """Cut the power at an operation to come, and switch it on again; how many changes were unsafe."""
        process = psutil.Process(int((self.server.data / "postmaster.pid").read_text().splitlines()[0]))
        unsafe = self._machine.cut(after=chance.randrange(200) + 1)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        [left] = self._machine.worlds(self.scratch / f"left-{cut}", [chance.randrange(2**32)])
        self._machine.off()
        psutil.wait_procs([process], timeout=30)
        self._machine = Machine(self.server.data, left).__enter__()
        self.server.start(*self.settings)
        return unsafe

    def end(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self.server.stop("immediate")
        self._machine.off()


@pytest.fixture
def cuttable(template: Path, tmp_path: Path) -> Iterator[Callable[..., Cuttable]]:
    with ExitStack() as ends:

        def start(*settings: str) -> Cuttable:
            made = Cuttable(template, tmp_path, settings)
            ends.callback(made.end)
            return made

        yield start


def lived(
    serve: Callable[..., Service], server: Cuttable, *, cuts: int, pace: int
) -> tuple[Load, list[int], Damage, Service]:
    chance = random.Random(SEED)
    url = server.server.url("clicktrail")
    service = serve(CLICKTRAIL_DATABASE_URL=url, **SEGMENT)
    with Load(service, seed=SEED) as load:
        unsafe = []
        for cut in range(cuts):
            load.more(chance.randrange(pace // 2, pace))
            unsafe.append(server.cut(chance, cut))
        load.more(100)
    service.settled()
    return load, unsafe, compare(load.ledger, url), service


def test_power_cuts_of_the_server_cost_nothing(
    serve: Callable[..., Service],
    cuttable: Callable[..., Cuttable],
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    server = cuttable(*DURABLE)
    load, unsafe, damage, service = lived(serve, server, cuts=CUTS, pace=300)
    assert load.ledger.surprises == []
    assert not damage, str(damage)
    service.stop()
    assert differences(service.database, tmp_path) == []
    report(
        f"power cuts of PostgreSQL: {CUTS}, up to {max(unsafe)} changes unsafe; "
        f"{load.ledger.count('accepted')} acknowledged, {load.ledger.count('refused')} refused: "
        "0 lost, 0 twice, 0 phantom, 0 micro-units off, recount equal"
    )


def test_the_ledger_tells_a_server_that_commits_to_memory(
    serve: Callable[..., Service], cuttable: Callable[..., Cuttable]
) -> None:
    _, _, damage, _ = lived(serve, cuttable(*DURABLE, *HASTY), cuts=1, pace=1200)
    assert damage.lost
