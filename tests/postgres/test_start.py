"""Processes that start together on an empty database make its schema and its first workspace once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect

from app import db, migrate, tables
from tests import engines

PROGRAM = """
import sys, time
from pathlib import Path
from app.prepare import prepare
from app.settings import Settings
settings = Settings(data=Path(sys.argv[1]))
sys.stdin.read()
print(repr(prepare(settings, clock=lambda: time.time_ns() // 1000).workspace))
"""

TIMES = 100 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 2


@pytest.mark.parametrize("attempt", range(TIMES))
def test_eight_machines_may_start_on_an_empty_database_at_once(tmp_path: Path, attempt: int) -> None:
    url = engines.url(tmp_path, f"empty{attempt}")
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / f"machine{n}")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"CLICKTRAIL_DATABASE_URL": url},
        )
        for n in range(8)
    ]  # fmt: skip
    for starter in starters:  # all are up and wait for this
        assert starter.stdin is not None
        starter.stdin.close()
        starter.stdin = None
    said = [starter.communicate(timeout=60) for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 8, said
    assert sorted(out.strip() for out, _ in said) == ["''"] * 7 + ["'main'"]


def test_up_and_down_and_up_again(tmp_path: Path) -> None:
    url = engines.url(tmp_path, "updown")
    migrate.migrate(url)
    engine = db.connect(url)
    config = Config()
    config.set_main_option("script_location", str(migrate.folder()))
    with db.begin(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        assert {"events_time", "events_journey"} == {
            i["name"] for i in inspect(connection).get_indexes("events")
        }
        command.downgrade(config, "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    migrate.migrate(url)
    with db.reading(engine) as connection:
        assert set(inspect(connection).get_table_names()) >= set(tables.metadata.tables)
    engine.dispose()


def test_a_schema_newer_than_the_code_is_refused_by_name(tmp_path: Path) -> None:
    url = engines.url(tmp_path, "newer")
    migrate.migrate(url)
    engine = db.connect(url)
    with db.begin(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    engine.dispose()
    with pytest.raises(migrate.SchemaTooNew, match="has schema 0999"):
        migrate.migrate(url)
