"""A version meets another's schema: an older one refuses, a newer one brings it up before it works."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app import db, migrate
from tests import engines, history, upgrades
from tests.conftest import wait_until

pytestmark = pytest.mark.skipif(engines.POSTGRESQL, reason="the commands are the same on either engine")

HEAD = migrate.revisions()[-1]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("past")
    history.fill(f"sqlite:///{folder}/clicktrail.db", 100).engine.dispose()
    return folder


@pytest.fixture
def data(past: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(past, tmp_path / "data"))


@pytest.fixture
def url(data: Path) -> str:
    return f"sqlite:///{data}/clicktrail.db"


def start(data: Path, *words: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"CLICKTRAIL_DATA": str(data), "CLICKTRAIL_PORT": "0"}
    command = [sys.executable, "-m", "app.cli", *words]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize(
    "words",
    [
        ("serve",), ("worker",), ("migrate",), ("key", "list"), ("workspace", "add", "x"), ("demo",),
        ("migrate-database", "--to", "postgresql://127.0.0.1:1/x"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_older_version_refuses_the_schema_of_a_newer_one_and_changes_nothing(
    data: Path, url: str, words: tuple[str, ...]
) -> None:
    engine = db.connect(url)
    with db.begin(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    engine.dispose()
    before = upgrades.shape(url), upgrades.counts(url)
    with start(data, *words) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert (
        f"has schema 0999, and this Clicktrail knows only up to {HEAD}: a newer version has written it"
        in said
    )
    assert "Traceback" not in said
    assert (upgrades.shape(url), upgrades.counts(url)) == before


@pytest.fixture
def worker(data: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    """A worker by itself, started on the first schema there was."""
    upgrades.go(url, "downgrade", "0001")
    with start(data, "worker") as process:
        yield process
        process.kill()


def test_a_worker_by_itself_brings_an_old_schema_up_before_it_works(
    worker: "subprocess.Popen[str]", url: str
) -> None:
    assert worker.stdout is not None
    assert '"started"' in worker.stdout.readline()
    assert upgrades.stands_at(url) == HEAD
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: worker.poll() is not None)
    assert worker.returncode == 0
    assert '"stopped"' in worker.stdout.read()
