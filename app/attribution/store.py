"""What attribution reads and writes: configuration, due conversions, bookings, credits, rollups. SQL only.

Journeys are `gather`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, Table, delete, func, select, update

from app import bulk, tables
from app.attribution.journeys import PRIORITY, Bits, Columns, Ints
from app.attribution.ledger import CAUSES, Conversions, Ledger, Lines, Rows, table
from app.attribution.lines import Cells
from app.attribution.models import Parameters
from app.attribution.rules import Rules
from app.events.retention import dropped_before
from app.model import DAY, KINDS
from app.workspaces import WorkspaceSettings, settings_of


@dataclass(frozen=True, slots=True)
class Setup:
    """A workspace's configuration of attribution."""

    workspace: int
    zone: str
    settings: WorkspaceSettings
    rules: Rules
    parameters: Parameters
    kept_since: int  # touches before this instant may be gone

    def frozen(self, conversions: Conversions) -> Bits:
        """Those that have their credits, and whose touches may be gone: they keep what they have."""
        reach = conversions.occurred_at - self.rules.longest
        gone: Bits = (reach < self.kept_since) | (conversions.frozen != 0)
        return gone & (conversions.credit_version > 0)

    @property
    def exhaustible(self) -> bool:
        """Does a conversion use up the touches before it?"""
        return self.settings.reset_after_conversion or self.settings.first_conversion_only


def setup(connection: Connection, workspace: int) -> Setup:
    """The configuration as it is now."""
    w, g, c = tables.workspaces.c, tables.goals.c, tables.campaigns.c
    zone, text = connection.execute(select(w.timezone, w.settings).where(w.id == workspace)).one()
    settings = settings_of(text)
    goals = connection.execute(select(g.id, g.windows).where(g.workspace == workspace, g.windows != "{}"))
    campaigns = connection.execute(select(c.id, c.windows).where(c.workspace == workspace, c.windows != "{}"))
    days = WorkspaceSettings().windows | settings.windows
    rules = Rules(
        windows=_windows(days),
        goal_windows={id_: _windows(msgspec.json.decode(text)) for id_, text in goals},
        campaign_windows={id_: _windows(msgspec.json.decode(text)) for id_, text in campaigns},
        billing_window=round(settings.billing_window * DAY),
        billing=settings.billing_model,
        tier_rule=settings.tier_rule,
        direct=settings.direct,
        collapse=settings.collapse,
    )
    parameters = Parameters(settings.position_shares, settings.half_life_hours)
    return Setup(workspace, zone, settings, rules, parameters, dropped_before(connection))


def _windows(days: Mapping[str, float]) -> dict[int, int]:
    """Microseconds by kind, of the kinds that can earn."""
    return {KINDS[k]: round(d * DAY) for k, d in days.items() if KINDS.get(k) in PRIORITY}


def due(connection: Connection, *, limit: int, now: int) -> tuple[int, list[int]]:
    """A workspace that has due conversions, and up to `limit` of them, earliest first; (0, []) for none.

    Which workspace changes with the clock, so that a busy one cannot keep the others waiting for ever.
    """
    d = tables.due.c
    found: list[int] = []
    while (following := _next_workspace(connection, found[-1] if found else -1)) is not None:
        found.append(following)
    if not found:
        return 0, []
    workspace = found[now % len(found)]
    statement = select(d.conversion).where(d.workspace == workspace)
    ids = connection.scalars(statement.order_by(d.occurred_at, d.conversion).limit(limit))
    return workspace, list(ids)


def waiting(connection: Connection, workspace: int, ids: Sequence[int]) -> list[int]:
    """Those of `ids` that are due, earliest first."""
    d = tables.due.c
    here = (d.workspace == workspace, bulk.among(connection, d.conversion, ids))
    return list(connection.scalars(select(d.conversion).where(*here).order_by(d.occurred_at, d.conversion)))


def _next_workspace(connection: Connection, after: int) -> int | None:
    d = tables.due.c
    found: int | None = connection.scalar(select(func.min(d.workspace)).where(d.workspace > after))
    return found


_nodes = msgspec.json.Decoder(list[int]).decode
_clicks = msgspec.json.Decoder(list[dict[str, int]]).decode


def conversions(connection: Connection, workspace: int, ids: Sequence[int]) -> Conversions:
    """Those of `ids` that exist."""
    c = tables.conversions.c
    numbers = {
        "id": c.id, "kind": c.kind, "goal_id": c.goal_id, "occurred_at": c.occurred_at,
        "valued": c.value.is_not(None), "value": func.coalesce(c.value, 0),
        "with_cogs": c.cost_of_goods.is_not(None), "cogs": func.coalesce(c.cost_of_goods, 0),
        "rated": c.value.is_(None) | c.reported.is_not(None),
        "reported": func.coalesce(c.reported, 0), "reported_cogs": func.coalesce(c.reported_cogs, 0),
        "state": c.state, "setbacks": c.setbacks, "adjusted": c.adjusted,
        "new_customer": func.coalesce(c.new_customer, 0), "consent_denied": c.consent_denied,
        "credit_version": c.credit_version, "frozen": c.frozen,
    }  # fmt: skip
    statement = select(*numbers.values(), c.currency, c.nodes, c.clicks)
    rows = connection.execute(
        statement.where(c.workspace == workspace, bulk.among(connection, c.id, ids)).order_by(c.id)
    ).all()
    *whole, currency, nodes, clicks = list(zip(*rows, strict=True)) or [()] * (len(numbers) + 3)
    columns: dict[str, Any] = {
        name: np.array(values, dtype=np.int64) for name, values in zip(numbers, whole, strict=True)
    }
    return Conversions(
        **columns,
        currency=list(currency),
        nodes=[_nodes(text or "[]") for text in nodes],
        clicks=[_clicks(text) if text != "[]" else [] for text in clicks],
    )


# --- Bookings and credits ---------------------------------------------------------------------------

LINE_COLUMNS = tuple(f.name for f in fields(Lines))[1:]
ROW_COLUMNS = tuple(f.name for f in fields(Rows))[1:]


def ledger(
    connection: Connection, workspace: int, conversions: Conversions, currencies: dict[str, int]
) -> Ledger:
    """What is stored of these conversions: bookings and present credits, both empty for a new one."""
    settled = conversions.credit_version > 0
    owner = {id_: i for i, id_ in enumerate(conversions.id.tolist())}
    ids = conversions.id[settled].tolist()
    if not ids:
        return Ledger(table(Lines, []), table(Rows, []))
    b, c, v = tables.bookings.c, tables.credits.c, tables.conversions.c
    lines = connection.execute(
        select(b.conversion, *(b[name] for name in LINE_COLUMNS))
        .where(b.workspace == workspace, bulk.among(connection, b.conversion, ids))
        .order_by(b.conversion, b.ordinal)
    )
    rows = connection.execute(
        select(c.conversion, *(c[name] for name in ROW_COLUMNS))
        .join(tables.conversions, (v.workspace == c.workspace) & (v.id == c.conversion))
        .where(
            c.workspace == workspace,
            c.version == v.credit_version,
            bulk.among(connection, c.conversion, ids),
        )
        .order_by(c.conversion, c.ordinal)
    )
    cause, currency = (LINE_COLUMNS.index(name) for name in ("cause", "currency"))
    booked = []
    for id_, *values in lines:
        values[cause] = CAUSES.index(values[cause])
        values[currency] = currencies.setdefault(values[currency], len(currencies))
        booked.append((owner[id_], *values))
    return Ledger(table(Lines, booked), table(Rows, [(owner[id_], *values) for id_, *values in rows]))


def replace_lines(
    connection: Connection,
    workspace: int,
    conversions: Conversions,
    lines: Lines,
    changed: Bits,
    currencies: Sequence[str],
) -> None:
    """Put these booking lines in the place of the old ones, where they changed."""
    gone = conversions.id[changed & (conversions.credit_version > 0)].tolist()
    b = tables.bookings
    if gone:
        connection.execute(
            delete(b).where(b.c.workspace == workspace, bulk.among(connection, b.c.conversion, gone))
        )
    texts = {"cause": CAUSES, "currency": currencies}
    keys = {"conversion": conversions.id[lines.owner]}
    columns = _columns(b, workspace, keys | _own(lines), texts)
    bulk.append(connection, b, tuple(columns), _rows(columns))


def add_credits(connection: Connection, workspace: int, conversions: Conversions, rows: Rows) -> None:
    """A next version of the credits of these conversions, complete; earlier ones stay."""
    keys = {
        "conversion": conversions.id[rows.owner],
        "version": conversions.credit_version[rows.owner] + 1,
    }
    columns = _columns(tables.credits, workspace, keys | _own(rows), {})
    bulk.append(connection, tables.credits, tuple(columns), _rows(columns))
    v = tables.conversions
    ids = np.unique(conversions.id[rows.owner]).tolist()
    connection.execute(
        update(v)
        .where(v.c.workspace == workspace, bulk.among(connection, v.c.id, ids))
        .values(credit_version=v.c.credit_version + 1)
    )


def add_cells(
    connection: Connection, workspace: int, cells: Mapping[str, Cells], currencies: Sequence[str]
) -> None:
    """Add these cells to the credit rollups. Measures that are 0 throughout are not sent at all."""
    for rollup, found in cells.items():
        if not found.measures:
            continue  # settled anew, and nothing came out differently
        table = tables.metadata.tables[rollup]
        columns = _columns(table, workspace, found.keys | found.measures, {"currency": currencies})
        bulk.add(connection, table, _rows(columns), tuple(columns))


def _own(columns: Columns) -> dict[str, Ints]:
    return {f.name: getattr(columns, f.name) for f in fields(columns)[1:]}


def _columns(
    table: Table, workspace: int, given: Mapping[str, Ints], texts: Mapping[str, Sequence[str]]
) -> dict[str, Iterable[object]]:
    """Values for these columns of `table`, in its order; numbers of `texts` are written as text."""
    size = len(next(iter(given.values())))
    found: dict[str, Iterable[object]] = {}
    for name in table.columns.keys():  # noqa: SIM118  a ColumnCollection iterates over columns
        if name == "workspace":
            found[name] = repeat(workspace, size)
        elif name in texts:
            found[name] = [texts[name][i] for i in given[name].tolist()]
        elif name in given:
            found[name] = _values(given[name])
    return found


def _values(column: Ints) -> Iterable[object]:
    """A column as Python integers; most keys of a batch are the same in every row, and made once."""
    if len(column) and (column == column[0]).all():
        return repeat(int(column[0]), len(column))
    values: list[object] = column.tolist()
    return values


def _rows(columns: Mapping[str, Iterable[object]]) -> Iterable[tuple[object, ...]]:
    return zip(*columns.values(), strict=True)


def settled(connection: Connection, workspace: int, ids: Sequence[int]) -> None:
    """These conversions are no longer due."""
    d = tables.due
    connection.execute(
        delete(d).where(d.c.workspace == workspace, bulk.among(connection, d.c.conversion, ids))
    )
