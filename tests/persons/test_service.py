"""The rights of persons at a running service: by HTTP and by the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import engines
from tests.conftest import Clicktrail, wait_until


@pytest.fixture
def admin(clicktrail: Clicktrail) -> Iterator[httpx.Client]:
    with clicktrail.client("admin") as client:
        yield client


def sell(service: Clicktrail, who: str) -> None:
    """One visit and one sale of somebody, stored and settled."""
    told = [
        {"kind": "visit", "visitor_id": f"v-{who}", "email": f"{who}@example.com"},
        {
            "kind": "sale",
            "visitor_id": f"v-{who}",
            "order_id": f"o-{who}",
            "value": "9.00",
            "currency": "EUR",
        },
    ]
    with service.client("server") as client:
        assert client.post("/v1/events", json={"events": told}).status_code == 202
    with service.client("read") as reader:
        wait_until(lambda: reader.get(f"/v1/conversions/o-{who}").status_code == 200)


def command(service: Clicktrail, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *words, "--data", str(service.data)],
        env=os.environ | engines.environment(service.data),
        input=said,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def done(admin: httpx.Client, id_: int) -> dict[str, Any]:
    def told() -> dict[str, Any]:
        found: dict[str, Any] = admin.get(f"/v1/person/erasures/{id_}").json()
        return found

    wait_until(lambda: told()["state"] == "done", seconds=120)
    return told()


def test_a_person_is_found_exported_erased_and_then_not_known(
    clicktrail: Clicktrail, admin: httpx.Client
) -> None:
    sell(clicktrail, "dora")
    mine = {"email": " Dora@Example.com"}
    counts = admin.post("/v1/person/find", json=mine).json()["counts"]
    assert (counts["events"], counts["conversions"]) == (1, 1)
    told = admin.post("/v1/person/export", json=mine)
    assert "o-dora" in told.text
    assert "dora@example.com" not in told.text.lower()
    asked = admin.post("/v1/person/erase", json=mine)
    assert asked.status_code == 202
    assert "Backups" in asked.json()["elsewhere"]
    assert done(admin, asked.json()["id"])["counts"]["events"] == 1
    again = admin.post("/v1/person/export", json=mine)
    assert (again.status_code, again.json()["error"]["code"]) == (404, "person_not_found")
    assert admin.get("/v1/conversions/o-dora").status_code == 404


def test_the_audit_log_tells_of_an_erasure_and_not_of_whom(
    clicktrail: Clicktrail, admin: httpx.Client
) -> None:
    id_ = admin.post("/v1/person/erase", json={"user_id": "emil-who-was-never-here"}).json()["id"]
    assert set(done(admin, id_)["counts"].values()) == {0}
    (line,) = [
        one
        for one in admin.get("/v1/audit-log", params={"object": "person"}).json()["items"]
        if one["after"] == {"erasure": id_}
    ]
    assert line["action"] == "erase"
    assert "emil" not in json.dumps(line)
    assert "emil" not in clicktrail.log()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "person_unclear"),
        ({"user_id": "a", "visitor_id": "b"}, "person_unclear"),
        ({"user_id": "a", "store": "no"}, "person_unclear"),
        ({"email": "nobody"}, "email_invalid"),
        ({"user_id": ""}, "field_invalid"),
        ({"name": "Anna"}, "field_unknown"),
    ],
)
def test_who_is_not_named_clearly_is_not_looked_for(
    admin: httpx.Client, body: dict[str, str], code: str
) -> None:
    for path in ("find", "export", "erase"):
        answer = admin.post(f"/v1/person/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_the_retention_report_lists_every_class_and_nothing_past_its_time(admin: httpx.Client) -> None:
    classes = admin.get("/v1/retention").json()["classes"]
    assert {one["what"]: one["past"] for one in classes} == {
        "raw events": 0, "visitor cookie": 0, "receipts": 0, "rejected records": 0, "audit log": 0,
        "who sends, by the hour": 0, "who sends, by the day": 0, "salt of visitors without cookies": 0,
        "leads and sales": 0, "identities": 0, "books (credits, bookings, totals) and digests of ids": 0,
    }  # fmt: skip
    assert [one["kept"] for one in classes][:4] == [
        "25 whole months",
        "395 days, in the browser",
        "7 days",
        "90 days",
    ]


def test_the_command_line_does_the_same(clicktrail: Clicktrail) -> None:
    sell(clicktrail, "frida")
    told = command(clicktrail, "person", "export", "--email", "-", said="frida@example.com\n")
    assert [one["order_id"] for one in json.loads(told.stdout)["conversions"]] == ["o-frida"]
    dry = command(clicktrail, "person", "erase", "--visitor-id", "v-frida", "--dry-run")
    assert (dry.returncode, "1 conversions" in dry.stdout) == (0, True)
    assert command(clicktrail, "person", "erase", "--visitor-id", "v-frida", said="n\n").returncode == 1
    assert command(clicktrail, "person", "find", "--visitor-id", "v-frida").returncode == 0
    gone = command(clicktrail, "person", "erase", "--visitor-id", "v-frida", "--yes")
    assert (gone.returncode, "is done" in gone.stdout) == (0, True)
    missing = command(clicktrail, "person", "find", "--visitor-id", "v-frida")
    assert (missing.returncode, missing.stderr) == (1, "Nothing is held under this identifier.\n")
    unclear = command(clicktrail, "person", "find", "--visitor-id", "v", "--user-id", "u")
    assert (unclear.returncode, "exactly one identifier" in unclear.stderr) == (2, True)
    assert "0 past their time" in command(clicktrail, "retention").stdout
