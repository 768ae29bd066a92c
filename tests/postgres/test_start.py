"""The schema on PostgreSQL: up, down and up again; and one that is newer than the code."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect

from app import db, migrate, tables
from tests import engines


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
