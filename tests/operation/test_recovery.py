"""A backup under load comes back on an empty machine: a beginning of what was accepted, each counted once.

Ten seconds of 1,000 events/s at length (CLICKTRAIL_FAULTS=long); some three in short.
"""

import json
import os
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clicktrail, impossible, wait_until
from tests.faults.derived import differences
from tests.operation import planted
from tests.operation.stream import Stream, facts, taken_up

EVENTS = 5_000 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 1_500

#: Inbox files are full, drained and gone within a second: the backup runs while they come and go.
SMALL_FILES = {"CLICKTRAIL_SEGMENT_BYTES": "65536"}


def command(*arguments: str | Path, bug: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    before = [str(Path(planted.__file__)), bug] if bug else []
    words = [sys.executable, *before, "-m", "app.cli", *map(str, arguments)]
    return subprocess.run(words, env=os.environ | settings, capture_output=True, text=True, timeout=120)


def drained(data: Path) -> bool:
    """Nothing waits: the inbox holds only the file that is being written, and the leader has no notes."""
    done = command("doctor", "--data", data)
    return " 0 records wait" in done.stdout


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Clicktrail]:
    running = Clicktrail(tmp_path / "data").start(**SMALL_FILES)
    yield running
    running.stop()


@pytest.fixture
def restored(tmp_path: Path, service: Clicktrail) -> Iterator[Clicktrail]:
    running = Clicktrail(tmp_path / "restored", keys=service.keys)
    yield running
    running.stop()


def backed_up(service: Clicktrail, saved: Path, bug: str = "") -> tuple[Stream, float, float]:
    """Back up in the midst of the stream; what was sent, when the backup began, and how long it took."""
    with Stream(service) as stream:
        wait_until(lambda: len(stream.accepted) >= EVENTS)
        began = time.time()
        done = command("backup", saved, "--data", service.data, bug=bug)
        assert done.returncode == 0, done.stderr
        took = time.time() - began
        upto = len(stream.accepted) + EVENTS
        wait_until(lambda: len(stream.accepted) >= upto)
    assert stream.refused == 0
    return stream, began, took


def taken_up_by_a_start(restored: Clicktrail, saved: Path) -> Counter[int]:
    """Restore, start, and wait until all that the backup held is in the numbers."""
    done = command("restore", saved, "--data", restored.data)
    assert done.returncode == 0, done.stderr
    restored.start()
    wait_until(lambda: drained(restored.data))
    return facts(f"sqlite:///{restored.data}/clicktrail.db")


def test_a_backup_under_load_comes_back_as_a_beginning_of_what_was_accepted(
    service: Clicktrail, restored: Clicktrail, tmp_path: Path, report: Callable[[str], None]
) -> None:
    saved = tmp_path / "saved"
    stream, began, took = backed_up(service, saved)
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=saved, check=True)
    found = taken_up_by_a_start(restored, saved)
    assert stream.until(began) - found.keys() == set()
    assert [no for no, count in found.items() if count > 1] == []
    assert stream.gap(found) == ""
    assert stream.files() > 3, "hardly a file came and went: this shows little"
    wait_until(lambda: revenue(restored) == f"{10.01 * sales(stream, found):.2f}")
    assert differences(restored.data / "clicktrail.db", tmp_path) == []
    before = len(stream.until(began))
    report(
        f"backup while {len(stream.accepted) / stream.seconds:,.0f} events/s came in: {took:.1f} s; restored "
        f"{len(found):,} of {len(stream.accepted):,} ({before:,} before it began): no gap, 0 twice"
    )


def sales(stream: Stream, found: Counter[int]) -> int:
    return sum(one.no in found for one in stream.accepted[9::10])


def revenue(running: Clicktrail) -> str:
    with running.client("read") as client:
        asked: dict[str, Any] = {"metrics": ["revenue"], "date_range": "all"}
        answer = client.post("/v1/metrics/query", json=asked)
    assert answer.status_code == 200, answer.text
    return f"{float(json.loads(answer.text)['totals']['revenue'] or 0):.2f}"


def test_a_backup_that_copies_the_inbox_last_is_found_out(service: Clicktrail, tmp_path: Path) -> None:
    stream, _, _ = backed_up(service, tmp_path / "saved", bug="inbox_copied_last")
    assert command("restore", tmp_path / "saved", "--data", tmp_path / "box").returncode == 0
    found = taken_up(f"sqlite:///{tmp_path}/box/clicktrail.db", tmp_path / "box")
    assert "are missing, and" in stream.gap(found)


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    """A data folder that nobody works on."""
    assert command("workspace", "add", "main", "--data", tmp_path / "data").returncode == 0
    return tmp_path / "data"


def test_a_backup_and_what_is_restored_are_for_their_owner_only(quiet: Path, tmp_path: Path) -> None:
    for told in (("backup", tmp_path / "saved", "--data", quiet),
                 ("restore", tmp_path / "saved", "--data", tmp_path / "box")):  # fmt: skip
        assert command(*told).returncode == 0
    for folder in ("data", "saved", "box"):
        open_ = [path for path in (tmp_path / folder).rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
        assert open_ == []


def test_a_damaged_backup_is_refused_by_name_and_nothing_is_restored(quiet: Path, tmp_path: Path) -> None:
    assert command("backup", tmp_path / "saved", "--data", quiet).returncode == 0
    path = tmp_path / "saved" / "clicktrail.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    done = command("restore", tmp_path / "saved", "--data", tmp_path / "box")
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}/saved is damaged: clicktrail.db\n")
    assert not (tmp_path / "box").exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB of its own: an empty database does not fit."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        impossible(f"a small file system cannot be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_backup_without_room_says_so_and_leaves_nothing(quiet: Path, tiny_disk: Path) -> None:
    done = command("backup", tiny_disk / "saved", "--data", quiet)
    assert (done.returncode, done.stderr) == (1, "the backup was given up: database or disk is full\n")
    assert [*tiny_disk.iterdir()] == []
