"""S18: fields that are the server's own, sent by somebody else, have no effect."""

from pathlib import Path
from typing import Any

import msgspec

from app import tables
from app.collect.openapi import OPERATIONS
from app.workspaces import WorkspaceSettings
from tests.security import inventory
from tests.security.tenants import Town, events

#: Everything an Event has that a public sender may not say, with a value that would matter.
OWNED: dict[str, Any] = {
    "workspace": 2, "workspace_id": 2, "door": "api", "received_at": 1, "stated_at": 1, "no": 7,
    "cookie_id": "x", "key_digest": "0" * 64, "hints": ["paused"], "ip": "192.0.2.1",
    "user_agent": "x", "country": "NO",
    "status": "approved", "payout": 5, "cost_of_goods": 5, "verified": 1, "is_bot": False, "billable": True,
    "flags": 0, "person": 3, "visitor": 3, "state": 2, "initial_state": 2, "setbacks": 0, "credit_version": 9,
    "refunded": 1, "reported": 1, "fx": "1", "conversion": 1, "scope": "admin", "key": "x", "test_": True,
}  # fmt: skip


def test_fields_of_the_servers_own_are_ignored_at_public_doors(fresh_town: Town, tmp_path: Path) -> None:
    key = fresh_town.tenants[0].keys["public"]
    plain = {"kind": "sale", "value": "5", "currency": "EUR"}
    for said in ({}, OWNED, *({name: value} for name, value in OWNED.items())):
        body = {"k": key, "events": [plain | said], "context": said, **{f"_{n}": v for n, v in said.items()}}
        assert fresh_town.ask("POST", "/collect", json_=body).status == 202, said
        query = "&".join(
            f"{n}={v}" for n, v in {"k": key, "e": "sale", "v": 5, "cur": "EUR", **said}.items() if n != "key"
        )
        assert fresh_town.ask("GET", f"/p.gif?{query}").header("x-clicktrail") == "accepted"
    found = [event for event in events(tmp_path) if event.door in ("beacon", "pixel")]
    assert len(found) == 2 * (len(OWNED) + 2)
    own = {"received_at": 0, "occurred_at": 0, "no": 0, "cookie_id": ""}
    assert len({msgspec.json.encode(msgspec.structs.replace(event, **own)) for event in found}) == 2


def test_a_field_that_nobody_may_set_is_refused_by_management(town: Town) -> None:
    """Columns of the tables that no shape has: each is refused by name, at each route that takes a body."""
    key = town.tenants[0].keys["admin"]
    columns = {column.name for table in tables.metadata.sorted_tables for column in table.c}
    takes = [(m, p) for p in inventory.paths(town.app) if p.startswith("/v1/") and p not in OPERATIONS
             for m in inventory.methods(town, p) if m in ("POST", "PUT", "PATCH")]  # fmt: skip
    assert len(takes) > 15
    for method, path in takes:
        before = town.belongings(town.tenants[0])
        for name in ("id", "workspace", "created_at", "archived_at", "secret", "digest", "known", "version"):
            assert name in columns
            body = inventory.body_of(method, path, town.tenants[0]) or {}
            target = inventory.filled(path, town.tenants[0])
            answer = town.ask(method, target, key=key, json_=body | {name: 1})
            assert answer.status in (400, 422), (method, path, name, answer.body)
            assert name in answer.body.decode(), (method, path, name)
        assert town.belongings(town.tenants[0]) == before, path


def test_settings_of_a_workspace_are_those_that_stand_in_its_shape(town: Town) -> None:
    """What is JSON in the row grows with a release, not with a request."""
    shown = town.ask("GET", "/v1/workspace", key=town.tenants[0].keys["admin"]).json
    assert set(shown) == {"slug", "name", "timezone", "reporting_currency", "week_start"} | set(
        WorkspaceSettings.__struct_fields__
    )
