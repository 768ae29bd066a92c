"""A start makes what is missing, once, and shows keys only when it made them."""

import stat
from itertools import count
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import select

from app import db, tables
from app.prepare import prepare
from app.settings import Settings
from app.workspaces import SCOPES, Snapshots, digest
from tests import engines

FIRST, SECOND = (
    SecretStr("a-key-of-the-operator-that-is-long-enough"),
    SecretStr("another-key-of-the-operator-" * 2),
)
clock = count(1).__next__


def settings_for(data: Path, admin_key: SecretStr | None = None) -> Settings:
    return Settings(data=data, database_url=engines.url_of(data), admin_key=admin_key)


def snapshot(settings: Settings) -> dict[str, tuple[int, int, str]]:
    snapshots = Snapshots(settings.snapshot, clock=clock)
    snapshots.poll()
    return dict(snapshots.current.keys)


def test_the_first_start_makes_a_workspace_with_a_key_of_each_scope(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data")
    made = prepare(settings, clock=clock)
    assert (made.workspace, tuple(made.keys)) == ("main", SCOPES)
    assert {digest(key) for key in made.keys.values()} == set(snapshot(settings))
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.snapshot.stat().st_mode) == 0o600


def test_a_later_start_makes_and_shows_nothing(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    prepare(settings, clock=clock)
    before = snapshot(settings)
    again = prepare(settings, clock=clock)
    assert (again.workspace, again.keys, snapshot(settings)) == ("", {}, before)


def test_the_demo_is_made_beside_an_older_workspace(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    prepare(settings, clock=clock)
    assert prepare(settings, clock=clock, workspace="demo").workspace == "demo"
    assert prepare(settings, clock=clock, workspace="demo").keys == {}


def test_the_operators_admin_key_is_the_only_key_of_an_unattended_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, FIRST)
    assert prepare(settings, clock=clock).keys == {}
    assert {key: scope for key, (_, _, scope) in snapshot(settings).items()} == {
        digest(FIRST.get_secret_value()): "admin"
    }


def test_another_admin_key_of_the_operator_replaces_the_one_before(tmp_path: Path) -> None:
    for key in (FIRST, FIRST, SECOND):
        settings = settings_for(tmp_path, key)
        prepare(settings, clock=clock)
    assert set(snapshot(settings)) == {digest(SECOND.get_secret_value())}
    engine = db.connect(settings.database, pool=1)
    with db.reading(engine) as connection:
        assert len(connection.execute(select(tables.keys)).all()) == 2
    engine.dispose()
