"""Edits at the same time, of one thing, while events name it: no acknowledged edit is lost.

What the management API promises is PATCH by field: what is left out stays, whoever else is changing it just
then. There are no versions to present; of two who set the same field the later one stands. So every
acknowledged edit must be in the audit log, once, where each entry begins with what the one before left, and
the thing must be what the last entry says.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import db, tables
from app.admin import workspace
from app.campaigns import changes
from tests import engines
from tests.conftest import Clicktrail, wait_until
from tests.house import NOON, House

Edit = tuple[str, Any]  # a field, and what it was set to
EDITS = 12  # of each editor

#: Each editor has a field of its own, so that an edit that is lost was another's to lose; and each value
#: differs from the one before, so that each edit is an entry.
CAMPAIGN: Mapping[str, Callable[[int], Any]] = {
    "name": lambda n: f"Name {n}",
    "landing_url": lambda n: f"https://shop.example/{n}",
    "fallback_url": lambda n: f"https://shop.example/else/{n}",
    "windows": lambda n: {"click": n + 1.0},
    "status": lambda n: ("paused", "active")[n % 2],
}
WORKSPACE: Mapping[str, Callable[[int], Any]] = {
    "half_life_hours": lambda n: n + 1000,
    "billing_window": lambda n: n + 100.0,
    "fx_max_age_days": lambda n: n + 100,
    "join_limit": lambda n: n + 500,
}


def lost(done: Sequence[Edit], log: Sequence[Mapping[str, Any]], standing: Mapping[str, Any]) -> list[str]:
    """What an audit log (oldest first) cannot explain: acknowledged edits that it lacks or has twice, entries
    that do not begin where the last one ended, and a thing that is not what the last of them left."""
    found = []
    for one, following in pairwise(log):
        if following["before"] != one["after"]:
            names = [n for n in one["after"] if one["after"][n] != following["before"][n]]
            found.append(f"entry {following['id']} does not begin where {one['id']} ended: {names}")
    made = Counter(
        (name, repr(entry["after"][name]))
        for entry in log
        if entry["before"] is not None
        for name in entry["after"]
        if entry["after"][name] != entry["before"][name]
    )
    for edit, times in Counter((name, repr(value)) for name, value in done).items():
        if made[edit] != times:
            found.append(f"{edit} was acknowledged {times} times and made {made[edit]} times")
    if log and log[-1]["after"] != standing:
        found.append("the last entry is not what stands")
    return found


def race(work: Mapping[str, Callable[[int], Edit]]) -> list[Edit]:
    """Every editor at once, each its edits one after the other; what was acknowledged."""
    with ThreadPoolExecutor(len(work)) as threads:
        jobs = [threads.submit(lambda edit=edit: [edit(n) for n in range(EDITS)]) for edit in work.values()]
        return [edit for job in jobs for edit in job.result()]


def test_concurrent_edits_of_a_campaign_that_events_name_are_all_made(
    clicktrail: Clicktrail, report: Callable[[str], None]
) -> None:
    with clicktrail.client("admin") as client, clicktrail.client("server") as server:

        def tell(start: int) -> Edit:
            events = [
                {"id": f"race-{start}-{n}", "kind": "impression", "campaign": "race", "ad": f"a{n}"}
                for n in range(20)
            ]
            assert server.post("/v1/events", json={"events": events}).json()["accepted"] == 20
            return "", start

        def patching(field: str, value: Callable[[int], Any]) -> Callable[[int], Edit]:
            def patch(n: int) -> Edit:
                answer = client.patch("/v1/campaigns/race", json={field: value(n)})
                assert answer.status_code == 200, answer.text
                return field, value(n)

            return patch

        def create(n: int) -> Edit:
            said = {"slug": "race", "name": f"Created {n}", "status": "active"}
            return "created", client.post("/v1/campaigns", json=said).status_code

        tell(-1)
        made = [status for _, status in race({str(n): create for n in range(4)})]
        assert Counter(made) == {201: 1, 409: 4 * EDITS - 1}
        work = {field: patching(field, value) for field, value in CAMPAIGN.items()}
        done = [(name, value) for name, value in race({**work, "events": tell}) if name]
        log = client.get("/v1/audit-log", params={"object": "campaigns/race", "limit": 1000}).json()["items"]
        standing = client.get("/v1/campaigns/race").json()
        assert lost(done, log[::-1], standing) == []
        asked = {
            "metrics": ["impressions"], "dimensions": ["campaign"], "date_range": "all",
            "filters": ["is", "campaign", ["race"]],
        }  # fmt: skip

        def counted() -> int:
            answer = client.post("/v1/metrics/query", json=asked)
            assert answer.status_code == 200, answer.text
            return sum(row["impressions"] for row in answer.json()["rows"])

        wait_until(lambda: counted() == 20 * (EDITS + 1))
    report(f"concurrent edits: {len(done)} of {len(CAMPAIGN)} editors, {20 * (EDITS + 1)} events: 0 lost")


def test_concurrent_edits_of_a_workspaces_settings_are_all_made(fresh_clicktrail: Clicktrail) -> None:
    with fresh_clicktrail.client("admin") as client:

        def patching(field: str, value: Callable[[int], Any]) -> Callable[[int], Edit]:
            def patch(n: int) -> Edit:
                answer = client.patch("/v1/workspace", json={field: value(n)})
                assert answer.status_code == 200, answer.text
                return field, value(n)

            return patch

        done = race({field: patching(field, value) for field, value in WORKSPACE.items()})
        log = client.get("/v1/audit-log", params={"object": "workspace", "limit": 1000}).json()["items"]
        assert lost(done, log[::-1], client.get("/v1/workspace").json()) == []


@pytest.mark.skipif(not engines.POSTGRESQL, reason="on SQLite a write transaction is alone whatever we do")
@pytest.mark.parametrize("locked", [True, False])
def test_edits_that_do_not_wait_for_one_another_lose_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    house = House.build(tmp_path)
    if not locked:
        monkeypatch.setattr(changes, "changing_desk", changes.reading_desk)

    @contextmanager
    def desk() -> Any:
        with db.begin(house.engine) as connection:
            yield changes.changing_desk(connection, workspace=1, key=0, now=NOON)

    def patching(field: str, value: Callable[[int], Any]) -> Callable[[int], Edit]:
        def patch(n: int) -> Edit:
            with desk() as at:
                workspace.change(at, {field: value(n)})
            return field, value(n)

        return patch

    done = race({field: patching(field, value) for field, value in WORKSPACE.items()})
    log = [
        {"id": r.id, "before": msgspec.json.decode(r.before), "after": msgspec.json.decode(r.after)}
        for r in sorted(house.rows(tables.audit_log), key=lambda row: row.id)
    ]
    with desk() as at:
        standing = workspace.read(at).model_dump()
    assert (lost(done, log, standing) == []) == locked


def test_the_check_tells_a_lost_edit_from_one_that_was_overwritten() -> None:
    first = {"id": 1, "before": None, "after": {"a": 0, "b": 0}}
    second = {"id": 2, "before": {"a": 0, "b": 0}, "after": {"a": 1, "b": 0}}
    third = {"id": 3, "before": {"a": 1, "b": 0}, "after": {"a": 1, "b": 1}}
    blind = {"id": 3, "before": {"a": 0, "b": 0}, "after": {"a": 0, "b": 1}}
    done = [("a", 1), ("b", 1)]
    assert lost(done, [first, second, third], {"a": 1, "b": 1}) == []
    assert lost(done, [first, second, blind], {"a": 0, "b": 1}) != []
    assert lost(done, [first, third], {"a": 1, "b": 1}) != []
    assert lost(done, [first, second, third], {"a": 1, "b": 0}) != []
