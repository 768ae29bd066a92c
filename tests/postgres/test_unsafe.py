"""A PostgreSQL that acknowledges before it has written is named, by the doctor and at every start."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests import engines


def test_a_server_that_does_not_sync_is_named(tmp_path: Path) -> None:
    told = {"CLICKTRAIL_DATABASE_URL": engines.url(tmp_path), "CLICKTRAIL_DATA": str(tmp_path / "data")}

    def said(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, env=os.environ | told, capture_output=True, text=True, timeout=60)

    started = said("app.child", "prepare")
    (warning,) = [json.loads(line) for line in started.stderr.splitlines() if '"unsafe"' in line]
    assert started.returncode == 0
    assert warning["subject"] == "durability"
    assert "fsync = off, full_page_writes = off" in warning["reason"]
    assert "bad  durability  fsync = off" in said("app.cli", "doctor").stdout
    told["CLICKTRAIL_DATABASE_URL"] += "&options=-c%20synchronous_commit%3Doff"  # of the connection: seen too
    assert "synchronous_commit = off" in said("app.cli", "doctor").stdout
