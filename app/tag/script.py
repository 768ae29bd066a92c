"""The tag as it is served: the built file with the collect path in it, its names, its hash, its integrity.

`/c.js` is whatever this version ships. `/c.<hash>.js` is one content for ever, so pages may pin it by its
integrity: versions once served are kept in the data folder, and answer after an upgrade as before. Nothing
here knows HTTP.
"""

import base64
import gzip
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BUILT = Path(__file__).with_name("c.js")

#: Always answered, whatever else is configured: pages that name them must go on working.
NAME, COLLECT = "c.js", "/collect"

#: Where the built file says where to send: replaced before it is hashed.
IN_IT = json.dumps(COLLECT).encode()

_KEPT = re.compile(r"[0-9a-f]{16}\.js")


@dataclass(frozen=True, slots=True)
class Script:
    """One content. `digest` are 16 hex digits of its SHA-256, `integrity` is what `integrity=` must say."""

    body: bytes
    packed: bytes  # gzip
    digest: str
    integrity: str


def script(body: bytes) -> Script:
    """The script of these bytes."""
    return Script(
        body=body,
        packed=gzip.compress(body, 9, mtime=0),
        digest=hashlib.sha256(body).hexdigest()[:16],
        integrity=integrity(body),
    )


def integrity(body: bytes) -> str:
    """Subresource integrity: sha384."""
    return "sha384-" + base64.b64encode(hashlib.sha384(body).digest()).decode()


@dataclass(frozen=True, slots=True)
class Tag:
    """The script by the names it is served under. `collect` is the path that it sends to."""

    name: str
    collect: str
    script: Script
    earlier: tuple[Script, ...] = ()

    @property
    def pinned(self) -> str:
        """The name of this content for ever."""
        return pinned(self.name, self.script)

    def files(self) -> Iterator[tuple[str, Script]]:
        """(path, script) of everything that is served: first the moving names, then the pinned ones."""
        names = dict.fromkeys((self.name, NAME))
        yield from ((f"/{name}", self.script) for name in names)
        for one in (self.script, *self.earlier):
            yield from ((f"/{pinned(name, one)}", one) for name in names)


def pinned(name: str, script: Script) -> str:
    return f"{name.removesuffix('.js')}.{script.digest}.js"


def is_ours(file: str, name: str) -> bool:
    """Whether a file name is the script's: a configured or the usual one, pinned or not."""
    plain = re.sub(r"\.[0-9a-f]{16}\.js$", ".js", file)
    return plain in (name, NAME)


def tag(name: str, collect: str, *, kept: Path, built: bytes | None = None) -> Tag:
    """The tag of these settings, with the versions kept in a folder (see `keep`)."""
    source = BUILT.read_bytes() if built is None else built
    if source.count(IN_IT) != 1:
        raise ValueError(f"{BUILT.name} must name {COLLECT} once, and does {source.count(IN_IT)} times")
    now = script(source.replace(IN_IT, json.dumps(collect).encode()))
    earlier = (script(path.read_bytes()) for path in sorted(kept.glob("*.js")) if _KEPT.fullmatch(path.name))
    # A file is served under the hash of what is in it: nobody can put something else under a pinned name.
    return Tag(name, collect, now, tuple(one for one in earlier if one.digest != now.digest))


def keep(tag: Tag, folder: Path) -> None:
    """Keep this version for the time after an upgrade. Errors: OSError."""
    path = folder / f"{tag.script.digest}.js"
    if path.exists():
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(tag.script.body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
