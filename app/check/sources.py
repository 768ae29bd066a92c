"""The sources of a workspace and how each stands: reads the counts that the pipeline keeps."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from app import tables
from app.check.rules import LATELY, History, State, Verdict, verdict
from app.check.schemas import SourceShown
from app.model import DAY, HOUR, SECOND, SOURCE_NAMES, SOURCES
from app.pipeline.sources import OTHERS

#: What an operator looks at first.
ORDER: tuple[State, ...] = ("silent", "active", "new", "ended")


@dataclass(frozen=True, slots=True)
class Source:
    """`kind` is site, key or partner. Times are us: the day of its first event, the hour of its last."""

    kind: str
    name: str
    first: int
    last: int
    per_day: float  # events a day, in its last four weeks at most
    verdict: Verdict


def sources(connection: Connection, workspace: int, now: int) -> list[Source]:
    """All sources, the silent ones first, in each state those that send most first."""
    names = _names(connection, workspace)
    found = [
        _source(kind, names.get((kind, name), name), history, counts, now)
        for kind, name, history, counts in _histories(connection, workspace)
    ]
    return sorted(found, key=lambda one: (ORDER.index(one.verdict.state), -one.per_day, one.kind, one.name))


def _source(kind: int, name: str, history: History, counts: dict[int, int], now: int) -> Source:
    today = now // DAY
    lately = sum(count for day, count in counts.items() if today - LATELY < day <= today)
    return Source(
        kind=SOURCE_NAMES[kind],
        name=name,
        first=history.days[0] * DAY,
        last=history.last_hour * HOUR,
        per_day=lately / min(LATELY, max(today - history.days[0] + 1, 1)),
        verdict=verdict(history, now),
    )


def _histories(connection: Connection, workspace: int) -> Iterator[tuple[int, str, History, dict[int, int]]]:
    """(kind, name, history, counts by day) of each source. What counts under one name has no rhythm."""
    d, h = tables.source_days.c, tables.source_hours.c
    days: dict[tuple[int, str], dict[int, int]] = {}
    by_day = select(d.kind, d.name, d.day, d.count).where(d.workspace == workspace, d.name != OTHERS)
    for kind, name, day, count in connection.execute(by_day.order_by(d.kind, d.name, d.day)):
        days.setdefault((kind, name), {})[day] = count
    hours: dict[tuple[int, str], dict[int, int]] = {}
    by_hour = select(h.kind, h.name, h.hour, h.count).where(h.workspace == workspace, h.name != OTHERS)
    for kind, name, hour, count in connection.execute(by_hour):
        hours.setdefault((kind, name), {})[hour] = count
    for (kind, name), counts in days.items():
        yield kind, name, History(list(counts), hours.get((kind, name), {})), counts


def _names(connection: Connection, workspace: int) -> dict[tuple[int, str], str]:
    """What people call keys and partners, by kind and id; a site without an address has no name either."""
    k, p = tables.keys.c, tables.partners.c
    found = {(SOURCES["site"], ""): "(no address)"}
    for id_, name, prefix in connection.execute(
        select(k.id, k.name, k.prefix).where(k.workspace == workspace)
    ):
        found[SOURCES["key"], str(id_)] = name or f"{prefix}..."
    for id_, slug in connection.execute(select(p.id, p.slug).where(p.workspace == workspace)):
        found[SOURCES["partner"], str(id_)] = slug
    return found


def shown(source: Source) -> SourceShown:
    """A source as the API tells it."""
    silent_at = source.verdict.silent_at
    return SourceShown.model_validate(
        {
            "kind": source.kind,
            "name": source.name,
            "state": source.verdict.state,
            "first_day": _moment(source.first).date(),
            "last_event": _moment(source.last),
            "events_per_day": round(source.per_day, 3),
            "expected_gap_hours": None if silent_at is None else (silent_at - source.last) // HOUR,
            "silent_after": None if silent_at is None else _moment(silent_at),
            "because": source.verdict.because,
        }
    )


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / SECOND, UTC)
