"""S5: what belongs to one workspace does not exist for another, whichever route and key asks for it.

An answer about another's thing must be the very answer about a thing that nobody has: no 403 that says
"it is there", and no message, header or field by which the two could be told apart.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest

from app import tables
from tests.security import inventory
from tests.security.inventory import SCOPES
from tests.security.tenants import Answer, Tenant, Town
from tests.security.test_access import let_everybody_in

#: What nobody has, in the form of what somebody has.
NOBODYS = {
    "slug": "of-nobody", "key": "999999", "deal": "999999", "order": "order-nobody", "rejected": "999999",
    "receipt": "A" * 55, "block": "999999", "erasure": "999999", "conversion": "cv_00000000000f423f",
}  # fmt: skip


def asked(town: Town) -> list[tuple[str, str]]:
    """(method, path) of every route that names a thing, by its path or in its body."""
    of_a_thing = [path for path in inventory.paths(town.app) if "{" in path]
    in_a_body = ("/v1/rejected/replay", "/v1/person/find", "/v1/person/export")
    return [(m, path) for path in (*of_a_thing, *in_a_body) for m in inventory.methods(town, path)]


def told(answer: Answer, owner: Tenant) -> tuple[int, object, str]:
    """An answer without the name of the thing it is about."""
    text = answer.body.decode()
    for name in sorted(owner.things.values(), key=len, reverse=True):
        text = text.replace(name, "(name)")
    return answer.status, [header for header in answer.headers if header[0] != "content-length"], text


def leaks(town: Town, among: Sequence[tuple[str, str]]) -> list[str]:
    """Every answer by which another's thing can be told from nobody's."""
    found = []
    for method, path in among:
        way = "k=" if path.startswith("/c/") else "bearer"
        for owner, asker, scope in product(town.tenants, town.tenants, SCOPES):
            if asker is owner:
                continue
            nobody = replace(owner, things=NOBODYS)
            pair = [inventory.request(method, path, of, way, asker.keys[scope]) for of in (owner, nobody)]
            theirs, nothing = town.ask_all(pair)
            if told(theirs, owner) != told(nothing, nobody):
                found.append(f"{method} {path}: {scope} of {asker.name} about {owner.name}")
    return found


def test_another_workspaces_things_do_not_exist(fresh_town: Town) -> None:
    before = [fresh_town.belongings(tenant) for tenant in fresh_town.tenants]
    assert len(asked(fresh_town)) > 25
    assert leaks(fresh_town, asked(fresh_town)) == []
    assert [fresh_town.belongings(tenant) for tenant in fresh_town.tenants] == before


def test_a_service_that_mistakes_one_workspace_for_another_is_found(
    fresh_town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_everybody_in(monkeypatch, fresh_town.app.framework, fresh_town.tenants[0].id)
    found = leaks(fresh_town, [("GET", "/v1/conversions/{id}"), ("PATCH", "/v1/campaigns/{slug}")])
    assert "GET /v1/conversions/{id}: read of cedar about birch" in found
    assert "PATCH /v1/campaigns/{slug}: public of maple about birch" in found


def test_lists_hold_nothing_of_another_workspace(town: Town) -> None:
    for tenant in town.tenants:
        others = [other for other in town.tenants if other is not tenant]
        words = [word for other in others for word in (other.name, *other.things.values())]
        names = {word for word in words if not word.isdigit()}
        for path in inventory.paths(town.app):
            if path.startswith("/v1/") and "{" not in path:
                query = "?metrics=clicks" if path == "/v1/metrics" else ""
                answer = town.ask("GET", path + query, key=tenant.keys["admin"])
                assert not [name for name in names if name in answer.body.decode()], path


def test_another_workspaces_names_inside_a_body_mean_nothing(town: Town) -> None:
    """A campaign, conversion or click of another that is named is an unknown one of its own, or refused."""
    one, other, _ = town.tenants
    theirs = other.things["slug"]
    before = town.belongings(other)
    conversion = f"cv_{other.id:016x}"
    spend = {"date": "2026-11-01", "campaign": theirs, "amount": 1, "currency": "EUR"}
    said = {
        "/v1/spend": {"rows": [spend]},
        "/v1/events": {"kind": "status", "conversion_id": conversion, "status": "rejected"},
        "/v1/campaigns": {"slug": "new", "channel": theirs},
    }
    for path, body in said.items():
        assert town.ask("POST", path, key=one.keys["admin"], json_=body).status < 500
    landing = town.ask("GET", f"/c/{theirs}?k={other.keys['public']}").header("location")
    click = landing.partition("ct_click=")[2]
    assert len(click) == 67
    refused = town.ask("GET", f"/postback?key={one.keys['server']}&click_id={click}")
    assert refused.status == 400 and refused.body.startswith(b"click_id_unknown")
    assert town.belongings(other) == before
    (row,) = town.rows(tables.conversions, workspace=other.id)
    assert row["state"] == 1


def test_the_same_slugs_may_stand_in_two_workspaces(town: Town) -> None:
    one, other, _ = town.tenants
    key = other.keys["admin"]
    made = town.ask("POST", "/v1/partners", key=key, json_={"slug": one.things["slug"], "name": "theirs"})
    assert made.status == 201
    assert town.ask("GET", f"/v1/partners/{one.things['slug']}", key=key).json["name"] == "theirs"
    own = town.ask("GET", f"/v1/partners/{one.things['slug']}", key=one.keys["admin"])
    assert own.json["name"] == ""
