"""A machine whose power is cut: its disk, mounted by a process of its own, and what a cut may leave there."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.conftest import wait_until

PROGRAM = Path(__file__).with_name("mount.py")


def cannot_mount(scratch: Path) -> str:
    """Why no disk can be mounted here; "" when one can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is not to be had"
    try:
        with Machine(scratch / "tried"):
            return ""
    except (AssertionError, OSError) as error:
        return f"a disk cannot be mounted: {error}"


class Machine:
    """`disk` is mounted from `with` to its end, or until `off`; it begins as `source` is, or empty."""

    def __init__(self, disk: Path, source: Path | None = None) -> None:
        self.disk = disk
        self._source = source

    def __enter__(self) -> "Machine":
        self.disk.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, str(PROGRAM), str(self.disk), *([str(self._source)] if self._source else [])]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: os.path.ismount(self.disk) or self._process.poll() is not None)
            assert self._process.poll() is None, "the disk's process is gone"
        except BaseException:
            self.off()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.off()

    def worlds(self, into: Path, seeds: Sequence[int], *, after: int = 0) -> list[Path]:
        """What the disk may hold if the power is cut `after` so many more operations: a folder a seed."""
        into.mkdir(parents=True)
        self._tell({"do": "worlds", "after": after, "seeds": list(seeds), "into": str(into)})
        return [into / str(seed) for seed in seeds]

    def cut(self, *, after: int = 0) -> int:
        """Answer no operation from then on. How many changes were not safe at that moment."""
        return self._tell({"do": "cut", "after": after})

    def off(self) -> None:
        """Who still waits for the disk gets an error; it is unmounted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        if os.path.ismount(self.disk):
            subprocess.run(["umount", "--lazy", str(self.disk)], check=True)

    def _tell(self, what: dict[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the disk's process is gone (status {self._process.poll()})"
        return int(json.loads(answer)["unsafe"])
