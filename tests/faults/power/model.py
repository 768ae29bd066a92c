"""A disk that remembers what was written and, apart from it, what a power cut cannot take away any more.

The model, stricter than ext4 and as strict as POSIX:

- What was written to a file is safe after fsync or fdatasync of that file. Until then each sector holds what
  it held at the last sync or after any later write to it (a cache writes sectors whole, in any order), and
  the size of the file is that after any change since; bytes within it that were never written are zeros.
  Sectors are not torn, which SQLite and PostgreSQL rely on, and which disks promise.
- That a name was made, renamed or removed is safe after fsync of its folder, and only then: fsync of the
  file itself is not enough, and neither is that of its folder for the folder's own name. Until then any
  changes of names may be missing; changes to one name keep their order, and a rename happens whole or not.
- A truncation is in order with the file's other changes. Owners, modes and times are safe at once.

`Disk.after_cut` is one of the possible worlds, chosen by a seed. Nothing here knows how it is mounted.
"""

import errno
import itertools
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from random import Random
from typing import Literal

#: What survives of changes that were not synced: none, all, those until a moment, or any of them.
Fate = Literal["none", "all", "prefix", "any"]
FATES: tuple[Fate, ...] = ("none", "all", "prefix", "any")
SECTORS = (512, 4096)


@dataclass(frozen=True, slots=True)
class Written:
    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        if self.offset > len(content):
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(frozen=True, slots=True)
class Truncated:
    size: int

    def apply(self, content: bytearray) -> None:
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))


_numbers = itertools.count(2)


@dataclass(eq=False, slots=True)
class Node:
    """What files and folders have in common: it is safe as soon as a name of it is."""

    mode: int
    uid: int = 0
    gid: int = 0
    times: tuple[int, int] = field(default_factory=lambda: (time.time_ns(), time.time_ns()))
    number: int = field(default_factory=_numbers.__next__)


@dataclass(eq=False, slots=True)
class File(Node):
    now: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    pending: list[Written | Truncated] = field(default_factory=list)

    def change(self, what: Written | Truncated) -> None:
        what.apply(self.now)
        self.pending.append(what)
        self.times = (self.times[0], time.time_ns())

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.kept)
        self.pending.clear()

    def after_cut(self, chance: Random, fate: Fate, sector: int) -> bytearray:
        if fate == "none" or not self.pending:
            return self.kept
        if fate == "all":
            return self.now
        upto = chance.randrange(len(self.pending) + 1)
        if fate == "any":
            return self._any(chance, upto, sector)
        content = bytearray(self.kept)
        for change in self.pending[:upto]:
            change.apply(content)
        if upto < len(self.pending) and isinstance(torn := self.pending[upto], Written):
            end = chance.randrange(torn.offset, torn.offset + len(torn.data) + 1) // sector * sector
            _part(torn, 0, max(end, torn.offset)).apply(content)
        return content

    def _any(self, chance: Random, upto: int, sector: int) -> bytearray:
        """The size is that after `upto` changes; each sector is as after any of the changes to it."""
        possible = self.pending
        for position, change in enumerate(self.pending):
            if isinstance(change, Truncated) and position >= upto:
                possible = self.pending[:position]  # what came after a truncation that is lost, is lost
                break
        size, content = bytearray(self.kept), bytearray(self.kept)
        for change in possible[:upto]:
            change.apply(size)
        written: dict[int, list[int]] = {}  # the changes to each sector, by position
        for position, change in enumerate(possible):
            if isinstance(change, Written):
                for place in _sectors(change, sector):
                    written.setdefault(place, [-1]).append(position)
        last = {place: chance.choice(positions) for place, positions in written.items()}
        for position, change in enumerate(possible):
            if isinstance(change, Truncated):
                change.apply(content)
                continue
            for place in _sectors(change, sector):
                if position <= last[place]:
                    _part(change, place * sector, (place + 1) * sector).apply(content)
        Truncated(len(size)).apply(content)
        return content


def _sectors(change: Written, sector: int) -> range:
    return range(change.offset // sector, -(-(change.offset + len(change.data)) // sector))


def _part(change: Written, low: int, high: int) -> Written:
    """What a change wrote between two places of the file."""
    start = max(change.offset, low)
    return Written(start, change.data[start - change.offset : high - change.offset])


@dataclass(eq=False, slots=True)
class Folder(Node):
    now: dict[str, Node] = field(default_factory=dict)
    kept: dict[str, Node] = field(default_factory=dict)


#: One change of names: what each name means afterwards (None: nothing). All of it, or nothing of it.
Step = tuple[tuple[Folder, str, Node | None], ...]


class Disk:
    """A tree of files and folders. Paths are absolute, as FUSE gives them; errors are OSError."""

    def __init__(self, source: Path | None = None) -> None:
        """Empty, or a copy of a folder, all of it safe."""
        self.root = Folder(stat.S_IFDIR | 0o755)
        self.pending: list[Step] = []
        if source is not None:
            found = source.stat()
            self.root = Folder(found.st_mode, found.st_uid, found.st_gid)
            self._load(self.root, source)

    def find(self, path: str) -> Node:
        node: Node = self.root
        for name in PurePosixPath(path).parts[1:]:
            if not isinstance(node, Folder):
                raise OSError(errno.ENOTDIR, path)
            found = node.now.get(name)
            if found is None:
                raise OSError(errno.ENOENT, path)
            node = found
        return node

    def file(self, path: str) -> File:
        node = self.find(path)
        if not isinstance(node, File):
            raise OSError(errno.EISDIR, path)
        return node

    def folder(self, path: str) -> Folder:
        node = self.find(path)
        if not isinstance(node, Folder):
            raise OSError(errno.ENOTDIR, path)
        return node

    def make(self, path: str, node: Node) -> None:
        folder, name = self._place(path)
        if name in folder.now:
            raise OSError(errno.EEXIST, path)
        self._step(((folder, name, node),))

    def remove(self, path: str) -> None:
        node = self.find(path)
        if isinstance(node, Folder) and node.now:
            raise OSError(errno.ENOTEMPTY, path)
        folder, name = self._place(path)
        self._step(((folder, name, None),))

    def rename(self, old: str, new: str) -> None:
        node = self.find(old)
        (here, was), (there, name) = self._place(old), self._place(new)
        replaced = there.now.get(name)
        if isinstance(replaced, Folder) and replaced.now:
            raise OSError(errno.ENOTEMPTY, new)
        if self.pending and self.pending[-1] == ((there, name, None),):
            self.pending.pop()  # libfuse removes an open file before it renames another over it: that is one
        self._step(((here, was, None), (there, name, node)))

    def sync(self, folder: Folder) -> None:
        """All names of a folder are safe; so is what their changes stand on."""
        safe: list[Step] = []
        keys: set[tuple[int, str]] = set()
        for step in reversed(self.pending):
            touched = _keys(step)
            if touched & keys or any(at is folder for at, _, _ in step):
                safe.append(step)
                keys |= touched
        for step in reversed(safe):
            _apply(step)
        gone = set(map(id, safe))
        self.pending = [step for step in self.pending if id(step) not in gone]

    def after_cut(self, seed: int, into: Path) -> None:
        """Write a world that a cut at this moment may leave into the new folder `into`."""
        chance = Random(seed)
        mixed = seed % 3 != 0  # the others: nothing unsynced is there, or all of it is
        simple: Fate = "none" if seed % 2 else "all"
        survivors = self._survivors(chance, chance.choice(FATES) if mixed else simple)

        def put(folder: Folder, path: Path) -> None:
            _create(folder, path)
            for name, node in sorted(survivors.get(folder.number, folder.kept).items()):
                if isinstance(node, Folder):
                    put(node, path / name)
                elif isinstance(node, File):
                    fate = chance.choice(FATES) if mixed else simple
                    content = node.after_cut(chance, fate, chance.choice(SECTORS))
                    _create(node, path / name, content)

        put(self.root, into)

    def unsafe(self) -> int:
        """How many changes a cut might undo now."""

        def count(folder: Folder) -> int:
            inner = 0
            for node in folder.now.values():
                inner += count(node) if isinstance(node, Folder) else len(node.pending)  # type: ignore[attr-defined]
            return inner

        return len(self.pending) + count(self.root)

    def _survivors(self, chance: Random, fate: Fate) -> dict[int, dict[str, Node]]:
        """The names of each folder that changed, by its number, after the changes that happened."""
        names: dict[int, dict[str, Node]] = {}
        upto = chance.randrange(len(self.pending) + 1)
        lost: set[tuple[int, str]] = set()
        for position, step in enumerate(self.pending):
            happened = {
                "none": False, "all": True, "prefix": position < upto, "any": chance.random() < 0.5
            }[fate]  # fmt: skip
            if happened and not lost & _keys(step):
                _apply(step, names)
            else:
                lost |= _keys(step)
        return names

    def _place(self, path: str) -> tuple[Folder, str]:
        parts = PurePosixPath(path)
        return self.folder(str(parts.parent)), parts.name

    def _step(self, step: Step) -> None:
        for folder, name, node in step:
            if node is None:
                del folder.now[name]
            else:
                folder.now[name] = node
            folder.times = (folder.times[0], time.time_ns())
        self.pending.append(step)

    def _load(self, folder: Folder, source: Path) -> None:
        for path in sorted(source.iterdir()):
            found = path.lstat()
            node: Node
            if path.is_dir():
                node = Folder(found.st_mode, found.st_uid, found.st_gid)
                self._load(node, path)
            else:
                content = path.read_bytes()
                times = (found.st_atime_ns, found.st_mtime_ns)
                node = File(found.st_mode, found.st_uid, found.st_gid, times)
                node.now, node.kept = bytearray(content), bytearray(content)
            folder.now[path.name] = folder.kept[path.name] = node


def _keys(step: Step) -> set[tuple[int, str]]:
    return {(folder.number, name) for folder, name, _ in step}


def _apply(step: Step, names: dict[int, dict[str, Node]] | None = None) -> None:
    """Do a step to the copies of folders in `names`; without them, to what is kept."""
    for folder, name, node in step:
        entries = folder.kept if names is None else names.setdefault(folder.number, dict(folder.kept))
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _create(node: Node, path: Path, content: bytes | bytearray | None = None) -> None:
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
        os.utime(path, ns=node.times)
    path.chmod(stat.S_IMODE(node.mode))
    if node.uid or node.gid:
        os.chown(path, node.uid, node.gid)
