"""A backup is verified before anything is restored from it, and replaces nothing."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from app import db, tables
from app.backup import SUMS, Refused, back_up, restore, verify
from app.settings import Settings
from tests import engines
from tests.house import House, event

pytestmark = pytest.mark.skipif(engines.POSTGRESQL, reason="the backup is of the embedded database")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder with a workspace and 50 events in its database."""
    data = tmp_path / "data"
    data.mkdir()
    house = House.build(data)
    house.send(*(event("click", id=f"c{i}") for i in range(50)))
    house.engine.dispose()
    return Settings(data=data)


@pytest.fixture
def saved(settings: Settings, tmp_path: Path) -> Path:
    back_up(settings, tmp_path / "saved")
    return tmp_path / "saved"


def test_what_was_backed_up_comes_back(saved: Path, tmp_path: Path) -> None:
    found = Settings(data=tmp_path / "new")
    restore(found, saved)
    with db.reading(db.connect(found.database)) as connection:
        assert connection.scalar(select(func.count()).select_from(tables.events)) == 50


@pytest.mark.parametrize(
    "harm, said",
    [
        (lambda saved: (saved / "clicktrail.db").write_bytes(b"?"), "is damaged: clicktrail.db"),
        (lambda saved: (saved / "clicktrail.db").unlink(), "is not whole: clicktrail.db"),
        (lambda saved: (saved / "inbox" / "x.db").write_bytes(b""), "is not whole: inbox/x.db"),
        (lambda saved: (saved / SUMS).unlink(), f"has no {SUMS}"),
    ],
)
def test_a_backup_that_is_not_what_was_written_is_refused(
    saved: Path, tmp_path: Path, harm: object, said: str
) -> None:
    harm(saved)  # type: ignore[operator]
    with pytest.raises(Refused, match=said):
        restore(Settings(data=tmp_path / "new"), saved)
    assert not (tmp_path / "new").exists()


def test_one_flipped_bit_is_noticed(saved: Path) -> None:
    path = saved / "clicktrail.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match="damaged"):
        verify(saved)


def test_a_backup_made_beside_the_other_engine_is_refused(saved: Path, tmp_path: Path) -> None:
    found = Settings(data=tmp_path / "new", database_url="postgresql://db/clicktrail")
    with pytest.raises(Refused, match="made beside SQLite, and the database here is PostgreSQL"):
        restore(found, saved)
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(settings: Settings, saved: Path) -> None:
    with pytest.raises(Refused, match="is there already"):
        back_up(settings, saved)
    with pytest.raises(Refused, match="holds data already"):
        restore(settings, saved)
