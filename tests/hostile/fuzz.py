"""Any bytes as a query: the pixel answers with its GIF, and a redirect leads where the campaign lets it.

    python -m tests.hostile.fuzz -runs=1000000      coverage-guided, for as long as one likes (atheris)

`Doorstep.check` is one trial: `test_any_query.py` makes some hundreds with hypothesis. The doors are real;
what they would write is encoded as for the inbox, and decoded again as the pipeline does.
"""

import asyncio
import sys
from pathlib import Path
from types import FunctionType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from app.collect.click import click
from app.collect.door import Doors
from app.collect.pixel import GIF, pixel
from app.model import Record
from app.salt import Salts
from app.workspaces import Ad, Campaign, Snapshot, Snapshots, Workspace, WorkspaceSettings, digest

NOW = 1_790_000_000_000_000
HOSTS = {"shop.example", "offers.example", "a.partner.example"}  # that may be led to
KEY = b"k=ct_pub_one&"

#: How a trial begins, chosen by its first byte: door, path, query before the bytes, headers.
BEGINNINGS: tuple[tuple[Any, str, bytes, tuple[tuple[bytes, bytes], ...]], ...] = (
    (pixel, "/p.gif", b"", ()),
    (pixel, "/p.gif", KEY, ()),
    (pixel, "/p.gif", KEY + b"e=sale&tx=1&cur=EUR&v=", ()),
    (pixel, "/p.gif", KEY + b"e=order&consent=0&", ((b"cookie", b"ct_id=0.0"),)),
    (pixel, "/p.gif", KEY + b"e=click&t=", ()),
    (click, "/c/spring", b"", ()),
    (click, "/c/passing/banner", b"", ((b"referer", b"https://a.example/\xff"),)),
    (click, "/c/spring", b"url=https://", ()),
    (click, "/c/passing", b"sub1=", ((b"user-agent", b"\x00\xff"),)),
    (click, "/c/", b"", ()),  # the bytes are the campaign's name
)


class Sink:
    """In place of the inbox: takes everything, if the pipeline could read it."""

    def add(self, record: bytes, kind: str) -> "asyncio.Future[int]":
        msgspec.msgpack.decode(record, type=Record)
        landed = asyncio.get_running_loop().create_future()
        landed.set_result(1)
        return landed

    def append_nowait(self, record: bytes) -> None:
        msgspec.msgpack.decode(record, type=Record)


def campaign(number: int, slug: str, *, passing: bool) -> Campaign:
    return Campaign(
        id=number,
        slug=slug,
        status="active",
        landing_url="https://shop.example/{campaign}?s={sub1}&m={utm_source}&p={partner}#{sub2}",
        fallback_url="",
        allowed_hosts=["offers.example", "*.partner.example"],
        pass_parameters=passing,
        starts_on=None,
        ends_on=None,
        ads={"banner": Ad(70, "https://shop.example/banner/{click_id}/{sub3}")},
    )


class Doorstep:
    """The doors of one workspace, and trials of them."""

    def __init__(self) -> None:
        snapshots = Snapshots(Path("nowhere"), clock=lambda: NOW)
        snapshots._confirmed_at = NOW
        campaigns = (campaign(7, "spring", passing=False), campaign(9, "passing", passing=True))
        house = Workspace(
            id=1,
            slug="main",
            timezone="Asia/Tehran",
            reporting_currency="EUR",
            secret=bytes(32),
            settings=WorkspaceSettings(),
            goals={"order": "sale"},
            campaigns={one.slug: one for one in campaigns},
            partners={"anna": 5},
        )
        keys = {digest("ct_pub_one"): (1, 1, "public")}
        snapshots.current = Snapshot(version=1, first=1, keys=keys, hosts={}, workspaces={1: house})
        self.doors = Doors(
            inbox=Sink(), snapshots=snapshots, outcomes=None, clock=lambda: NOW, salts=Salts(Path("/nowhere"))
        )
        self.loop = asyncio.new_event_loop()

    def check(self, data: bytes) -> None:
        """One trial: AssertionError, or whatever a door raises, is a bug."""
        door, path, before, headers = BEGINNINGS[data[0] % len(BEGINNINGS)] if data else BEGINNINGS[0]
        said = data[1:]
        if path == "/c/":
            raw = path.encode() + said
            path, said = raw.decode("utf-8", "replace"), b""
        else:
            raw = path.encode()
        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": raw,
            "query_string": before + said,
            "headers": [(b"host", b"t.example"), *headers],
            "client": ("203.0.113.77", 4711),
        }
        start, body = self.loop.run_until_complete(self._answer(door, scope))
        if door is pixel:
            assert (start["status"], body) == (200, GIF), scope
        else:
            assert start["status"] in (302, 404), scope
        for name, value in start["headers"]:
            assert not set(name + value) & {0, 10, 13}, (name, value)
            if name == b"location":
                assert urlsplit(value.decode("ascii")).hostname in HOSTS, value

    async def _answer(self, door: Any, scope: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await door(self.doors, scope, None, send)
        start, *bodies = sent
        return start, b"".join(one.get("body", b"") for one in bodies)


def main() -> None:
    import atheris

    step = Doorstep()
    for module in [module for name, module in sys.modules.items() if name.startswith("app.collect.")]:
        for name, value in list(vars(module).items()):
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                setattr(module, name, atheris.instrument_func(value))
    atheris.Setup(sys.argv, step.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
