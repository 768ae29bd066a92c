"""The disk of `model.py`, mounted: a process of its own, since a test that hangs must not hang its own disk.

    python mount.py MOUNTPOINT [SOURCE]

It is told what to do by lines of JSON on standard input, and answers each with a line:

    {"do": "worlds", "after": 7, "seeds": [1, 2], "into": "/folder"}
                                  what a cut after 7 more operations may leave: in /folder/1 and /folder/2
    {"do": "cut", "after": 7}     no operation is answered from then on

and goes, unmounted, when standard input ends. Locks and shared memory are the kernel's own business (no lock
operation is offered, and pages are cached), as on a local disk: SQLite runs on it as it does in production.
"""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mfusepy

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.faults.power.model import Disk, File, Folder, Node, Truncated, Written

FOR_EVER = 3600.0  # seconds: nothing changes here that the kernel did not do itself
HIDDEN = "/.fuse_hidden"
BLOCKS = 2**21  # of 4 KiB: a disk of 8 GiB, half of it free


class Operations:
    """What the kernel asks of a disk. Handles are numbers of open files: they outlive names."""

    use_ns = True

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.opened: dict[int, File] = {}
        self.hidden: dict[str, Node] = {}  # removed while open: libfuse keeps them under names of its own

    def init_with_config(self, _connection: Any, config: Any) -> None:
        for option in ("use_ino", "kernel_cache"):
            setattr(config, option, 1)
        for timeout in ("entry_timeout", "attr_timeout", "negative_timeout"):
            setattr(config, timeout, FOR_EVER)

    def getattr(self, path: str | None, handle: int | None) -> dict[str, int]:
        node: Node = self._find(path) if path else self._file(None, handle)
        size = len(node.now) if isinstance(node, File) else 4096
        return {
            "st_mode": node.mode, "st_ino": node.number, "st_nlink": 1, "st_size": size,
            "st_blocks": -(-size // 512), "st_uid": node.uid, "st_gid": node.gid,
            "st_atime": node.times[0], "st_mtime": node.times[1], "st_ctime": node.times[1],
        }  # fmt: skip

    def readdir(self, path: str, _handle: int) -> Iterator[tuple[str, dict[str, int], int]]:
        for name, node in self.disk.folder(path).now.items():
            yield name, {"st_ino": node.number, "st_mode": node.mode}, 0

    def statfs(self, _path: str) -> dict[str, int]:
        free = dict.fromkeys(("f_bfree", "f_bavail", "f_ffree", "f_favail"), BLOCKS // 2)
        size = dict.fromkeys(("f_blocks", "f_files"), BLOCKS)
        return {"f_bsize": 4096, "f_frsize": 4096, "f_namemax": 255} | size | free

    def mkdir(self, path: str, mode: int) -> None:
        self.disk.make(path, self._owned(Folder(stat.S_IFDIR | mode)))

    def create(self, path: str, mode: int, _flags: int) -> int:
        self.disk.make(path, self._owned(File(stat.S_IFREG | stat.S_IMODE(mode))))
        return self._open(self.disk.file(path))

    def open(self, path: str, flags: int) -> int:
        file = self.disk.file(path)
        if flags & os.O_TRUNC:
            file.change(Truncated(0))
        return self._open(file)

    def release(self, _path: str | None, handle: int) -> None:
        self.opened.pop(handle, None)

    def read(self, _path: str | None, size: int, offset: int, handle: int) -> bytes:
        return bytes(self._file(None, handle).now[offset : offset + size])

    def write(self, _path: str | None, data: bytes, offset: int, handle: int) -> int:
        self._file(None, handle).change(Written(offset, data))
        return len(data)

    def truncate(self, path: str | None, size: int, handle: int | None = None) -> None:
        self._file(path, handle).change(Truncated(size))

    def fsync(self, _path: str | None, _datasync: int, handle: int) -> None:
        self._file(None, handle).sync()

    def fsyncdir(self, path: str, _datasync: int, _handle: int) -> None:
        self.disk.sync(self.disk.folder(path))

    def unlink(self, path: str) -> None:
        if self.hidden.pop(path, None) is None:
            self.disk.remove(path)

    def rmdir(self, path: str) -> None:
        self.disk.remove(path)

    def rename(self, old: str, new: str) -> None:
        if HIDDEN in new:
            self.hidden[new] = self.disk.find(old)
            self.disk.remove(old)
        else:
            self.disk.rename(old, new)

    def chmod(self, path: str, mode: int) -> None:
        node = self._find(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        node = self._find(path)
        node.uid, node.gid = (node.uid if uid == -1 else uid), (node.gid if gid == -1 else gid)

    def utimens(self, path: str | None, times: tuple[int, int] | None) -> None:
        if path is not None and times is not None:
            self._find(path).times = times

    def _owned(self, node: Any) -> Any:
        node.uid, node.gid, _ = mfusepy.fuse_get_context()
        return node

    def _open(self, file: File) -> int:
        handle = max(self.opened, default=0) + 1
        self.opened[handle] = file
        return handle

    def _find(self, path: str) -> Node:
        return self.hidden.get(path) or self.disk.find(path)

    def _file(self, path: str | None, handle: int | None) -> File:
        if handle in self.opened:
            return self.opened[handle]
        found = self._find(path or "")
        if not isinstance(found, File):
            raise OSError(errno.EISDIR, path)
        return found


class Power:
    """Operations are done one at a time, until they are halted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._halted = False
        self._done = 0
        self._halt_at = -1

    def operate(self, operation: Callable[[], Any]) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: not self._halted)
            answer = operation()
            self._done += 1
            if self._done == self._halt_at:
                self._halt()
            return answer

    def halt(self, after: int) -> None:
        """Return when so many more were done, and none will be until `resume`."""
        with self._changed:
            self._halt_at = self._done + after
            if not after:
                self._halt()
            self._changed.wait_for(lambda: self._halted)

    def resume(self) -> None:
        with self._changed:
            self._halted = False
            self._changed.notify_all()

    def _halt(self) -> None:
        self._halted = True
        self._changed.notify_all()


class Mount(mfusepy.FUSE):
    """The disk where the kernel finds it, while there is power."""

    def __init__(self, operations: Operations, power: Power, mountpoint: str) -> None:
        self.power = power
        super().__init__(
            operations, mountpoint, foreground=True, nothreads=True, allow_other=True,
            default_permissions=True, fsname="power",
        )  # fmt: skip

    def _wrapper(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        operation = super()._wrapper
        return self.power.operate(lambda: operation(func, *args, **kwargs))

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        self.operations.truncate(path and os.fsdecode(path), length, fip.contents.fh if fip else None)
        return 0


def obey(disk: Disk, power: Power, mountpoint: str) -> None:
    """Do as told until nobody tells any more."""
    on = True
    for line in sys.stdin:
        asked = json.loads(line)
        if on:
            power.halt(asked["after"])
        unsafe = disk.unsafe()
        written = asked["do"] == "cut" or draw(disk, asked["seeds"], Path(asked["into"]))
        on = on and asked["do"] != "cut"
        if on:
            power.resume()
        if callable(written) and not written():
            break
        sys.stdout.write(json.dumps({"unsafe": unsafe}) + "\n")
        sys.stdout.flush()
    subprocess.run(["umount", "--lazy", mountpoint], check=False)
    os._exit(0)


def draw(disk: Disk, seeds: list[int], into: Path) -> Callable[[], bool]:
    """Write worlds down: by a fork, which is a picture of this instant, and keeps nobody waiting.

    What is returned waits until they are there.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for seed in seeds:
                disk.after_cut(seed, into / str(seed))
            status = 0
        finally:
            os._exit(status)
    return lambda: os.waitpid(child, 0)[1] == 0


def main() -> None:
    mountpoint, *source = sys.argv[1:]
    disk, power = Disk(Path(source[0]) if source else None), Power()
    threading.Thread(target=obey, args=(disk, power, mountpoint), daemon=True).start()
    Mount(Operations(disk), power, mountpoint)


if __name__ == "__main__":
    main()
