"""S15: what is secret or personal is nowhere to be found after a full run: every file of the service, its
log, its counters and its answers are searched for twenty things that were sent to it, in every spelling.

The addresses of visitors are among them (P2): what is on the disk is cut to their networks.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from sqlalchemy import select

from app import db, tables
from tests import engines
from tests.conftest import Clicktrail, wait_until

OWN_KEY = "operators-own-admin-key-" + "x7" * 8

#: What is planted, by what it is. Keys of the service come on top.
PLANTED: dict[str, str] = {
    "e-mail in its field": "planted.mail@private.example",
    "e-mail in its field, in capitals": "PLANTED.UPPER@Private.Example",
    "e-mail in a page's address": "planted.url@private.example",
    "e-mail in a page's address, encoded": "planted.enc@private.example",
    "e-mail in a referrer": "planted.ref@private.example",
    "e-mail in the path of an address": "planted.path@private.example",
    "e-mail in a refused event": "planted.refused@private.example",
    "e-mail in a link": "planted.link@private.example",
    "e-mail before consent": "planted.denied@private.example",
    "phone": "4722334455",
    "phone in a refused event": "4799887766",
    "address of a visitor, told by a backend": "198.51.100.217",
    "address of a visitor, IPv6": "2001:db8:85a3:8d3:1319:8a2e:370:7348",
    "address of a visitor, told by a proxy": "203.0.113.189",
    "address in a refused event": "192.0.2.77",
    "password in a page's address": "hunter2planted",
    "unknown key": "ct_srv_" + "planted0unknown1key2",
    "key in a wrong place": "ct_adm_" + "planted0wrong1place2",
    "visitor who denied": "visitor-planted-denied",
    "user who denied": "user-planted-denied",
    "click id of a platform, denied": "gclid-planted-denied",
}


PAGE = "e-mail in a page's address"


def spellings(secret: str) -> set[bytes]:
    """The ways in which a text may have been written down."""
    plain = {secret, secret.lower(), secret.upper(), quote(secret, safe=""), secret.replace("@", "%40")}
    raw = {one.encode() for one in plain}
    return raw | {
        secret.encode().hex().encode(),
        base64.b64encode(secret.encode()),
        secret.encode("utf-16-le"),
    }


def found_in(content: bytes, secrets: dict[str, str]) -> list[str]:
    return [what for what, secret in secrets.items() if any(one in content for one in spellings(secret))]


def send_everything(service: Clicktrail, client: httpx.Client) -> None:
    """Each of the planted, where it belongs and where it does not, at every door."""
    p = PLANTED
    user, path = p["password in a page's address"], p["e-mail in the path of an address"]
    query = {"m": p["e-mail in a page's address, encoded"]}
    page = f"https://user:{user}@shop.example/a/{path}?n={p[PAGE]}&{urlencode(query)}"
    referrer = f"https://mail.example/?to={p['e-mail in a referrer']}"
    common = {"url": page, "referrer": referrer, "email": p["e-mail in its field"], "phone": "+" + p["phone"]}
    denied = {
        "consent": {"measure": False}, "email": p["e-mail before consent"],
        "visitor_id": p["visitor who denied"], "user_id": p["user who denied"],
        "click_ids": {"gclid": p["click id of a platform, denied"]},
    }  # fmt: skip
    mail, ip = p["e-mail in a refused event"], p["address in a refused event"]
    refused = {
        "kind": "sale", "value": "x", "email": mail, "ip": ip, "phone": p["phone in a refused event"],
        "url": f"https://a.example/?e={mail}", "utm": {"source": mail},
    }  # fmt: skip
    visitors = (p["address of a visitor, told by a backend"], p["address of a visitor, IPv6"])
    events = [
        *({"kind": "visit", "ip": ip, "user_agent": "Mozilla/5.0", **common} for ip in visitors),
        {"kind": "sale", "order_id": "o1", "value": "5", "currency": "EUR", **common},
        {"kind": "lead", **common, "email": p["e-mail in its field, in capitals"]},
        {"kind": "visit", **common, **denied}, refused,
    ]  # fmt: skip
    proxied = {"X-Forwarded-For": p["address of a visitor, told by a proxy"], "Referer": referrer}
    told = client.post("/v1/events?wait=stored", json={"events": events}, headers=service.as_("server"))
    assert told.json()["accepted"] == 5, told.text
    body = {
        "k": service.keys["public"],
        "events": [{"kind": "visit", **common}, {"kind": "visit", **denied}, refused],
    }
    assert client.post("/collect", json=body, headers=proxied).json()["accepted"] == 2
    fields = {"k": service.keys["public"], "e": "visit", "url": page, "r": referrer}
    assert client.get("/p.gif", params=fields, headers=proxied).headers["x-clicktrail"] == "accepted"
    link = {
        "sub1": p["e-mail in a link"],
        "utm_source": p["e-mail in a link"],
    }
    assert client.get("/c/spring", params=link, headers=proxied).status_code == 302
    for key in (p["unknown key"], p["key in a wrong place"], service.keys["read"]):
        client.get("/p.gif", params={"k": key, "e": "visit"})
        client.get("/postback", params={"key": key, "txid": "1"})
        client.get("/c/spring", params={"k": key})
        client.post("/collect", json={"k": key, "events": [{"kind": "visit"}]})
        client.get(f"/v1/{key}", headers={"Authorization": f"Bearer {key}"})
    bad = {"key": service.keys["server"], "txid": "1", "value": "x"}
    assert client.get("/postback", params=bad).status_code == 400


def answers(service: Clicktrail, client: httpx.Client) -> Iterator[bytes]:
    """What may be read: counters, reports, exports, lists."""
    admin = {"Authorization": f"Bearer {OWN_KEY}"}
    paths = (
        "/metrics", "/readyz", "/v1/conversions", "/v1/conversions/o1", "/v1/conversions/o1/why",
        "/v1/rejected", "/v1/audit-log", "/v1/keys", "/v1/workspace", "/v1/campaigns", "/v1/partners",
        "/v1/metrics?metrics=clicks,sales,visits&dimensions=source,campaign&format=csv&date_range=7d",
    )  # fmt: skip
    for path in paths:
        answer = client.get(path, headers=admin)
        assert answer.status_code == 200, (path, answer.text)
        yield answer.content


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the service, write-ahead logs and what it logged included."""
    for file in (*sorted(folder.rglob("*")), folder.parent / f"{folder.name}.log"):
        if file.is_file():
            yield file.name, file.read_bytes()


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Its files, and every row of every table, wherever the database is."""
    yield from files(folder)
    engine = db.connect(engines.url(folder), pool=1)
    with db.reading(engine) as connection:
        for table in tables.metadata.sorted_tables:
            rows: Sequence[Any] = connection.execute(select(table)).all()
            # As tuples: rows show long values of theirs cut in the middle.
            yield table.name, repr([tuple(row) for row in rows]).encode()
    engine.dispose()


@pytest.fixture
def service(start_clicktrail: Callable[..., Clicktrail]) -> Clicktrail:
    """With a proxy that it believes, so that what the proxy tells is used; its first keys are made here."""
    service = start_clicktrail(
        CLICKTRAIL_ADMIN_KEY=OWN_KEY, CLICKTRAIL_TRUSTED_PROXIES="127.0.0.1/32", CLICKTRAIL_LOG_LEVEL="debug"
    )
    with service.client() as client:
        for scope in ("public", "server", "read", "admin"):
            made = client.post(
                "/v1/keys", json={"scope": scope}, headers={"Authorization": f"Bearer {OWN_KEY}"}
            )
            service.keys[scope] = made.json()["key"]
        landing = {"slug": "spring", "landing_url": "https://shop.example/"}
        client.post("/v1/campaigns", json=landing, headers=service.as_("admin"))
    return service


def test_nothing_secret_or_personal_is_found_anywhere(
    service: Clicktrail, report: Callable[[str], None]
) -> None:
    secrets = (
        PLANTED | {f"{scope} key": key for scope, key in service.keys.items()} | {"operator's key": OWN_KEY}
    )
    with service.client() as client:
        send_everything(service, client)
        wait_until(lambda: len(client.get("/v1/rejected", headers=service.as_("admin")).json()["items"]) >= 3)
        told = [found for content in answers(service, client) for found in found_in(content, secrets)]
        running = [(name, found_in(content, secrets)) for name, content in written(service.data)]
    service.stop()
    stopped = [(name, found_in(content, secrets)) for name, content in written(service.data)]
    assert told == []
    assert [(name, found) for name, found in (*running, *stopped) if found] == []
    files = len(running) + len(stopped)
    report(f"S15: {len(secrets)} secrets and personal data searched in {files} files and tables: 0 found")


@pytest.mark.parametrize("what", PLANTED)
def test_a_leak_is_found_however_it_is_written_down(tmp_path: Path, what: str) -> None:
    """Planted: a log that quotes a request, a file of base64, a hexadecimal dump."""
    secret = PLANTED[what]
    (tmp_path / "data").mkdir()
    for number, text in enumerate(
        (f'{{"body": "{secret}"}}', f"?m={quote(secret, safe='')}", secret.encode().hex())
    ):
        (tmp_path / "data" / f"{number}.wal").write_text(text)
    (tmp_path / "data.log").write_bytes(base64.b64encode(secret.encode()))
    found = [name for name, content in files(tmp_path / "data") if what in found_in(content, PLANTED)]
    assert found == ["0.wal", "1.wal", "2.wal", "data.log"]
