"""A clock for a service's processes that tests set while they run (libfaketime)."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import impossible

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@dataclass
class Clock:
    """The clock of a service's processes: seconds beside the truth, in a file that they read."""

    file: Path

    def set(self, offset: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(offset + "\n")
        fresh.replace(self.file)

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # its wait for a condition never ends under Python
        }


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if not LIBRARIES:
        impossible("libfaketime is not installed")
    made = Clock(tmp_path / "clock")
    made.set("+0")
    return made
