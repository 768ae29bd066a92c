"""People who use a real service through its doors, and a raw search for what is left of some of them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from sqlalchemy import Engine, func, select

from app import db, tables
from tests.conftest import Clicktrail, wait_until

BATCH = 500  # events of one request


@dataclass(frozen=True)
class Human:
    """Somebody whose every identifier holds a token of their own."""

    token: str

    @property
    def cookie(self) -> str:
        return f"6a000000.{hashlib.md5(self.token.encode()).hexdigest()}"  # noqa: S324 (no secret)

    @property
    def email(self) -> str:
        return f"{self.token}@example.com"

    def identifiers(self) -> dict[str, str]:
        return {"visitor_id": f"vis-{self.token}", "user_id": f"usr-{self.token}"}

    def events(self) -> Iterator[dict[str, Any]]:
        """What a backend tells of them; one event is refused, and one kept aside."""
        who, order = self.identifiers(), f"ord-{self.token}"
        page = {"url": f"https://shop.example/?u={self.token}", "user_agent": f"Mozilla/5.0 ({self.token})"}
        visitor = {"visitor_id": who["visitor_id"]}
        yield {"kind": "click", "id": f"clk-{self.token}", "campaign": "spring", **visitor, **page}
        yield {"kind": "lead", "id": f"lead-{self.token}", "email": self.email, **who, **page}
        yield {"kind": "sale", "id": f"sale-{self.token}", "order_id": order, "value": "20.00",
               "currency": "EUR", **visitor, **page}  # fmt: skip
        yield {
            "kind": "sale",
            "id": f"sale-{self.token}",
            "order_id": order,
            "value": "21.00",
            "currency": "EUR",
            **visitor,
        }  # fmt: skip  (another content under one id: kept aside)
        yield {
            "kind": "sale",
            "id": f"bad-{self.token}",
            "order_id": order,
            "value": "x",
            "currency": "EUR",
            **who,
        }  # fmt: skip  (refused, and kept)
        yield {"kind": "refund", "id": f"back-{self.token}", "order_id": order, "value": "5.00",
               "currency": "EUR"}  # fmt: skip

    def marks(self) -> list[bytes]:
        """What any trace of them would hold."""
        digest = hashlib.sha256(self.email.encode()).hexdigest()
        return [self.token.encode(), digest.encode(), self.cookie.partition(".")[2].encode()]


def crowd(count: int) -> list[Human]:
    return [Human(hashlib.sha256(f"human {i}".encode()).hexdigest()[:20]) for i in range(count)]


def live(service: Clicktrail, people: Sequence[Human]) -> None:
    """Let the backend tell of all of them."""
    with service.client("server") as client:
        told = [event for human in people for event in human.events()]
        for start in range(0, len(told), BATCH):
            answer = client.post("/v1/events", json={"events": told[start : start + BATCH]})
            assert answer.status_code in (200, 202), answer.text


def browse(service: Clicktrail, people: Iterable[Human]) -> list[bytes]:
    """Let them click an ad and land, with cookies of ours; returns the click ids that they were given."""
    given = []
    with service.client() as client:
        for human in people:
            headers = {"cookie": f"ct_id={human.cookie}", "user-agent": f"Mozilla/5.0 ({human.token})"}
            clicked = client.get("/c/spring", headers=headers)
            landed = clicked.headers["location"]
            given.append(parse_qs(urlsplit(landed).query)["ct_click"][0].encode())
            body = {
                "k": service.keys["public"],
                "events": [{"kind": "visit", "url": landed, **human.identifiers()}],
            }
            assert client.post("/collect", json=body, headers=headers).status_code < 300
    return given


def prepared(service: Clicktrail) -> None:
    with service.client("admin") as admin:
        made = {"slug": "spring", "name": "Spring", "landing_url": "https://shop.example/"}
        assert admin.post("/v1/campaigns", json=made).status_code == 201


def drained(service: Clicktrail, engine: Engine, *, events: int, rejected: int) -> None:
    """Wait until so many events and rejected records are stored, and everything is settled."""

    def settled() -> bool:
        with db.reading(engine) as connection:
            rows = [
                connection.scalar(select(func.count()).select_from(table)) or 0
                for table in (tables.events, tables.rejected)
            ]
            left = [connection.execute(select(t)).first() for t in (tables.changes, tables.due)]
        return rows[0] >= events and rows[1] >= rejected and left == [None, None]

    wait_until(settled, seconds=1200)


def erased(client: httpx.Client, named: Iterable[dict[str, str]]) -> list[dict[str, Any]]:
    """Ask for all of them, and wait until the service says that it is done; what it says of each."""
    asked = []
    for one in named:
        answer = client.post("/v1/person/erase", json=one)
        assert answer.status_code == 202, answer.text
        asked.append(answer.json()["id"])

    def told() -> list[dict[str, Any]]:
        return [client.get(f"/v1/person/erasures/{id_}").json() for id_ in asked]

    wait_until(lambda: all(one["state"] == "done" for one in told()), seconds=1200)
    return told()


def left(folder: Path, marks: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """(file, mark) of every mark that stands anywhere in the bytes of any file."""
    wanted = list(marks)
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            found += [(path.name, mark) for mark in wanted if mark in data]
    return found


def left_in_rows(engine: Engine, marks: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """(table, mark) of every mark that stands in a row."""
    wanted, found = list(marks), []
    with db.reading(engine) as connection:
        for table in tables.metadata.sorted_tables:
            held = repr(connection.execute(select(table)).all()).encode()
            found += [(table.name, mark) for mark in wanted if mark in held]
    return found
