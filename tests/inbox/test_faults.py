"""Violence: killed writers, full disks, failing fsyncs. No acknowledgement is ever false.

The outside ledger is what the writer's process printed after each acknowledgement.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.inbox.sqlite import Inbox, Queue

pytestmark = pytest.mark.faults

STRACE = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e")
WRITER = str(Path(__file__).with_name("writer.py"))


def read_all(folder: Path) -> list[int]:
    """Every record by its number, drained as the pipeline drains; the folder must end empty."""
    queue = Queue(folder)
    cursors: dict[bytes, int] = {}
    found: list[int] = []
    while slices := queue.read(cursors, 1000):
        for one in slices:
            found += [int(payload) for payload in one.payloads]
            cursors[one.file] = one.sequences[-1]
            queue.forget(one.file, one.sequences[-1])
    queue.close()
    return found


def told(output: str, word: str) -> set[int]:
    """The numbers of whole lines; the last may have been cut by the kill."""
    return {
        int(line.split()[1])
        for line in output.splitlines(keepends=True)
        if line.startswith(word) and line[-1] == "\n"
    }


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    stored: set[int] = set()
    process = subprocess.Popen(
        [sys.executable, WRITER, str(tmp_path / "inbox"), str(2**16)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    timer = chance.uniform(0.0, 0.4)
    try:
        process.wait(timer)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    output = first + process.communicate()[0]
    stored = told(output, "stored")
    found = read_all(tmp_path / "inbox")
    assert stored and stored <= set(found)
    assert len(found) == len(set(found))
    assert list((tmp_path / "inbox").glob("*.db")) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_a_full_disk_refuses_and_heals_by_itself(small_disk: Path) -> None:
    inbox = Inbox(
        small_disk / "inbox",
        segment_bytes=2**18,
        limit_bytes=2**30,
        reserve_bytes=0,
        clock=lambda: time.time_ns() // 1000,
    )
    await inbox.start()
    ballast = small_disk / "ballast"
    stored: set[int] = set()
    number = 0

    async def until_refused() -> None:
        nonlocal number
        async with asyncio.timeout(30):
            while True:
                number += 1
                await inbox.append([b"%0500d" % number])
                stored.add(number)

    with pytest.raises(Unavailable):
        await until_refused()
    assert inbox.ready() is not None
    ballast.write_bytes(b"")
    found = read_all(small_disk / "inbox")  # the worker drains, and that makes room
    async with asyncio.timeout(20):
        while inbox.ready() is not None:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.05)
    number += 1
    await inbox.append([b"%0500d" % number])
    stored.add(number)
    await inbox.stop()
    found += read_all(small_disk / "inbox")
    assert stored <= set(found)
    # A refused record may have been written or not, but never twice.
    assert len(found) == len(set(found))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the fsyncs fail")
@pytest.mark.parametrize("nth", [12, 15, 16, 17, 20, 25])
def test_a_commit_whose_fsync_failed_is_neither_acknowledged_nor_read_later(tmp_path: Path, nth: int) -> None:
    inject = f"inject=fsync,fdatasync:error=EIO:when={nth}"
    ran = subprocess.run(
        [*STRACE, inject, sys.executable, WRITER, str(tmp_path / "inbox"), str(2**20), "400"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    if "ptrace" in ran.stderr:
        pytest.skip(f"processes cannot be traced here: {ran.stderr.strip()[:100]}")
    stored, refused = told(ran.stdout, "stored"), told(ran.stdout, "refused")
    found = read_all(tmp_path / "inbox")
    assert stored and refused and stored | refused == set(range(400))
    assert sorted(found) == sorted(stored)


#: A segment whose second commit fails, while a reader has the file open, in a process that then dies: the
#: next to open the file rebuilds SQLite's index of the log from whatever stands in the log.
GHOST = """
import os, sys
from pathlib import Path
from pysqlite3 import dbapi2 as sqlite
from app.inbox.segment import Segment
segment = Segment.create(Path(sys.argv[1]), clock=lambda: 1)
segment.write([b"1"])
reader = sqlite.connect(str(segment.path))
reader.execute("SELECT count(*) FROM records").fetchall()
os.write(1, b"stored 1\\n")
try:
    segment.write([b"2"])
    os.write(1, b"stored 2\\n")
except sqlite.Error:
    os.write(1, b"refused 2\\n")
    segment.abandon()
os._exit(0)
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the fsyncs fail")
def test_what_a_failed_commit_left_in_the_log_is_buried(tmp_path: Path) -> None:
    failures = 0
    for nth in range(4, 14):
        folder = tmp_path / str(nth)
        folder.mkdir()
        inject = f"inject=fsync,fdatasync:error=EIO:when={nth}"
        ran = subprocess.run(
            [*STRACE, inject, sys.executable, "-c", GHOST, str(folder)], capture_output=True, text=True
        )
        if "refused 2" in ran.stdout:
            failures += 1
            assert read_all(folder) == [1]
    assert failures
