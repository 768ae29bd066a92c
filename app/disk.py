"""What a power cut must not undo, the names of files and folders; and notes, which it may.

An fsync makes a file's content safe, not its name: that stands in its folder, whose own name stands in
another. This file knows nothing of what is stored.
"""

import contextlib
import os
from pathlib import Path
from zlib import crc32


def sync(folder: Path) -> None:
    """Make the names in a folder safe."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """A folder that is its owner's alone, made unless it is there, and whose name is safe either way.

    It may have been made by a process that was killed before it could see to that.
    """
    if not path.parent.is_dir():
        make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(PermissionError):  # another's folder, that may be entered and not be read
        sync(path.parent)


def note(handle: int, said: bytes) -> None:
    """Leave a note, of always the same length, in a file of its own: what was done, after it was done.

    It is not synced, so a power cut may bring an earlier one back. Nothing depends on it but the notice
    that what it speaks of is there no longer, so a disk without room is no error.
    """
    with contextlib.suppress(OSError):
        os.pwrite(handle, said + crc32(said).to_bytes(4, "big"), 0)


def noted(path: Path) -> bytes | None:
    """The last note; None: there is none, or none that can be read."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    said, check = found[:-4], found[-4:]
    return said if said and crc32(said).to_bytes(4, "big") == check else None
