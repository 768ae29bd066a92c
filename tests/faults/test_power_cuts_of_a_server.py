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
from tests.faults.ledger import compare
from tests.faults.load import Load
from tests.faults.power.machine import Machine, cannot_mount
from tests.faults.processes import Service

pytestmark = pytest.mark.faults

SEED = 20261122
CUTS = 20 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 2
#: A server that says committed, and sees to it when it gets round to it: seldom, however much there is.
HASTY = ("synchronous_commit=off", "wal_writer_delay=10s", "wal_writer_flush_after=1GB", "wal_buffers=64MB")
#: How often it is cut at most until that shows: a cut soon after it got round to it costs nothing.
TRIES = 6
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


def test_power_cuts_of_the_server_cost_nothing(
    serve: Callable[..., Service],
    cuttable: Callable[..., Cuttable],
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    server, chance = cuttable(*DURABLE), random.Random(SEED)
    service = serve(CLICKTRAIL_DATABASE_URL=server.server.url("clicktrail"), **SEGMENT)
    unsafe = []
    with Load(service, seed=SEED) as load:
        for cut in range(CUTS):
            load.more(chance.randrange(150, 300))
            unsafe.append(server.cut(chance, cut))
        load.more(100)
    service.settled()
    damage = compare(load.ledger, service.database)
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
    server, chance = cuttable(*DURABLE, *HASTY), random.Random(SEED)
    service = serve(CLICKTRAIL_DATABASE_URL=server.server.url("clicktrail"), **SEGMENT)

    def loses(cut: int) -> bool:
        with Load(service, seed=SEED + cut) as load:
            load.more(900)
            server.cut(chance, cut)
            load.more(100)
        service.settled()
        return bool(compare(load.ledger, service.database).lost)

    assert any(loses(cut) for cut in range(TRIES))
