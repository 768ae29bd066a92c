"""Power cuts: what was not synced is gone, whole or in part. What was acknowledged is there, once.

A run of the service lives through several cuts, each at a random operation of its disk: of one the service
really dies, and is started again on what was left; of the others every world that a seed makes of the
moment is opened beside it. Clients outside keep the ledger all the while.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.conftest import impossible
from tests.faults.ledger import Ledger, compare
from tests.faults.load import Load
from tests.faults.power.machine import Machine, cannot_mount
from tests.faults.power.worlds import Found, digest, examine, known
from tests.faults.processes import Service, held, kill_all

pytestmark = pytest.mark.faults

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
SEEDS = range(20261122, 20261132 if LONG else 20261123)
LIVES = 4 if LONG else 3
MOMENTS = 5 if LONG else 3  # of a life
WORLDS = 10  # of a moment
#: Acknowledgements between two moments.
PACES = (0, 1, 20, 60)
#: Operations of the disk between what the ledger knows and the cut, at most.
OPERATIONS = 40
#: Small, so that files are rotated, drained and removed all the time.
SETTINGS = {"CLICKTRAIL_SEGMENT_BYTES": str(2**16)}


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory: worlds are many, and no fsync of theirs is what is tested."""
    if reason := cannot_mount(tmp_path):
        impossible(reason)
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="clicktrail-power-", dir=memory if memory.is_dir() else tmp_path))
    yield folder
    shutil.rmtree(folder)


@dataclass
class Moment:
    """An instant at which the power might have gone: what could be left, and what clients knew."""

    worlds: list[Path]
    ledger: Ledger


@dataclass
class Story:
    """A service's lives, one after the other."""

    moments: list[Moment] = field(default_factory=list)
    unsafe: list[int] = field(default_factory=list)  # changes that a cut might have undone, at each cut
    end: Found = field(default_factory=Found)
    ledger: Ledger = field(default_factory=Ledger)
    different: int = 0  # worlds that were looked at

    def bad(self) -> Iterator[str]:
        """What is wrong in any world, after its seed. Worlds that are alike are looked at once."""
        if self.end:
            yield f"the end: {self.end}"
        for moment in self.moments:
            seen = set[bytes]()
            for world in moment.worlds:
                if (content := digest(world)) not in seen:
                    if found := examine(world, moment.ledger, recounted=not seen):
                        yield f"{world.name}: {found}"
                    seen.add(content)
                shutil.rmtree(world)
            self.different += len(seen)


def lived(
    scratch: Path, seed: int, *, lives: int, moments: int, paces: Sequence[int] = PACES, bug: str = ""
) -> Story:
    """Run the service through cuts: it dies between two lives, and only might have at other moments."""
    chance, story = random.Random(seed), Story()
    service = Service(scratch / "disk" / "data", bug=bug, settings=SETTINGS)
    with ExitStack() as power:
        machine = power.enter_context(Machine(scratch / "disk"))
        power.callback(kill_all, service)
        service.open()
        with Load(service, seed=seed, ledger=story.ledger) as load:
            for life in range(lives):
                for moment in range(moments):
                    # Every other time nothing is drained: then it is the inbox that must hold.
                    with held(service, "worker") if moment % 2 else nullcontext():
                        load.more(chance.choice(paces))
                        story.moments.append(moment_of(machine, load, scratch / f"{life}-{moment}", chance))
                if life < lives - 1:
                    story.unsafe.append(machine.cut(after=chance.randrange(OPERATIONS) + 1))
                    kill_all(service)
                    [left] = machine.worlds(scratch / f"left-{life}", [chance.randrange(2**32)])
                    machine.off()
                    service.gone()
                    machine = power.enter_context(Machine(scratch / "disk", left))
                    service.open()
            load.more(30)
        service.settled()
        service.stop()
        story.end = Found(damage=compare(load.ledger, service.database))
    return story


def moment_of(machine: Machine, load: Load, into: Path, chance: random.Random) -> Moment:
    """What a cut would leave some operations from now; the service goes on."""
    at_the_cut = known(load.ledger)
    seeds = [chance.randrange(2**32) for _ in range(WORLDS)]
    worlds = machine.worlds(into, seeds, after=chance.randrange(OPERATIONS) + 1)
    return Moment(worlds, at_the_cut())


@pytest.mark.parametrize("seed", SEEDS)
def test_power_cuts_cost_nothing(scratch: Path, seed: int, report: Callable[[str], None]) -> None:
    story = lived(scratch, seed, lives=LIVES, moments=MOMENTS)
    assert story.ledger.surprises == []
    assert list(story.bad()) == []
    worlds = sum(len(moment.worlds) for moment in story.moments)
    report(
        f"power cuts: {LIVES - 1} that the service died of, {worlds} worlds that others would have left, "
        f"{story.different} of them different, up to {max(story.unsafe)} changes unsafe; "
        f"{story.ledger.count('accepted')} acknowledged, {story.ledger.count('refused')} refused: 0 lost, "
        "0 twice, 0 phantom, 0 micro-units off, every file whole, recount equal"
    )


@pytest.mark.parametrize(
    ("bug", "pace"),
    [
        ("inbox_synced_now_and_then", 30),
        ("folders_not_synced", 10),
        ("database_synced_now_and_then", 500),  # until a file of the inbox was drained and removed
    ],
)
def test_the_ledger_tells_a_service_that_loses_by_a_power_cut(scratch: Path, bug: str, pace: int) -> None:
    """Within three lives: a cut at which all happened to be safe loses nothing."""
    for life in range(3):
        folder = scratch / str(life)
        folder.mkdir()
        story = lived(folder, SEEDS[0] + life, lives=1, moments=2, paces=[pace], bug=bug)
        if "lost: " in next(story.bad(), ""):
            return
    pytest.fail("nothing was lost")
