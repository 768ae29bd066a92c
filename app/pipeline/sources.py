"""Who sends, by the hour: sites by the host of the page, servers by their key, postbacks by the partner.

Counts of what arrived (`received_at`), for the list of sources that fell silent (app/check/rules.py). Tests
and robots are no sign of life. Kept like rollups, in the batch's transaction, whatever the order. What is
public can be abused to make up hosts: a workspace lists so many new ones a day, the rest under one name.
"""

import re
from functools import lru_cache

from sqlalchemy import Connection, func, select

from app import bulk, tables
from app.model import FLAGS, HOUR, SOURCES, Event
from app.pipeline.facts import Facts

#: New sites of a workspace and UTC day that get a name; and all sites of it that do.
MOST_NEW, MOST = 200, 1000
ESTABLISHED = 7  # earlier days with events, after which a site has its name for certain
OTHERS = "(others)"

REMEMBERED = 20_000

Sites = set[tuple[int, int, str]]  # workspace, UTC day, host

SITE, KEY, PARTNER = SOURCES["site"], SOURCES["key"], SOURCES["partner"]

_SILENT = FLAGS["test"] | FLAGS["bot"]
_HOST = re.compile(r"(?:[^/?#@]*@)?(\[[0-9a-f:.]+\]|[^/?#:@\[\]\s]{1,253})", re.IGNORECASE)


def source_of(event: Event, flags: int, partner: int) -> tuple[int, str] | None:
    """(kind, name) of who sent an event; keys and partners go by their ids. None: nobody in particular."""
    if flags & _SILENT:
        return None
    if event.door in ("pixel", "beacon"):
        scheme, _, rest = event.url.partition("//")
        return SITE, _host(rest.partition("/")[0]) if scheme in ("https:", "http:") else ""
    if event.door == "api":
        return (KEY, str(event.key)) if event.key else None
    return (PARTNER, str(partner)) if event.door == "postback" and partner else None


@lru_cache(maxsize=10_000)
def _host(authority: str) -> str:
    """The host of what stands between // and the path; "" for none."""
    found = _HOST.match(authority)
    return found[1].lower().removesuffix(".") if found else ""


def heard(facts: Facts, workspace: int, event: Event, flags: int, *, partner: int = 0) -> None:
    """Count one event for its source."""
    source = source_of(event, flags, partner)
    if source is not None:
        key = (workspace, *source, event.received_at // HOUR)
        facts.sources[key] = facts.sources.get(key, 0) + 1


def write(connection: Connection, facts: Facts, listed: Sites) -> None:
    """Add the batch's counts, in the order of their keys. `listed` are sites that are known to have a name of
    their own; the caller forgets them when the transaction fails."""
    if not facts.sources:
        return
    if len(listed) > REMEMBERED:
        listed.clear()
    hours = _named(connection, facts.sources, listed)
    days: dict[tuple[int, int, str, int], int] = {}
    for (workspace, kind, name, hour), count in hours.items():
        key = (workspace, kind, name, hour // 24)
        days[key] = days.get(key, 0) + count
    for table, cells in ((tables.source_hours, hours), (tables.source_days, days)):
        bulk.add(connection, table, [(*key, cells[key]) for key in sorted(cells)])


def _named(
    connection: Connection, counts: dict[tuple[int, int, str, int], int], listed: Sites
) -> dict[tuple[int, int, str, int], int]:
    """The counts, those of sites beyond what a day may list under OTHERS."""
    wanted: dict[tuple[int, int], set[str]] = {}
    for workspace, kind, name, hour in counts:
        if kind == SITE and (workspace, hour // 24, name) not in listed:
            wanted.setdefault((workspace, hour // 24), set()).add(name)
    for (workspace, day), names in wanted.items():
        listed |= {(workspace, day, name) for name in _listed(connection, workspace, day, names)}
    found: dict[tuple[int, int, str, int], int] = {}
    for (workspace, kind, name, hour), count in counts.items():
        known = kind != SITE or (workspace, hour // 24, name) in listed
        key = (workspace, kind, name if known else OTHERS, hour)
        found[key] = found.get(key, 0) + count
    return found


def _listed(connection: Connection, workspace: int, day: int, names: set[str]) -> set[str]:
    """Those of `names` that have a name of their own on this day."""
    c = tables.source_days.c
    sites = (c.workspace == workspace) & (c.kind == SITE)
    today = set(connection.scalars(select(c.name).where(sites, c.day == day)))
    fresh = sorted(names - today)
    room = max(0, MOST_NEW - len(today))
    found = (names & today) | set(fresh[:room])
    left = fresh[room:]
    if left and len(today) + room < MOST:
        lasting = (
            select(c.name)
            .where(sites, c.day < day, c.name.in_(left))
            .group_by(c.name)
            .having(func.count() >= ESTABLISHED)
            .order_by(c.name)
            .limit(MOST - len(today) - room)
        )
        found |= set(connection.scalars(lasting))
    return found
