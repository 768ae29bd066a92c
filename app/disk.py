"""What a power cut must not undo: the names of files and folders.

An fsync makes a file's content safe, not its name: that stands in its folder, whose own name stands in
another. This file knows nothing of what is stored.
"""

import contextlib
import os
from pathlib import Path


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
