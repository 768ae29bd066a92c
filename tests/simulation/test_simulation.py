"""Whatever goes wrong, in whatever order: what was acknowledged counts once, and all that follows is exact.

Each seed is a little world of machines, senders and an operator in which everything fails that can
(tests/simulation/). CLICKTRAIL_SEED=1234 repeats one; CLICKTRAIL_FAULTS=long runs ten thousand.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.planted import BUGS
from tests.simulation.run import Outcome, simulate

ROOT = Path(__file__).parents[2]
CHOSEN = os.environ.get("CLICKTRAIL_SEED", "")
LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
SEEDS = 10_000 if LONG else 200
ENOUGH = 200  # seeds within which each planted bug is found

pytestmark = pytest.mark.skipif(
    os.environ.get("CLICKTRAIL_TEST_ENGINE", "sqlite") != "sqlite",
    reason="simulations hold their own store, whatever engine the others run on",
)


def test_no_seed_finds_anything(report: Callable[[str], None]) -> None:
    seeds = [int(CHOSEN)] if CHOSEN else range(1, SEEDS + 1)
    outcomes: list[Outcome] = []
    began, used = time.monotonic(), time.process_time()
    for seed in seeds:
        outcomes.append(simulate(seed))
        assert not outcomes[-1].findings, str(outcomes[-1])
    took, cpu = time.monotonic() - began, time.process_time() - used
    events = sum(outcome.events for outcome in outcomes)
    report(
        f"simulation: {len(outcomes)} seeds, {events} events in {sum(o.requests for o in outcomes)} "
        f"requests, {took:.0f} s ({cpu:.0f} s of CPU: {events / cpu * 60:,.0f} events a minute); "
        f"settled at most {max(o.settled for o in outcomes):.1f} simulated s after the last fault"
    )


@pytest.mark.skipif(bool(CHOSEN), reason="one seed is being looked at")
@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    report: Callable[[str], None],
) -> None:
    plant(monkeypatch)
    begin = 1 if LONG else BUGS[plant]
    seeds = (*range(begin, ENOUGH + 1), *range(1, begin))
    found = next((o for seed in seeds if (o := simulate(seed)).findings), None)
    assert found is not None, "nothing was found"
    report(f"simulation: {plant.__name__} found at seed {found.seed}: {found.findings[0][:100]}")


@pytest.mark.skipif(bool(CHOSEN), reason="one seed is being looked at")
def test_a_seed_is_the_same_run_again_in_any_process() -> None:
    seed = 7
    digests = {simulate(seed).digest}
    for hashed in ("0", "1"):
        digests.add(_elsewhere(seed, hashed))
    assert len(digests) == 1
    assert simulate(seed + 1).digest not in digests


def _elsewhere(seed: int, hashed: str) -> str:
    """The digest of the seed in a process of its own, whose sets and dictionaries hash otherwise."""
    program = f"from tests.simulation.run import simulate; print(simulate({seed}).digest)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hashed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]


def test_a_finding_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome(17, findings=["something is lost"], trace=["1.0 m0.web0 synced 3"])
    assert "CLICKTRAIL_SEED=17 pytest tests/simulation" in str(outcome)
    assert "m0.web0 synced 3" in str(outcome)
