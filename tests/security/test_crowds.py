"""Many at once: more requests than the web process has threads wait for a turn, and hold none meanwhile."""

import json
import time
from collections.abc import Callable

import pytest

from app import deps
from tests.security import inventory, tenants
from tests.security.tenants import Request, Town

MANY = 100  # forty threads, fifteen connections


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_crowd_of_requests_does_not_lock_itself_out(
    fresh_town: Town, method: str, report: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread held by one that waits for the database is one less for those whom it waits for."""
    monkeypatch.setattr(tenants, "AT_ONCE", MANY)
    auth = inventory.HEADERS["bearer"](fresh_town.tenants[0].keys["admin"])
    bodies = [json.dumps({"slug": f"p{number}"}).encode() for number in range(MANY)]
    started = time.monotonic()
    answers = fresh_town.ask_all([Request(method, "/v1/partners", [auth], body) for body in bodies])
    took = time.monotonic() - started
    done = [answer for answer in answers if answer.status in (200, 201)]
    busy = [answer for answer in answers if answer.status == 503]
    assert len(done) + len(busy) == MANY and len(done) > deps.DESKS
    assert {answer.json["error"]["code"] for answer in busy} <= {"management_busy"}
    report(f"{MANY} management requests ({method}) at once: {len(done)} done, {len(busy)} busy, {took:.1f} s")
