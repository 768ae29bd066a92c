"""The oldest PostgreSQL that we promise, a real one; and what is said to an older one."""

from pathlib import Path

import pytest
from sqlalchemy import text

from app import db, migrate, tables
from app.doctor import examine
from app.events import months
from app.move import REPORTS, report
from app.settings import Settings
from tests import engines, history
from tests.conftest import impossible
from tests.house import NOON

#: Where Debian and Ubuntu put it.
OLDEST = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="module")
def server() -> engines.Server:
    if not (OLDEST / "postgres").exists():
        impossible(f"PostgreSQL 15 is not in {OLDEST}")
    return engines.new_server(OLDEST)


def test_it_gives_the_answers_that_sqlite_gives(server: engines.Server, tmp_path: Path) -> None:
    """Migrated, filled through pipeline and leader (COPY, upserts, months), asked for every report."""
    server.say("CREATE DATABASE past")
    migrate.migrate(server.url("past"))
    engine = db.connect(server.url("past"))
    with db.begin(engine) as connection:
        assert 150_000 <= migrate.check_version(connection) < 160_000
        assert months.make_months_between(connection, NOON - history.DAYS * history.DAY, NOON) == 4
    there = history.fill(server.url("past"), 600)
    here = history.fill(f"sqlite:///{tmp_path}/past.db", 600)
    assert there.derived() == here.derived()
    with db.reading(here.engine) as old, db.reading(there.engine) as new:
        assert [report(new, 1, asked, NOON) for asked in REPORTS] == [
            report(old, 1, asked, NOON) for asked in REPORTS
        ]
        lying = new.scalars(text("SELECT DISTINCT tableoid::regclass::text FROM events ORDER BY 1")).all()
        assert lying == ["events_2026_06", "events_2026_07", "events_2026_08", "events_2026_09"]
        assert b'"sales":0' not in report(new, 1, {}, NOON)
    for house in (here, there):
        house.engine.dispose()
    engine.dispose()


@pytest.mark.parametrize(
    "number, told",
    [
        (90_624, "the database is PostgreSQL 9.6.24; 15.0 or newer is needed"),
        (140_000, "the database is PostgreSQL 14.0; 15.0 or newer is needed"),
        (149_999, "the database is PostgreSQL 14.9999; 15.0 or newer is needed"),
        (150_000, ""),
        (150_014, ""),
        (180_003, ""),
    ],
)
def test_an_older_server_is_refused_by_its_number(number: int, told: str) -> None:
    assert migrate.too_old(number) == told


def test_what_is_too_old_is_refused_before_anything_is_made_and_told_by_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a PostgreSQL were needed that is not out yet."""
    url = engines.url(tmp_path, "old")
    settings = Settings(data=tmp_path / "data", database_url=url, port=1)
    monkeypatch.setattr(migrate, "OLDEST_POSTGRESQL", 990_000)
    with pytest.raises(migrate.DatabaseTooOld, match=r"the database is PostgreSQL \d+\.\d+; 99\.0 or newer"):
        migrate.migrate(url)
    told = next(one for one in examine(settings, now=NOON) if one.subject == "database")
    assert told.level == "bad" and "99.0 or newer is needed" in told.message
    engine = db.connect(url)
    with db.reading(engine) as connection:
        assert migrate.revision(connection) == ""
    engine.dispose()
    monkeypatch.undo()
    assert migrate.migrate(url) == ("", migrate.revisions()[-1])
    told = next(one for one in examine(settings, now=NOON) if one.subject == "database")
    assert told.level == "good" and told.message.startswith("PostgreSQL ")


def test_every_table_is_there(server: engines.Server) -> None:
    server.say("CREATE DATABASE tables")
    migrate.migrate(server.url("tables"))
    engine = db.connect(server.url("tables"))
    with db.reading(engine) as connection:
        found = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
    engine.dispose()
    assert found == {*tables.metadata.tables, "alembic_version", "events_rest"}
