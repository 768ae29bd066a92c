"""Many rows at once: the same rows and sums whichever way they take into the database."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from app import bulk, db, tables
from tests import engines

COLUMNS = ("workspace", "day", "channel_id", "campaign_id", "impressions", "clicks")


@pytest.mark.parametrize("count", [0, 1, bulk.FEW - 1, bulk.FEW, 5 * bulk.FEW])
def test_cells_are_added_to_those_that_are_there(tmp_path: Path, count: int) -> None:
    table = tables.traffic_campaign_days
    engine = engines.connect(tmp_path)
    half = [(1, 7, 1, n, 1, 0) for n in range(0, count, 2)]
    every = [(1, 7, 1, n, part, 3 * (part == 4)) for part in (4, 6) for n in range(count)]  # each cell twice
    with db.begin(engine) as connection:
        bulk.add(connection, table, half, COLUMNS)
        bulk.add(connection, table, iter(every), COLUMNS)  # twice in one transaction, and from an iterator
    with db.reading(engine) as connection:
        c = table.c
        found = connection.execute(select(c.campaign_id, c.impressions, c.clicks, c.visits)).all()
    assert sorted(found) == [(n, 11 - n % 2, 3, 0) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, bulk.FEW - 1, bulk.FEW, 5 * bulk.FEW])
def test_new_rows_are_all_there_and_found_by_their_keys(tmp_path: Path, count: int) -> None:
    engine = engines.connect(tmp_path)
    keys = [n.to_bytes(16) for n in range(count)]
    with db.begin(engine) as connection:
        bulk.append(connection, tables.seen, ("key", "digest"), [(key, -n) for n, key in enumerate(keys)])
    c = tables.seen.c
    with db.reading(engine) as connection:
        wanted = [*keys[::3], b"\xff" * 16]
        found = connection.execute(select(c.key, c.digest).where(bulk.among(connection, c.key, wanted))).all()
        digests = bulk.among(connection, c.digest, [-1, -2, 5])
        numbers = connection.scalar(select(func.count()).where(digests))
    assert {bytes(key): digest for key, digest in found} == {keys[n]: -n for n in range(0, count, 3)}
    assert numbers == len({1, 2} & set(range(count)))
