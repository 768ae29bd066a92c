"""S6 and S10: who may use which route, and what answers carry, are two files that somebody agreed to."""

from typing import get_args

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from app import deps
from app.model import Caller
from tests.conftest import Clicktrail
from tests.security import inventory
from tests.security.tenants import Town


def listed_paths() -> set[str]:
    lines = inventory.ACCESS.read_text().splitlines()
    return {line.split()[0] for line in lines if not line.startswith("#")}


def test_who_gets_in_where_is_what_the_file_says(fresh_town: Town) -> None:
    assert inventory.access(fresh_town) == inventory.ACCESS.read_text(), inventory.HOW_TO


def test_every_route_and_what_its_answers_carry_is_what_the_file_says(fresh_town: Town) -> None:
    assert inventory.routes(fresh_town) == inventory.ROUTES.read_text(), inventory.HOW_TO


def test_a_route_that_nobody_listed_is_found(fresh_town: Town) -> None:
    assert set(inventory.paths(fresh_town.app)) == listed_paths()

    @fresh_town.app.framework.get("/v1/forgotten", include_in_schema=False)
    def forgotten() -> None: ...

    assert set(inventory.paths(fresh_town.app)) == listed_paths() | {"/v1/forgotten"}


def let_everybody_in(patch: pytest.MonkeyPatch, app: FastAPI, workspace: int) -> None:
    """The bug of a route that forgot to ask for a key: everybody is one workspace's administrator."""
    checks = {get_args(kind)[1].dependency for kind in (deps.Admin, deps.Reader)}
    needs = [route.dependant for route in app.routes if isinstance(route, APIRoute)]
    while needs:
        needed = needs.pop()
        needs += needed.dependencies
        if needed.call in checks:
            patch.setattr(needed, "call", lambda **_: Caller(workspace=workspace, scope="admin", key=1))


def test_a_route_that_forgot_its_key_is_found(fresh_town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/v1/conversions/{id}"
    (row,) = inventory.access_rows(fresh_town, [path])
    assert " ".join(row) in {" ".join(line.split()) for line in inventory.ACCESS.read_text().splitlines()}
    let_everybody_in(monkeypatch, fresh_town.app.framework, fresh_town.tenants[0].id)
    assert [*inventory.access_rows(fresh_town, [path])] == [(path, "GET", "-", "yes")]


SHOWN = ["/healthz", "/p.gif", "/c/none", "/collect", "/v1/workspace", "/nowhere", "/docs", "/openapi.json"]


@pytest.mark.parametrize("path", SHOWN)
def test_the_server_does_not_say_what_it_is(clicktrail: Clicktrail, path: str) -> None:
    """Over the wire nothing is added but the date, and nothing names a program or a version."""
    with clicktrail.client() as client:
        answer = client.get(path)
    assert not {"server", "x-powered-by", "via"} & set(answer.headers)
    assert "uvicorn" not in str(answer.headers).lower()
    assert answer.status_code in (200, 401, 404, 405)
    assert "traceback" not in answer.text.lower() and "swagger" not in answer.text.lower()
