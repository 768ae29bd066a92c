"""GET /.well-known/gpc.json: this service honours Global Privacy Control (the W3C's note of that name)."""

from app.collect.door import ASGIScope, Doors, Receive, Send, only, to_json

#: The day on which what is said here was last changed.
SAID = to_json({"gpc": True, "lastUpdate": "2026-11-28"})

_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(SAID)),
    (b"cache-control", b"public, max-age=86400"),
    (b"x-content-type-options", b"nosniff"),
]


async def gpc(_doors: Doors, scope: ASGIScope, _receive: Receive, send: Send) -> None:
    """The same to everybody, without a look at anything."""
    if scope["method"] not in ("GET", "HEAD"):
        return await only(send, "GET", "HEAD")
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": SAID})
