"""Ground that promises cannot stand on is named: by the doctor, and at the start, which nobody need ask."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import impossible, wait_until

#: A file system of any name that holds nothing: only the table of mounts matters here.
MOUNT = """
import sys, mfusepy
class Empty(mfusepy.Operations):
    use_ns = True
mfusepy.FUSE(Empty(), sys.argv[1], foreground=True, fsname="server:/export", subtype=sys.argv[2])
"""


def doctor(data: Path, **settings: str) -> tuple[int, str]:
    words = [sys.executable, "-m", "app.cli", "doctor", "--data", str(data)]
    environment = os.environ | {"CLICKTRAIL_PORT": "1"} | settings
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


def prepare(data: Path, **settings: str) -> tuple[int, list[dict[str, str]]]:
    """What every start does first; its exit status, and what it logs of unsafe ground."""
    words = [sys.executable, "-P", "-m", "app.child", "prepare"]
    environment = os.environ | {"CLICKTRAIL_DATA": str(data)} | settings
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    said = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return done.returncode, [one for one in said if one["event"] in ("unsafe", "cannot_start")]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A mount point; whatever was mounted there goes."""
    found = tmp_path / "disk"
    found.mkdir()
    yield found
    subprocess.run(["umount", "--lazy", str(found)], check=False, capture_output=True)


def test_a_network_file_system_is_named(disk: Path) -> None:
    if not Path("/dev/fuse").exists():
        impossible("there is no /dev/fuse")
    with subprocess.Popen([sys.executable, "-c", MOUNT, str(disk), "sshfs"]) as mounting:
        try:
            wait_until(lambda: f" {disk} fuse.sshfs " in Path("/proc/mounts").read_text() or mounting.poll())
            assert mounting.poll() is None
            status, told = doctor(disk / "data")
            _, said = prepare(disk / "data")
        finally:
            mounting.terminate()
    assert status == 1
    assert "bad  file system fuse.sshfs: its locks and fsyncs cannot be trusted; use a local disk" in told
    assert [(one["subject"], one["level"]) for one in said if one["event"] == "unsafe"] == [
        ("file system", "warning")
    ]


def test_memory_is_named(disk: Path) -> None:
    words = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        impossible("nothing can be mounted")
    status, said = prepare(disk)
    assert (status, ["is memory" in one["reason"] for one in said]) == (0, [True])
    assert "warn file system tmpfs is memory" in doctor(disk)[1]


def test_a_sqlite_that_loses_data_is_not_started_with(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import pysqlite3\npysqlite3.sqlite_version, pysqlite3.sqlite_version_info = '3.51.2', (3, 51, 2)\n"
    )
    old = {"PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}
    status, said = prepare(tmp_path / "data", **old)
    assert (status, len(said)) == (1, 1)
    assert "SQLite 3.51.2 can corrupt a write-ahead log" in said[0]["reason"]
    assert not (tmp_path / "data" / "clicktrail.db").exists()
    status, told = doctor(tmp_path / "data", **old)
    assert status == 1 and "bad  sqlite      SQLite 3.51.2 can corrupt" in told


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"CLICKTRAIL_ADMIN_KEY": "changeme" * 4}, "CLICKTRAIL_ADMIN_KEY is quickly guessed"),
        (
            {"CLICKTRAIL_DATABASE_URL": "postgresql://postgres:postgres@127.0.0.1:1/x"},
            "password is one that is",
        ),
    ],
)
def test_a_secret_that_is_tried_first_is_named(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    _, said = prepare(tmp_path / "data", **settings)
    assert any(one.get("subject") == "secrets" and told in one["reason"] for one in said)
    status, shown = doctor(tmp_path / "data", **settings)
    assert status == 1 and told in shown


def test_a_short_admin_key_is_refused_by_name(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "app.cli", "serve", "--data", str(tmp_path / "data")]
    environment = os.environ | {"CLICKTRAIL_ADMIN_KEY": "short"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "CLICKTRAIL_ADMIN_KEY: Value error, must have at least 32 characters" in done.stderr
    assert not (tmp_path / "data").exists()


def test_ground_that_is_good_is_not_spoken_of(tmp_path: Path) -> None:
    key = {"CLICKTRAIL_ADMIN_KEY": "5f0c6d4be1a2978356f4d9c8b7e6a1025f0c6d4be1a29783"}
    assert prepare(tmp_path / "data", **key) == (0, [])
