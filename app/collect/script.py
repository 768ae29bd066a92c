"""GET /c.js and /c.full.js, /c.<hash>.js and /c.full.<hash>.js: the tag, from memory. The hash of another
content is nobody's: 404.

The moving name is asked for again after an hour and answered with 304 while nothing changed; a pinned name
never changes, and may be held to its integrity, for which CORS must let it be read.
"""

from collections.abc import Awaitable, Callable, Iterator

from app.collect.door import ASGIScope, Doors, Receive, Send, only
from app.tag.script import Script, Tag

Header = tuple[bytes, bytes]
Door = Callable[[Doors, ASGIScope, Receive, Send], Awaitable[None]]

MOVING = b"public, max-age=3600"
PINNED = b"public, max-age=31536000, immutable"


def scripts(tag: Tag) -> dict[str, Door]:
    """A door for each path under which the tag is served."""
    return {path: _door(one, PINNED if one.digest in path else MOVING) for path, one in tag.files()}


def _door(script: Script, cache: bytes) -> Door:
    common: list[Header] = [
        (b"cache-control", cache),
        (b"vary", b"Accept-Encoding"),
        (b"access-control-allow-origin", b"*"),
        (b"timing-allow-origin", b"*"),
        (b"cross-origin-resource-policy", b"cross-origin"),
        (b"x-content-type-options", b"nosniff"),
    ]
    plain = _Form(script.body, b'"%s"' % script.digest.encode(), common)
    packed = _Form(
        script.packed, b'"%s-gzip"' % script.digest.encode(), [*common, (b"content-encoding", b"gzip")]
    )
    known = {plain.tag, packed.tag, b"*"}

    async def door(_doors: Doors, scope: ASGIScope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            return await only(send, "GET", "HEAD")
        headers = dict(scope["headers"])
        form = packed if takes_gzip(headers.get(b"accept-encoding", b"")) else plain
        if not known.isdisjoint(_tags(headers.get(b"if-none-match", b""))):
            await send({"type": "http.response.start", "status": 304, "headers": form.unchanged})
            return await send({"type": "http.response.body", "body": b""})
        await send({"type": "http.response.start", "status": 200, "headers": form.headers})
        await send(form.message)

    return door


class _Form:
    """One encoding of a script, with everything of the answer made ahead."""

    def __init__(self, body: bytes, tag: bytes, headers: list[Header]) -> None:
        self.tag = tag
        self.unchanged = [*headers, (b"etag", tag)]
        self.headers = [
            *self.unchanged,
            (b"content-type", b"text/javascript; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
        self.message = {"type": "http.response.body", "body": body}


def _tags(header: bytes) -> Iterator[bytes]:
    """The entity tags of If-None-Match, which compares them weakly."""
    return (one.strip().removeprefix(b"W/") for one in header.split(b","))


def takes_gzip(header: bytes) -> bool:
    """Whether Accept-Encoding allows gzip: by its name, else by `*`; a weight of 0 is a no."""
    weights = {}
    for one in header.lower().split(b","):
        name, _, rest = one.partition(b";")
        weights[name.strip()] = rest.replace(b" ", b"").rstrip(b"0") not in (b"q=", b"q=0.")
    return weights.get(b"gzip", weights.get(b"*", False))
