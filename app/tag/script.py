"""The tag as it is served: the built files with the collect path in them, their names, hashes, integrity.

There are two, chosen by name: `/c.js`, the core, and `/c.full.js`, which does more (decision 0018). Those are
whatever this version ships. `/c.<hash>.js` is one content for ever, so pages may pin it by its integrity:
versions once served are kept in the data folder, and answer after an upgrade as before. Nothing here knows
HTTP.
"""

import base64
import gzip
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Always answered, whatever else is configured: pages that name them must go on working.
NAME, COLLECT = "c.js", "/collect"

#: What stands in the name between `c` and `.js`, and the file that is served so.
BUILT = {part: Path(__file__).with_name(f"c{part}.js") for part in ("", ".full")}

#: Where a built file says where to send: replaced before it is hashed.
IN_IT = json.dumps(COLLECT).encode()

_KEPT = re.compile(r"(full\.)?[0-9a-f]{16}\.js")


@dataclass(frozen=True, slots=True)
class Script:
    """One content. `digest` are 16 hex digits of its SHA-256, `integrity` is what `integrity=` must say."""

    part: str  # "" or ".full"
    body: bytes
    packed: bytes  # gzip
    digest: str
    integrity: str


def script(part: str, body: bytes) -> Script:
    """The script of these bytes."""
    return Script(
        part=part,
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
    """The scripts by the names they are served under. `collect` is the path that they send to."""

    name: str
    collect: str
    script: Script  # the core
    full: Script
    earlier: tuple[Script, ...] = ()

    @property
    def pinned(self) -> str:
        """The name of the core's content for ever."""
        return pinned(self.name, self.script)

    @property
    def present(self) -> tuple[Script, ...]:
        """What this version ships."""
        return (self.script, self.full)

    def files(self) -> Iterator[tuple[str, Script]]:
        """(path, script) of everything that is served: first the moving names, then the pinned ones."""
        names = dict.fromkeys((self.name, NAME))
        for one in self.present:
            yield from ((f"/{moving(name, one)}", one) for name in names)
        for one in (*self.present, *self.earlier):
            yield from ((f"/{pinned(name, one)}", one) for name in names)


def moving(name: str, script: Script) -> str:
    return f"{name.removesuffix('.js')}{script.part}.js"


def pinned(name: str, script: Script) -> str:
    return f"{name.removesuffix('.js')}{script.part}.{script.digest}.js"


def is_ours(file: str, name: str) -> bool:
    """Whether a file name is the tag's: a configured or the usual one, core or full, pinned or not."""
    plain = re.sub(r"(\.full)?(\.[0-9a-f]{16})?\.js$", ".js", file)
    return plain in (name, NAME)


def tag(name: str, collect: str, *, kept: Path, built: Mapping[str, bytes] | None = None) -> Tag:
    """The tag of these settings, with the versions kept in a folder (see `keep`)."""
    sources = built or {part: path.read_bytes() for part, path in BUILT.items()}
    now = {part: script(part, _sending_to(collect, part, source)) for part, source in sources.items()}
    earlier = (
        script(".full" if path.name.startswith("full.") else "", path.read_bytes())
        for path in sorted(kept.glob("*.js"))
        if _KEPT.fullmatch(path.name)
    )
    # A file is served under the hash of what is in it: nobody can put something else under a pinned name.
    present = {one.digest for one in now.values()}
    return Tag(
        name, collect, now[""], now[".full"], tuple(one for one in earlier if one.digest not in present)
    )


def _sending_to(collect: str, part: str, source: bytes) -> bytes:
    if source.count(IN_IT) != 1:
        raise ValueError(f"c{part}.js must name {COLLECT} once, and does {source.count(IN_IT)} times")
    return source.replace(IN_IT, json.dumps(collect).encode())


def keep(tag: Tag, folder: Path) -> None:
    """Keep this version for the time after an upgrade. Errors: OSError."""
    for one in tag.present:
        _keep(one, folder / f"{one.part}.{one.digest}.js".lstrip("."))


def _keep(script: Script, path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(script.body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
