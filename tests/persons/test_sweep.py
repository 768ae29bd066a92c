"""What an inbox held when a round began is gone when the round is told to have ended."""

from pathlib import Path

from app.inbox.segment import SUFFIX
from app.inbox.sweep import Sweep, marked
from app.persons import tasks
from tests.house import House
from tests.persons.people import eraser, request


def test_requests_that_keep_coming_do_not_keep_a_round_from_ending(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    first, second = tmp_path / f"a{SUFFIX}", tmp_path / f"b{SUFFIX}"
    first.touch()
    assert sweep.through(1) == 0
    second.touch()  # what a writer began after the mark of the first round
    assert sweep.through(2) == 0
    first.unlink()
    before = marked(tmp_path)
    assert sweep.through(3) == 1
    assert marked(tmp_path) != before
    assert sweep.through(4) == 1
    second.unlink()
    assert sweep.through(4) == 4


def test_a_machine_reports_the_round_that_ended_while_others_were_asked_for(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    by = eraser(house, tmp_path / "inbox")
    waiting = by.sweep.folder / f"a{SUFFIX}"
    waiting.touch()
    request(house, "user_id", "anna")
    assert tasks.report(by) == 0
    request(house, "user_id", "björn")
    waiting.unlink()
    (by.sweep.folder / f"b{SUFFIX}").touch()
    assert tasks.report(by) == 1
