"""A change of the configuration, and everyone who must hear of it.

    people      `record`: audit_log, with the thing before and after and the key that did it
    doors       `record` too: the configuration version grows, so every snapshot is taken anew
    leader      `announce`: a `changes` row of kind "setting", when derived numbers are no longer right

Nothing here commits: the row about a change and the change itself stand or fall together.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel
from pydantic_core import to_json
from sqlalchemy import Connection, select

from app import money, tables, workspaces

#: What a "setting" row says has changed: the first of its three packed numbers.
SETTINGS: dict[str, int] = {
    "zone": 1,  # the workspace's zone: every local day, so every rollup
    "attribution": 2,  # windows, models' parameters, tiers: credits
    "rates": 3,  # exchange rates: reported amounts of conversions in the range
    "folding": 4,  # what makes a conversion of its reports: browser_sales, how goals count
    "joining": 5,  # join_limit: which identifiers may join people
}

#: Configuration carries no history, so a change of it concerns all time: credits stay a pure function of
#: the facts and the configuration that stands.
BEGINNING = 0
END = money.LARGEST


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one caller works: a workspace, in one transaction, at one moment."""

    connection: Connection
    workspace: int
    key: int
    now: int
    zone: str
    currency: str  # the workspace's reporting currency

    @property
    def today(self) -> int:
        return workspaces.local_day(self.zone, self.now)


def reading_desk(connection: Connection, *, workspace: int, key: int, now: int) -> Desk:
    return _desk(connection, workspace=workspace, key=key, now=now)


def changing_desk(connection: Connection, *, workspace: int, key: int, now: int) -> Desk:
    """A desk that holds its workspace: two changes of one workspace never pass each other unseen.

    (On SQLite the write transaction already holds everything; elsewhere the row's lock does.)
    """
    t = tables.workspaces.c
    connection.execute(select(t.id).where(t.id == workspace).with_for_update())
    return _desk(connection, workspace=workspace, key=key, now=now)


def _desk(connection: Connection, *, workspace: int, key: int, now: int) -> Desk:
    t = tables.workspaces.c
    row = connection.execute(select(t.timezone, t.reporting_currency).where(t.id == workspace)).one()
    return Desk(connection, workspace, key, now, row.timezone, row.reporting_currency)


Shown = BaseModel | Mapping[str, object] | list[dict[str, object]] | None


def record(desk: Desk, action: str, name: str, *, before: Shown = None, after: Shown = None) -> None:
    """Write down that `name` ("campaigns/spring") was created, changed or archived; tell the doors."""
    desk.connection.execute(
        tables.audit_log.insert().values(
            workspace=desk.workspace,
            at=desk.now,
            key=desk.key,
            action=action,
            object=name,
            before=_json(before),
            after=_json(after),
        )
    )
    workspaces.changed(desk.connection)


def _json(shown: Shown) -> str:
    return "" if shown is None else to_json(shown).decode()


def announce(desk: Desk, setting: str, *, since: int = BEGINNING, until: int = END) -> None:
    """Tell the leader that `setting` changed for what occurred in [since, until], in microseconds."""
    body = struct.pack("<3q", SETTINGS[setting], since, until)
    desk.connection.execute(
        tables.changes.insert().values(workspace=desk.workspace, kind="setting", body=body)
    )
