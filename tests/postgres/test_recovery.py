"""PostgreSQL and the inbox beside it, backed up as docs/operations.md says, under load, and back again."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests import engines
from tests.conftest import Clicktrail, wait_until
from tests.operation.stream import Stream, facts, taken_up

PAGE = Path(__file__).parent.parent.parent / "docs" / "operations.md"

EVENTS = 5_000 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 1_000

#: Inbox files are full, drained and gone within a second: the backup runs while they come and go.
SMALL_FILES = {"CLICKTRAIL_SEGMENT_BYTES": "65536"}


def block(name: str) -> list[str]:
    """The commands of a block of the page."""
    (found,) = re.findall(rf"^```sh {name}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return found.splitlines()


def shell(lines: list[str], folder: Path, data: Path, database: str) -> None:
    """Run them as an operator would: CLICKTRAIL_DATABASE_URL is in the service's environment."""
    plain = make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
    path = f"{Path(sys.executable).parent}:{engines.server().programs}:{os.environ['PATH']}"
    told = {"CLICKTRAIL_DATA": str(data), "CLICKTRAIL_DATABASE_URL": database, "DATABASE": plain}
    words = ["bash", "-euo", "pipefail", "-c", "\n".join(lines)]
    environment = os.environ | told | {"PATH": path, "HOSTNAME": "web-1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Clicktrail]]:
    """running(name, database) starts a machine."""
    started: list[Clicktrail] = []

    def start(name: str, database: str, keys: dict[str, str] | None = None) -> Clicktrail:
        started.append(Clicktrail(tmp_path / name, keys=keys or {}))
        return started[-1].start(CLICKTRAIL_DATABASE_URL=database, **SMALL_FILES)

    yield start
    for one in started:
        one.stop()


def backed_up(service: Clicktrail, folder: Path, act: Callable[[], None]) -> tuple[Stream, float]:
    """Do it in the midst of the stream; what was sent, and when it began."""
    (folder / "backups").mkdir()
    with Stream(service) as stream:
        wait_until(lambda: len(stream.accepted) >= EVENTS)
        began = time.time()
        act()
        upto = len(stream.accepted) + EVENTS
        wait_until(lambda: len(stream.accepted) >= upto)
    assert stream.refused == 0
    return stream, began


def drained(database: str, data: Path) -> bool:
    words = [sys.executable, "-m", "app.cli", "doctor", "--data", str(data)]
    told = os.environ | {"CLICKTRAIL_DATABASE_URL": database}
    return " 0 records wait" in subprocess.run(words, env=told, capture_output=True, text=True).stdout


def check(stream: Stream, began: float, found: Counter[int], how: str, report: Callable[[str], None]) -> None:
    assert stream.until(began) - found.keys() == set()
    assert [no for no, count in found.items() if count > 1] == []
    assert stream.gap(found) == ""
    assert stream.files() > 3, "hardly a file came and went: this shows little"
    rate, before = len(stream.accepted) / stream.seconds, len(stream.until(began))
    report(
        f"{how} while {rate:,.0f} events/s came in: restored {len(found):,} of {len(stream.accepted):,} "
        f"({before:,} before it began): no gap, 0 twice"
    )


def test_what_the_page_says_brings_back_a_beginning_of_what_was_accepted(
    running: Callable[..., Clicktrail], tmp_path: Path, report: Callable[[str], None]
) -> None:
    """And so does a base backup in the place of the dump."""
    here, there = engines.url(tmp_path, "here"), engines.url(tmp_path, "there")
    service, copy = running("data", here), engines.Server(new_folder(), engines.server().programs)

    def all_of_it() -> None:
        shell(block("backup"), tmp_path, service.data, here)
        options = ("--checkpoint=fast", "--wal-method=stream", "--host", str(engines.server().folder))
        copy.run("pg_basebackup", "--pgdata", str(copy.data), "--username=postgres", *options)

    stream, began = backed_up(service, tmp_path, all_of_it)
    shell(block("restore"), tmp_path, tmp_path / "box", there)
    # The name under which the worker says how far it is: under another, the old one would never move again.
    name = (service.data / "worker.lock").read_bytes()
    assert (tmp_path / "box" / "worker.lock").read_bytes() == name
    shutil.copytree(tmp_path / "box", tmp_path / "beside a base backup")
    running("box", there, service.keys)
    wait_until(lambda: drained(there, tmp_path / "box"))
    check(stream, began, facts(there), "inbox, then pg_dump,", report)
    copy.start()
    try:
        based = copy.url(make_url(here).database or "")
        found = taken_up(based, tmp_path / "beside a base backup")
        check(stream, began, found, "inbox, then pg_basebackup,", report)
    finally:
        copy.stop("immediate")
        shutil.rmtree(copy.folder)


def new_folder() -> Path:
    """One that the servers' user may write to."""
    made = Path(tempfile.mkdtemp(prefix="clicktrail-pg-"))
    if os.geteuid() == 0:
        shutil.chown(made, "nobody")
    return made


def test_the_database_before_the_inbox_would_lose_what_is_drained_between(
    running: Callable[..., Clicktrail], tmp_path: Path
) -> None:
    here, there = engines.url(tmp_path, "here"), engines.url(tmp_path, "there")
    service = running("data", here)
    inbox, database = block("backup")
    commands = [database, "sleep 1", inbox]
    stream, _ = backed_up(service, tmp_path, lambda: shell(commands, tmp_path, service.data, here))
    shell(block("restore"), tmp_path, tmp_path / "box", there)
    assert "are missing, and" in stream.gap(taken_up(there, tmp_path / "box"))
