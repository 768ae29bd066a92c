"""What a batch becomes: rows for every table, gathered before anything is written. Pure.

Rollup cells are counted here, by the same function that a recount uses, so the two cannot drift.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from app.consent import denied
from app.model import (
    DOORS,
    FLAGS,
    INVALID,
    KINDS,
    NODES,
    QUALITY,
    QUARTER,
    TEST,
    TRAFFIC,
    Event,
)
from app.pipeline.steps import Item
from app.tables import TRAFFIC_MEASURES
from app.workspaces import local_day

EVENT_COLUMNS = (
    "workspace", "kind", "occurred_at", "no", "received_at", "visitor", "flags", "door", "billable",
    "channel_id", "campaign_id", "ad_id", "partner_id", "country", "device", "direct", "source", "medium",
    "ad_group", "creative", "placement", "keyword", "visitor_id", "user_id", "click_id", "details",
    "quality",
)  # fmt: skip

SIGHTING_COLUMNS = (
    "workspace", "conversion", "no", "kind", "goal_id", "door", "occurred_at", "received_at", "event_id",
    "order_id", "store", "value", "currency", "tax", "shipping", "cost_of_goods", "payout", "status",
    "flags", "new_customer", "visitor", "country", "device", "channel_id", "campaign_id", "ad_id",
    "partner_id", "consent_denied", "click_id", "lead_id", "nodes", "clicks", "details",
)  # fmt: skip

ADJUSTMENT_COLUMNS = (
    "workspace", "conversion", "no", "kind", "door", "occurred_at", "received_at", "event_id", "value",
    "currency", "status",
)  # fmt: skip

CLICK, VISIT, IMPRESSION = KINDS["click"], KINDS["visit"], KINDS["impression"]
PAGEVIEW, OPEN = KINDS["pageview"], KINDS["open"]
ENGAGED = QUALITY["engaged"]
M = {name: position for position, name in enumerate(TRAFFIC_MEASURES)}

_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Traffic:
    """One event as the rollups see it."""

    workspace: int
    zone: str
    kind: int
    occurred_at: int
    flags: int
    billable: int
    channel_id: int
    campaign_id: int
    ad_id: int
    partner_id: int
    country: int
    device: int
    quality: int = 0


Cells = dict[tuple[int, ...], list[int]]


@dataclass(slots=True)
class Facts:
    """Rows to write, table by table, and what to tell the leader."""

    events: list[tuple[object, ...]] = field(default_factory=list)
    sightings: list[tuple[object, ...]] = field(default_factory=list)
    adjustments: list[tuple[object, ...]] = field(default_factory=list)
    visits: dict[tuple[int, int], tuple[int, int]] = field(
        default_factory=dict
    )  # (at, engaged): tables.visits
    seen: list[tuple[bytes, int]] = field(default_factory=list)
    edges: dict[tuple[int, int, int], tuple[int, int, int]] = field(default_factory=dict)
    carried: set[tuple[int, int]] = field(default_factory=set)
    outcomes: list[tuple[bytes, int, str, int]] = field(default_factory=list)
    rejected: list[dict[str, object]] = field(default_factory=list)
    days: Cells = field(default_factory=dict)
    campaign_days: Cells = field(default_factory=dict)
    places: Cells = field(default_factory=dict)
    quarters: Cells = field(default_factory=dict)
    junk: dict[tuple[int, int, str], tuple[int, int]] = field(default_factory=dict)  # (events, first seen)
    sources: dict[tuple[int, int, str, int], int] = field(
        default_factory=dict
    )  # (workspace, kind, name, UTC hour): tables.source_hours
    touches: dict[tuple[int, int], int] = field(default_factory=dict)  # (workspace, visitor) -> earliest
    conversions: set[tuple[int, int]] = field(default_factory=set)

    def count(self, traffic: Traffic, sign: int = 1) -> None:
        """Add one event to its four rollup cells (or take it away)."""
        positions = measures(traffic)
        if not positions:
            return
        t = traffic
        day = local_day(t.zone, t.occurred_at)
        for cells, key in (
            (self.days, (t.workspace, day, t.channel_id, t.campaign_id, t.ad_id, t.partner_id)),
            (self.campaign_days, (t.workspace, day, t.channel_id, t.campaign_id)),
            (self.places, (t.workspace, day, t.channel_id, t.country, t.device)),
            (self.quarters, (t.workspace, t.occurred_at // QUARTER, t.campaign_id)),
        ):
            cell = cells.get(key)
            if cell is None:
                cell = cells[key] = [0] * len(TRAFFIC_MEASURES)
            for position in positions:
                cell[position] += sign

    def touch(self, workspace: int, visitor: int, at: int) -> None:
        """Tell the leader that this visitor's touches changed from `at` on."""
        if visitor:
            key = (workspace, visitor)
            self.touches[key] = min(at, self.touches.get(key, at))

    def ignore(self, item: Item) -> None:
        """Count what an event named nobody by, once a kind and value."""
        at = item.event.occurred_at
        for kind, value in set(item.junk):
            key = (item.workspace, NODES[kind], value)
            events, first = self.junk.get(key, (0, at))
            self.junk[key] = (events + 1, min(at, first))

    def link(self, item: Item) -> None:
        """The edges of an event that named several identifiers: all to the believed one."""
        if len(item.nodes) < 2:
            return
        anchor, anchor_kind = item.nodes[0]
        at = item.event.occurred_at
        for other, kind in item.nodes[1:]:
            (a, a_kind), (b, b_kind) = sorted(((anchor, NODES[anchor_kind]), (other, NODES[kind])))
            key = (item.workspace, a, b)
            first = min(at, self.edges[key][2]) if key in self.edges else at
            self.edges[key] = (a_kind, b_kind, first)


def measures(traffic: Traffic) -> tuple[int, ...]:
    """The positions in TRAFFIC_MEASURES that one event counts in; a test event counts nowhere."""
    return _measures(traffic.kind, traffic.flags, traffic.billable, traffic.quality)


def _positions(kind: int, flags: int, billable: int, quality: int) -> tuple[int, ...]:
    if flags & TEST:
        return ()
    bad = bool(flags & INVALID)
    if kind == IMPRESSION:
        return (M["impressions_flagged" if bad else "impressions"],)
    if kind == CLICK:
        if bad:
            return (M["clicks_flagged"],)
        return (M["clicks"], M["clicks_billable"]) if billable else (M["clicks"],)
    if kind == VISIT:
        if bad:
            return (M["visits_flagged"],)
        return (M["visits"], M["engaged" if quality == ENGAGED else "bounces"]) if quality else (M["visits"],)
    if bad:
        return ()
    return {PAGEVIEW: (M["pageviews"],), OPEN: (M["opens"],)}.get(kind, ())


_table = {
    (kind, flags, billable, quality): _positions(kind, flags, billable, quality)
    for kind in range(1, len(KINDS) + 1)
    for flags in range(256)
    for billable in (0, 1)
    for quality in QUALITY.values()
}


def _measures(kind: int, flags: int, billable: int, quality: int) -> tuple[int, ...]:
    return _table[kind, flags, billable, quality]


def traffic_of(item: Item, ids: tuple[int, int, int, int]) -> Traffic:
    """The item as the rollups see it; `ids` are channel, campaign, ad, partner."""
    assert item.view is not None
    return Traffic(
        item.workspace,
        item.view.timezone,
        KINDS[item.event.kind],
        item.event.occurred_at,
        item.flags,
        int(item.billable),
        *ids,
        item.country,
        item.device,
        item.quality,
    )


def event_row(item: Item, ids: tuple[int, int, int, int]) -> tuple[object, ...]:
    """A row of tables.events, in the order of EVENT_COLUMNS."""
    e = item.event
    return (
        item.workspace, KINDS[e.kind], e.occurred_at, e.no, e.received_at, item.visitor, item.flags,
        DOORS[e.door], int(item.billable), *ids, item.country, item.device, int(item.direct),
        item.source, item.medium, e.ad_group, e.creative, e.placement, e.keyword,
        item.visitor_id, e.user_id, e.click_id, details(e, ids),
        item.quality,
    )  # fmt: skip


def sighting_row(item: Item, ids: tuple[int, int, int, int], goal_id: int) -> tuple[object, ...]:
    """A row of tables.sightings, in the order of SIGHTING_COLUMNS."""
    e = item.event
    c = item.click
    clicks = [[c.no, c.occurred_at, c.campaign_id, c.ad_id, c.partner_id]] if c else []
    return (
        item.workspace, item.conversion, e.no, KINDS[e.kind], goal_id, DOORS[e.door], e.occurred_at,
        e.received_at, e.id, e.order_id, e.store, e.value, e.currency, e.tax, e.shipping, e.cost_of_goods,
        e.payout, e.status, item.flags, None if e.new_customer is None else int(e.new_customer),
        item.visitor, item.country, item.device, *ids, int(denied(e.consent)), e.click_id, e.lead_id,
        _json([node for node, _ in item.nodes]).decode(), _json(clicks).decode(), details(e, ids),
    )  # fmt: skip


def adjustment_row(item: Item) -> tuple[object, ...]:
    """A row of tables.adjustments, in the order of ADJUSTMENT_COLUMNS."""
    e = item.event
    return (
        item.workspace, item.conversion, e.no, KINDS[e.kind], DOORS[e.door], e.occurred_at, e.received_at,
        e.id, e.value, e.currency, e.status,
    )  # fmt: skip


#: What is kept of an event beside its columns, and under which name.
DETAILS = (
    "url", "referrer", "title", "utm", "subs", "click_ids", "segment", "properties", "consent", "ip",
    "user_agent", "hints", "email", "phone", "user_id", "visit_id",
)  # fmt: skip

_BULKY = frozenset({"user_agent", "user_id"})  # of no use there, or a column already

#: Slugs are kept here only where they could not be registered.
_SLUGS = ("channel", "campaign", "ad", "partner")


def details(event: Event, ids: tuple[int, int, int, int]) -> str:
    """The rest of an event as JSON, without what is empty.

    Traffic leaves the user agent out: its verdicts (bot, device) are columns, and it would be half the row.
    """
    left_out = _BULKY if event.kind in TRAFFIC else frozenset()
    found = {name: value for name in DETAILS if name not in left_out and (value := getattr(event, name))}
    for name, id_ in zip(_SLUGS, ids, strict=True):
        if not id_ and (slug := getattr(event, name)):
            found[name] = slug
    return _json(found).decode() if found else ""


def lifted(flags: int) -> int:
    """Flags of a click that somebody's visit or conversion brought back: a person looked after all."""
    return flags & ~FLAGS["prefetch"]


def cells_rows(cells: Cells) -> Iterable[tuple[int, ...]]:
    """Rollup rows in key order (so that concurrent upserts cannot deadlock), without empty ones."""
    return [(*key, *cells[key]) for key in sorted(cells) if any(cells[key])]
