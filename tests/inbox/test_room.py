"""Room: what is worth least is refused first, by the disk and by the inbox's own bound alike."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from app.inbox.room import NEEDED, Room, judged
from app.model import ADJUSTMENTS, KINDS, RESULTS

RESERVE, LIMIT = 64 * 2**20, 2 * 2**30
QUARTER = LIMIT // 4

#: Parts of the reserve that are left, and what is refused then.
STEPS = [
    (1.01, ""),
    (1.0, "impression"),
    (0.875, "impression open"),
    (0.75, "impression open pageview"),
    (0.5, "impression open pageview visit engagement"),
    (0.25, "impression open pageview visit engagement click"),
    (0.001, "impression open pageview visit engagement click"),
    (0.0, "impression open pageview visit engagement click lead sale refund status"),
]


@pytest.mark.parametrize("left, kinds", STEPS)
def test_the_disk_and_the_inbox_refuse_in_the_same_order(left: float, kinds: str) -> None:
    disk = judged(free=int(left * RESERVE), reserve=RESERVE, held=0, limit=LIMIT)
    inbox = judged(free=2**40, reserve=RESERVE, held=LIMIT - int(left * QUARTER), limit=LIMIT)
    assert disk.refused == inbox.refused == frozenset(kinds.split())
    assert disk.gone == inbox.gone == (left == 0)
    assert (disk.code, inbox.code) == (("disk_full", "inbox_full") if kinds else ("", ""))


def test_the_shorter_of_the_two_counts() -> None:
    tight = judged(free=RESERVE // 4, reserve=RESERVE, held=LIMIT - QUARTER, limit=LIMIT)
    assert (tight.code, "click" in tight.refused) == ("disk_full", True)
    over = judged(free=RESERVE // 4, reserve=RESERVE, held=2 * LIMIT, limit=LIMIT)
    assert (over.code, over.gone) == ("inbox_full", True)


def test_without_a_reserve_a_disk_is_used_to_its_last_byte() -> None:
    assert judged(free=0, reserve=0, held=0, limit=LIMIT) == Room()


def test_every_kind_has_its_place_and_money_the_last() -> None:
    assert set(NEEDED) == set(KINDS)
    assert {kind for kind, part in NEEDED.items() if part == 0} == RESULTS | ADJUSTMENTS


def test_the_operators_table_says_the_same() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    section = page.partition("## When the disk fills up")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("|")][2:]
    words = {"all of it": "1", "nothing": "0"}
    told = {
        kind: float(Fraction(words.get(left.strip(), left.strip())))
        for left, kinds in rows
        for kind in re.findall("`([a-z]+)`", kinds)
    }
    assert told == NEEDED
    assert list(told) == list(NEEDED)
