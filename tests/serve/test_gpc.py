"""What the service says of Global Privacy Control, at the address where it is asked."""

import json
from datetime import date
from pathlib import Path

from tests.security.tenants import open_town


def test_it_is_said_to_be_honoured_to_everybody_alike(tmp_path: Path) -> None:
    with open_town(tmp_path) as town:
        answer = town.ask("GET", "/.well-known/gpc.json")
        posted = town.ask("POST", "/.well-known/gpc.json")
    said = json.loads(answer.body)
    assert (answer.status, said["gpc"], posted.status) == (200, True, 405)
    assert date.fromisoformat(said["lastUpdate"]) >= date(2026, 11, 28)
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "public, max-age=86400"
    assert answer.header("set-cookie") == ""
