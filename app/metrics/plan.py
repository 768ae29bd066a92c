"""Which tables answer a query. Pure: a Query and the shape of the deals in, a Plan out.

The narrowest rollup that knows every key wins, so that a query's cost follows its answer. Only what no
rollup knows (free texts, hours of a channel, hours and foreign days of results) reads raw rows. There is
no quarter-hour rollup of credits: it would have as many cells as there are credits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.metrics.catalogue import BY_SLUG, Dimension, Family, families, parts
from app.metrics.dates import same_days
from app.metrics.filters import conditions
from app.metrics.query import Query

#: Narrowest first. A key `day` is a workspace day; `time` a day or hour of the query's own zone.
TRAFFIC: tuple[tuple[str, frozenset[str]], ...] = (
    ("traffic_campaign_days", frozenset({"day", "channel", "campaign"})),
    ("traffic_days", frozenset({"day", "channel", "campaign", "ad", "partner"})),
    ("traffic_places", frozenset({"day", "channel", "country", "device"})),
    ("traffic_quarters", frozenset({"day", "time", "campaign"})),
)
_RESULT = ("goal", "currency", "customer")
CREDITS: tuple[tuple[str, frozenset[str]], ...] = (
    ("credit_days", frozenset({"day", "channel", "campaign", "ad", "partner", *_RESULT})),
    ("credit_places", frozenset({"day", "channel", "country", "device", *_RESULT})),
)
RAW_TRAFFIC = "events"
RAW_CREDITS = "credits"


@dataclass(frozen=True, slots=True)
class Plan:
    """`keys` are those of the cells; `unknown` says why a family cannot answer this query at all."""

    house: bool  # the workspace's own days
    keys: tuple[str, ...]
    parts: frozenset[str]
    families: frozenset[Family]
    unknown: Mapping[Family, str]
    traffic: str
    credits: str
    billing: str

    def answers(self, family: Family) -> bool:
        return family in self.families and family not in self.unknown


def make(query: Query, *, zone: str, reporting: str, narrowed: Iterable[str]) -> Plan:
    """The plan. `zone` and `reporting` are the workspace's; `narrowed` the keys that deals are scoped by."""
    needed = parts(BY_SLUG[slug] for slug in query.metrics)
    wanted = families(needed)
    asked = (*query.dimensions, *(condition.dimension for condition in conditions(query.filter)))
    unknown = {family: reason for family in wanted if (reason := _unsplit(family, asked))}
    house = query.grain != "time:hour" and same_days(query.timezone, zone, query.first, query.last)
    shown = {d.key for d in query.dimensions if d.key != "time"}
    keys = set(shown)
    if query.grain:
        keys |= {"day"} if house else {"time"}
    if "cost" in wanted and "cost" not in unknown:
        keys |= {"day", "campaign", *narrowed, *({"time"} if query.grain and not house else ())}
        keys |= {c.dimension.key for c in conditions(query.filter)}  # a filtered ad has its own price
    if any(name.endswith("@platform") for name in needed) and "spend" not in unknown:
        keys |= {"day", "campaign"}
    converts = bool({"credits"} & wanted) and query.currency != reporting and "currency" not in shown
    filtered = {d.key for d in asked if d.key != "time"}
    return Plan(
        house=house,
        keys=tuple(sorted(keys)),
        parts=needed,
        families=wanted,
        unknown=unknown,
        traffic=_traffic(keys | filtered, house=house),
        credits=_credits(keys | filtered | ({"currency", "day"} if converts else set()), house=house),
        # A deal is chosen by the day of the conversion, which only conversion-dated rollups tell.
        billing="credit_days" if house and query.by == "conversion" else RAW_CREDITS,
    )


def _unsplit(family: Family, asked: Iterable[Dimension]) -> str:
    for dimension in asked:
        if family not in dimension.families:
            return "no_hourly_spend" if dimension.slug == "time:hour" else f"not_split_by:{dimension.slug}"
    return ""


def _traffic(keys: set[str], *, house: bool) -> str:
    choices = [(name, known) for name, known in TRAFFIC if (name == "traffic_quarters") is not house]
    return next((name for name, known in choices if keys <= known), RAW_TRAFFIC)


def _credits(keys: set[str], *, house: bool) -> str:
    if not house:
        return RAW_CREDITS
    return next((name for name, known in CREDITS if keys <= known), RAW_CREDITS)
