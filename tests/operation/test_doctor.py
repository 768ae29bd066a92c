"""The doctor finds what usually goes wrong, names it, and changes nothing."""

import time
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text

from app import db, tables
from app.doctor import Finding, examine, file_system
from app.identity.rules import REASONS
from app.prepare import prepare
from app.settings import Settings
from tests import engines
from tests.conftest import Clicktrail

MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
server:/export /srv nfs4 rw 0 0
/dev/vdb1 /srv/local xfs rw 0 0
broken
"""


def now() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(data=tmp_path / "data", port=1, database_url=engines.url_of(tmp_path / "data"))
    prepare(found, clock=count(now()).__next__)
    return found


def found(settings: Settings, subject: str, at: int | None = None) -> Finding:
    return next(one for one in examine(settings, now=at or now()) if one.subject == subject)


def test_an_empty_folder_is_no_trouble_and_stays_empty(tmp_path: Path) -> None:
    findings = examine(Settings(data=tmp_path / "data", port=1), now=now())
    assert "bad" not in {finding.level for finding in findings}
    assert not (tmp_path / "data").exists()


def test_a_service_that_runs_has_nothing_to_find(clicktrail: Clicktrail) -> None:
    port = int(clicktrail.url.rpartition(":")[2])
    findings = examine(
        Settings(data=clicktrail.data, port=port, database_url=engines.url_of(clicktrail.data)), now=now()
    )
    # It finds the tests' PostgreSQL out, which does not sync, and nothing else.
    expected = ["durability"] if engines.POSTGRESQL else []
    assert [finding.subject for finding in findings if finding.level != "good"] == expected


@pytest.mark.parametrize(
    "path, kind", [("/data", "ext4"), ("/srv/x", "nfs4"), ("/srv/local/x", "xfs"), ("/srvx", "ext4")]
)
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert file_system(Path(path), tmp_path / "mounts") == kind
    assert file_system(Path(path), tmp_path / "none") == ""


def test_a_folder_that_others_may_read_is_named(settings: Settings) -> None:
    settings.data.chmod(0o755)
    assert found(settings, "data").level == "warn"
    assert "chmod -R go=" in found(settings, "data").message


def test_a_full_disk_is_bad(settings: Settings) -> None:
    reserve = 2**62
    assert found(settings.model_copy(update={"disk_reserve_bytes": reserve}), "disk").level == "bad"


def test_a_snapshot_nobody_confirms_is_told(settings: Settings) -> None:
    assert found(settings, "snapshot").level == "good"
    assert "last confirmed 3,6" in found(settings, "snapshot", now() + 3_600_000_000).message


def test_a_schema_of_another_version_is_told(settings: Settings) -> None:
    engine = db.connect(settings.database)
    for revision, level, word in (("0999", "bad", "newer"), ("", "warn", "clicktrail migrate")):
        with db.begin(engine) as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
        engine.dispose()
        finding = found(settings, "database")
        assert (finding.level, word in finding.message) == (level, True)


def test_a_database_that_is_none_is_bad_and_the_rest_is_still_looked_at(settings: Settings) -> None:
    (settings.data / "clicktrail.db").write_bytes(b"no database" * 1000)
    if engines.POSTGRESQL:
        settings = settings.model_copy(update={"database_url": f"{settings.database}&dbname=none"})
    findings = examine(settings, now=now())
    spoilt = set() if engines.POSTGRESQL else {"damage"}
    assert {finding.subject for finding in findings if finding.level == "bad"} == {
        "database",
        "inbox",
    } | spoilt
    assert findings[-1].subject == "clock"


def test_a_clock_from_before_this_code_is_bad(settings: Settings) -> None:
    assert found(settings, "clock", 1).level == "bad"


def test_a_constant_in_place_of_an_identifier_is_told(settings: Settings) -> None:
    assert found(settings, "identifiers").level == "good"
    engine = db.connect(settings.database)
    with db.begin(engine) as connection:
        row = {"workspace": 1, "node": 7, "kind": 2, "reason": REASONS["shared"], "linked": 12_000}
        connection.execute(tables.unjoined.insert().values(row))
        connection.execute(tables.junk.insert().values(workspace=1, kind=2, value="null", events=30))
    engine.dispose()
    finding = found(settings, "identifiers")
    assert finding.level == "warn"
    for told in (
        "1 are shared by too many",
        "30 times a stand-in",
        "12,000 others",
        "/v1/identifiers/unjoined",
    ):
        assert told in finding.message
