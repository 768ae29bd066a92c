"""The whole relational schema, on one page. Alembic imports only this.

House rules: integers key everything (`no`, `visitor` and conversion ids are 63-bit digests, so they do
not depend on order of arrival); times are microseconds since 1970 UTC; a day is a local date of the
workspace as days since 1970; NULL never stands in a key (0 or ''); money that is summed is two columns,
`_hi` and `_lo` (money.py). SQLite tables are STRICT.

    facts      events, sightings, adjustments, edges      appended by pipelines
    derived    people, unjoined, conversions, bookings,
               credits                                    replaced by the leader
    rollups    traffic_*, credit_*                        -old +new in the transaction that makes it
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy import text as literal
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

metadata = MetaData()


class Bytes(LargeBinary):
    """A blob the driver takes as it is: SQLAlchemy's wrapper per value costs more than the look-up."""

    cache_ok = True

    def bind_processor(self, dialect: object) -> None:
        return None


def table(name: str, *columns: SchemaItem, clustered: bool = False) -> Table:
    """A table of the house: STRICT on SQLite; `clustered` keeps rows in the order of the primary key."""
    return Table(
        name,
        metadata,
        *columns,
        sqlite_strict=True,
        sqlite_with_rowid=not clustered,
    )


# SQLite's one integer type holds 64 bits, and STRICT knows it only as INTEGER.
BIG = BigInteger().with_variant(Integer(), "sqlite")
SMALL = SmallInteger().with_variant(Integer(), "sqlite")
MIDDLE = Integer()
# Compared and sorted by its bytes on every engine: no locale decides what is equal or comes first.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")
Kind = TypeEngine[int]


def serial() -> Column[int]:
    return Column("id", BIG, primary_key=True, autoincrement=True)


def key(name: str, kind: Kind = BIG) -> Column[int]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def whole(name: str, default: int = 0, kind: Kind = BIG) -> Column[int]:
    return Column(name, kind, nullable=False, server_default=literal(str(default)))


def maybe(name: str, kind: Kind = BIG) -> Column[int | None]:
    return Column(name, kind, nullable=True)


def text(name: str) -> Column[str]:
    return Column(name, TEXT, nullable=False, server_default="")


# --- What an operator configures -------------------------------------------------------------------

workspaces = table(
    "workspaces",
    serial(),
    Column("slug", TEXT, nullable=False, unique=True),
    text("name"),
    Column("timezone", TEXT, nullable=False, server_default="UTC"),
    Column("reporting_currency", TEXT, nullable=False, server_default="EUR"),
    Column("week_start", TEXT, nullable=False, server_default="monday"),
    Column("secret", Bytes(), nullable=False),  # signs click ids
    Column("settings", TEXT, nullable=False, server_default="{}"),  # JSON: workspaces.WorkspaceSettings
    whole("created_at"),
    maybe("archived_at"),
    whole("joined_by", 0, SMALL),  # identity.rules.RULES by which the leader has looked at all identifiers
)

keys = table(
    "keys",
    serial(),
    whole("workspace"),
    text("scope"),
    text("name"),
    Column("digest", TEXT, nullable=False, unique=True),  # hex SHA-256; the key itself is shown once
    text("prefix"),
    whole("created_at"),
    maybe("revoked_at"),
)

#: One row. `version` grows with every change that the doors or the pipeline must know.
config = table("config", key("id", SMALL), whole("version"))

audit_log = table(
    "audit_log",
    serial(),
    whole("workspace"),
    whole("at"),
    whole("key"),
    text("action"),  # create, change, archive
    text("object"),  # campaigns/spring
    text("before"),
    text("after"),
    Index("audit_log_workspace", "workspace", "id"),
)

channels = table(
    "channels",
    serial(),
    whole("workspace"),
    text("slug"),
    text("name"),
    whole("known", 1, SMALL),
    maybe("archived_at"),
    UniqueConstraint("workspace", "slug"),
)

campaigns = table(
    "campaigns",
    serial(),
    whole("workspace"),
    text("slug"),
    text("name"),
    whole("channel_id"),
    text("audience"),  # '', prospecting, retargeting
    Column("status", TEXT, nullable=False, server_default="active"),  # active, paused, ended
    text("landing_url"),
    text("fallback_url"),
    Column("allowed_hosts", TEXT, nullable=False, server_default="[]"),
    Column("match", TEXT, nullable=False, server_default="[]"),  # JSON list of rules
    whole("pass_parameters", 0, SMALL),
    maybe("margin_rate"),  # 10^-6 of revenue
    maybe("starts_on"),
    maybe("ends_on"),
    Column("windows", TEXT, nullable=False, server_default="{}"),  # JSON {"click": 30, ...} days
    whole("known", 1, SMALL),  # 0: seen in events, registered by nobody
    maybe("archived_at"),
    UniqueConstraint("workspace", "slug"),
)

#: Which money a campaign's media cost is taken from, from a day on.
cost_sources = table(
    "cost_sources",
    key("workspace"),
    key("campaign_id"),
    key("valid_from"),
    text("cost_source"),  # spend_else_deals, spend, deals
)

ads = table(
    "ads",
    serial(),
    whole("workspace"),
    whole("campaign_id"),
    text("slug"),
    text("name"),
    text("ad_group"),
    text("creative"),
    text("landing_url"),
    Column("segment", TEXT, nullable=False, server_default="{}"),
    whole("known", 1, SMALL),
    maybe("archived_at"),
    UniqueConstraint("workspace", "campaign_id", "slug"),
)

partners = table(
    "partners",
    serial(),
    whole("workspace"),
    text("slug"),
    text("name"),
    text("payout_means"),  # '', commission, revenue
    whole("known", 1, SMALL),
    maybe("archived_at"),
    UniqueConstraint("workspace", "slug"),
)

goals = table(
    "goals",
    serial(),
    whole("workspace"),
    text("slug"),
    text("name"),
    text("kind"),  # lead, sale
    Column("count", TEXT, nullable=False, server_default="every"),  # every, once_per_click, once_per_person
    whole("primary", 0, SMALL),
    maybe("value"),
    text("currency"),
    maybe("probability"),  # 10^-6
    Column("windows", TEXT, nullable=False, server_default="{}"),
    whole("known", 1, SMALL),
    maybe("archived_at"),
    UniqueConstraint("workspace", "slug"),
)

#: What is paid for results. A scope of 0 means any; rate is micro-units, or 10^-6 for revshare.
deals = table(
    "deals",
    serial(),
    whole("workspace"),
    text("model"),  # cpm, cpc, cpl, cpa, revshare, flat
    text("side"),  # cost, payout
    whole("rate"),
    text("currency"),
    whole("campaign_id"),
    whole("ad_id"),
    whole("partner_id"),
    whole("goal_id"),
    whole("valid_from"),  # local day
    maybe("valid_to"),  # local day, included
    text("per"),  # '', day, month (flat)
    text("options"),  # JSON: whole_month, hybrid, tiers
    maybe("archived_at"),
    Index("deals_campaign", "workspace", "campaign_id"),
)

spend = table(
    "spend",
    key("workspace"),
    key("day"),
    Column("source", TEXT, primary_key=True),
    Column("account", TEXT, primary_key=True),
    key("campaign_id"),
    key("ad_id"),  # 0: a campaign-level row, the total of its ad rows
    whole("amount"),
    text("currency"),
    text("timezone"),
    maybe("impressions"),  # the platform's own figures, never added to ours
    maybe("clicks"),
    whole("updated_at"),
    clustered=True,
)

#: Units of `currency` for one `base`, times 10^12, as published on a day.
fx_rates = table(
    "fx_rates",
    key("workspace"),
    Column("currency", TEXT, primary_key=True),
    key("day"),
    Column("base", TEXT, primary_key=True),
    text("rate"),  # exact decimal: units of base for one unit of currency
    clustered=True,
)

# --- What happened ---------------------------------------------------------------------------------

#: How far each inbox file is drained. Kept after the file is gone, for receipts.
cursors = table(
    "cursors",
    Column("file", Bytes(), primary_key=True),  # the uuid stored in the file
    whole("sequence"),
    whole("updated_at"),
)

#: Ids that senders supplied, for ever.
seen = table(
    "seen",
    Column("key", Bytes(), primary_key=True),  # 16 bytes: pipeline.rules.dedupe_key
    Column("digest", BIG, nullable=False),  # of what was sent: a retry equals it, a conflict not
    clustered=True,
)

#: What became of records that were not simply stored (receipts; kept 7 days).
outcomes = table(
    "outcomes",
    Column("file", Bytes(), primary_key=True),
    key("sequence"),
    text("outcome"),  # duplicate, id_conflict, quarantined
    whole("at"),
    clustered=True,
)

events = table(
    "events",
    serial(),
    whole("workspace"),
    whole("kind", 0, SMALL),
    whole("occurred_at"),
    whole("no"),
    whole("received_at"),
    whole("visitor"),  # node number of the best identifier; 0: none
    whole("flags", 0, SMALL),
    whole("door", 0, SMALL),
    whole("billable", 0, SMALL),
    whole("channel_id"),
    whole("campaign_id"),
    whole("ad_id"),
    whole("partner_id"),
    whole("country", 0, SMALL),
    whole("device", 0, SMALL),
    whole("direct", 0, SMALL),  # a visit from nowhere: earns only when nothing else does
    text("source"),
    text("medium"),
    text("ad_group"),
    text("creative"),
    text("placement"),
    text("keyword"),
    text("visitor_id"),
    text("user_id"),
    text("click_id"),
    text("details"),  # JSON of the rest: url, referrer, utm, segment, properties, consent, ...
    whole("quality", 0, SMALL),  # model.QUALITY, of a visit
    Index("events_time", "workspace", "occurred_at"),
    # A journey is read from this index alone: without it each touch costs a look-up in the table. By week
    # first, since visitors are random numbers: a new event then lands among this week's, in memory, and
    # not anywhere in years of them.
    Index(
        "events_journey",
        literal("(occurred_at / 604800000000)"),
        "visitor",
        "occurred_at",
        "kind",
        "flags",
        "no",
        "direct",
        "channel_id",
        "campaign_id",
        "ad_id",
        "partner_id",
        "country",
        "device",
    ),
)

#: What retention takes away: of a kind of row all that occurred before an instant. Written before it goes.
dropped = table(
    "dropped",
    Column("what", TEXT, primary_key=True),  # events
    whole("before"),
)

#: Visits that came from a click which did not pass our redirect. Of all with one key (rules.landing_key)
#: the earliest that no redirect click explains makes the click; all are kept, so order never matters.
landings = table(
    "landings",
    key("workspace"),
    key("key"),
    key("occurred_at"),
    key("no"),  # of the visit
    whole("visitor"),
    whole("campaign_id"),
    Index("landings_visitor", "workspace", "visitor"),
    clustered=True,
)

#: Click numbers that a visit or conversion brought back: proof that somebody looked (lifts "prefetch").
carried = table("carried", key("workspace"), key("no"), clustered=True)

#: Visits whose sender tells whether they were engaged in, by number; and engagements that came before their
#: visit. Either may come first; `engaged` is what both say together.
visits = table(
    "visits",
    key("workspace"),
    key("no"),
    whole("occurred_at"),  # 0: the visit is not here yet
    whole("engaged", 0, SMALL),
    clustered=True,
)

#: Every report of a lead or sale, by whichever door. Never changed; conversions are folded from them.
sightings = table(
    "sightings",
    serial(),
    whole("workspace"),
    whole("conversion"),  # number of the conversion it reports
    whole("no"),
    whole("kind", 0, SMALL),
    whole("goal_id"),
    whole("door", 0, SMALL),
    whole("occurred_at"),
    whole("received_at"),
    text("event_id"),
    text("order_id"),
    text("store"),
    maybe("value"),
    text("currency"),
    maybe("tax"),
    maybe("shipping"),
    maybe("cost_of_goods"),
    maybe("payout"),
    text("status"),
    whole("flags", 0, SMALL),
    maybe("new_customer", SMALL),
    whole("visitor"),
    whole("country", 0, SMALL),
    whole("device", 0, SMALL),
    whole("channel_id"),
    whole("campaign_id"),
    whole("ad_id"),
    whole("partner_id"),
    whole("consent_denied", 0, SMALL),
    text("click_id"),
    text("lead_id"),
    text("nodes"),  # JSON list of identity nodes
    Column("clicks", TEXT, nullable=False, server_default="[]"),  # JSON: our click ids, read
    text("details"),
    Index("sightings_conversion", "workspace", "conversion"),
)

#: Refunds and state changes, by the conversion they name, whether it is there yet or not.
adjustments = table(
    "adjustments",
    serial(),
    whole("workspace"),
    whole("conversion"),
    whole("no"),
    whole("kind", 0, SMALL),  # refund, status
    whole("door", 0, SMALL),
    whole("occurred_at"),
    whole("received_at"),
    text("event_id"),
    maybe("value"),  # of a refund; NULL: all of it
    text("currency"),
    text("status"),
    Index("adjustments_conversion", "workspace", "conversion"),
)

rejected = table(
    "rejected",
    serial(),
    whole("workspace"),
    whole("at"),
    text("kind"),  # refused (told the sender), quarantined (accepted, not storable; replayable)
    text("door"),
    text("code"),
    text("field"),
    text("message"),
    text("event_id"),
    text("body"),  # JSON of the record, or what was sent, scrubbed
    maybe("replayed_at"),
    Index("rejected_workspace", "workspace", "id"),
)

rejected_counts = table(
    "rejected_counts",
    key("workspace"),
    key("day"),
    Column("code", TEXT, primary_key=True),
    whole("count"),
)

#: What arrived from whom, by UTC hour and by UTC day (app/pipeline/sources.py). Hours are kept two months.
source_hours = table(
    "source_hours",
    key("workspace"),
    key("kind", SMALL),  # model.SOURCES
    Column("name", TEXT, primary_key=True),  # a host, or the id of a key or partner
    key("hour"),
    whole("count"),
    Index("source_hours_hour", "workspace", "hour"),
    clustered=True,
)
source_days = table(
    "source_days",
    key("workspace"),
    key("kind", SMALL),
    Column("name", TEXT, primary_key=True),
    key("day"),
    whole("count"),
    Index("source_days_day", "workspace", "day"),
    clustered=True,
)

#: What persons asked to have erased: whom, in numbers (persons.rules.Wanted), until it is done; then counts.
erasures = table(
    "erasures",
    serial(),
    whole("workspace"),
    whole("requested_at"),
    text("stage"),  # persons.tasks.STAGES
    whole("round"),  # every inbox must have been swept after this round before the stage can end
    text("wanted"),
    text("counts"),  # JSON: how many rows of which table
    maybe("erased_at"),
    maybe("done_at"),
    Index("erasures_stage", "stage", "id"),
)

#: The machines' inboxes: up to which round each has let go of what it had processed.
sweepers = table(
    "sweepers",
    Column("name", Bytes(), primary_key=True),  # of the worker: the one in its lock file
    whole("round"),
    whole("seen_at"),
)

#: When what is kept for a time was last looked through (persons.keeping.CLASSES), and what went then.
keeping_runs = table(
    "keeping_runs",
    Column("what", TEXT, primary_key=True),
    whole("ran_at"),
    whole("removed"),
)

# --- Who is whom -----------------------------------------------------------------------------------

#: Two identifiers told by one event. Facts; people are the components of this graph.
edges = table(
    "edges",
    key("workspace"),
    key("a"),
    key("b"),
    whole("a_kind", 0, SMALL),
    whole("b_kind", 0, SMALL),
    whole("first_seen"),
    Index("edges_back", "workspace", "b", "a"),
    clustered=True,
)

#: Which nodes are one person; a shared device belongs to each user for a while ([since, until)).
people = table(
    "people",
    key("workspace"),
    key("node"),
    key("since"),
    whole("until"),
    whole("person"),
    Index("people_person", "workspace", "person"),
    clustered=True,
)

#: Identifiers that do not join all they were told with, and why; kept by the leader beside `people`.
unjoined = table(
    "unjoined",
    key("workspace"),
    key("node"),
    whole("kind", 0, SMALL),
    whole("reason", 0, SMALL),  # identity.rules.REASONS
    whole("linked"),  # how many others it was told with
    clustered=True,
)

#: Identifiers that identify nobody because an operator said so.
identifier_blocks = table(
    "identifier_blocks",
    serial(),
    whole("workspace"),
    whole("node"),
    whole("kind", 0, SMALL),
    text("value"),  # as sent; of an e-mail address or phone its hash
    text("note"),
    whole("created_at"),
    maybe("archived_at"),
    UniqueConstraint("workspace", "node"),
)

#: Values that identify nobody (identity.rules.junk), by the few names they have; counted by pipelines.
junk = table(
    "junk",
    key("workspace"),
    key("kind", SMALL),
    Column("value", TEXT, primary_key=True),
    whole("events"),
    whole("first_seen"),
    clustered=True,
)

# --- What was earned -------------------------------------------------------------------------------

#: What pipelines tell the leader. Taken with DELETE ... RETURNING, in any order.
changes = table(
    "changes",
    serial(),
    whole("workspace"),
    text("kind"),  # touches, conversions, edges, setting
    Column("body", Bytes(), nullable=False),  # packed int64 little-endian; see pipeline.store
)

conversions = table(
    "conversions",
    key("workspace"),
    key("id"),
    whole("kind", 0, SMALL),
    whole("goal_id"),
    text("labels"),  # JSON: further goal names that reported the same order
    text("order_id"),
    text("store"),
    whole("occurred_at"),
    whole("no"),  # of the sighting that stands
    whole("received_at"),
    maybe("value"),
    text("currency"),
    maybe("tax"),
    maybe("shipping"),
    maybe("cost_of_goods"),
    maybe("payout"),
    maybe("reported"),  # value in the reporting currency; NULL: no value, or no rate yet
    maybe("reported_cogs"),
    text("fx"),  # the rate used and its day, for people
    whole("state", 0, SMALL),
    whole("initial_state", 0, SMALL),  # before any adjustment
    whole("verified", 0, SMALL),
    whole("setbacks", 0, SMALL),  # model.SETBACKS; 0: it counts
    whole("refunded"),
    whole("adjusted", 0, MIDDLE),  # how many adjustments name it
    whole("person"),
    whole("visitor"),
    maybe("new_customer", SMALL),
    whole("country", 0, SMALL),
    whole("device", 0, SMALL),
    whole("consent_denied", 0, SMALL),
    text("nodes"),  # JSON: the identity nodes of all its sightings
    Column("clicks", TEXT, nullable=False, server_default="[]"),  # JSON: our click ids it named, read
    text("lead_id"),
    text("issues"),  # JSON: refund_exceeds_value, refund_currency, value_conflict, ...
    whole("credit_version", 0, MIDDLE),
    whole("frozen", 0, SMALL),  # 1: somebody was erased; its credits and setbacks stand as they are
    Index("conversions_time", "workspace", "occurred_at"),
    Index("conversions_order", "workspace", "order_id"),
    clustered=True,
)

#: Which conversions an identity node, or a click number, has: how a touch or a merge finds what it makes due.
conversion_nodes = table(
    "conversion_nodes",
    key("workspace"),
    key("node"),
    key("conversion"),
    whole("occurred_at"),
    Index("conversion_nodes_conversion", "workspace", "conversion"),
    clustered=True,
)

#: Conversions whose credits must be computed again.
due = table(
    "due",
    key("workspace"),
    key("conversion"),
    whole("occurred_at"),
    Index("due_time", "workspace", "occurred_at"),  # settled in this order, so that cells aggregate
    clustered=True,
)

#: What the rollups hold of a conversion, as signed lines: `sign` x a whole standing on a day, in a state.
#: Ordinal 0 (basis 1) is how it stands today, on its own day; by touch the same, on the touch's day.
#: Basis 3 lines are corrections: added to basis 1 they give each change on the day it was booked.
#: A conversion that does not count has none. Written by conversions.rules.bookings, through settle.
bookings = table(
    "bookings",
    key("workspace"),
    key("conversion"),
    key("ordinal", MIDDLE),
    whole("basis", 1, SMALL),
    whole("sign", 1, SMALL),
    whole("day"),
    whole("at"),
    text("cause"),  # made, status, refund
    whole("kind", 0, SMALL),
    whole("goal_id"),
    whole("state", 0, SMALL),
    text("currency"),
    whole("rated", 1, SMALL),
    whole("net_count", 1, SMALL),  # 0: refunded in full
    whole("valued", 0, SMALL),
    whole("new_customer", 0, SMALL),
    whole("with_cogs", 0, SMALL),
    whole("gross"),
    whole("net"),
    whole("cogs"),
    whole("reported_gross"),
    whole("reported_net"),
    whole("reported_cogs"),
    clustered=True,
)

#: One row per (conversion, touch), with every model's integer weight. Shares are
#: money.allocate(amount, weights) over the rows of the conversion in `ordinal` order.
credits = table(
    "credits",
    key("workspace"),
    key("conversion"),
    key("version", MIDDLE),
    key("ordinal", MIDDLE),  # 0: the unattributed row; touches from 1, oldest first
    whole("no"),
    whole("kind", 0, SMALL),
    whole("occurred_at"),
    whole("day"),  # of the touch, in the zone it was booked in; unattributed: of the conversion
    whole("channel_id"),
    whole("campaign_id"),
    whole("ad_id"),
    whole("partner_id"),
    whole("country", 0, SMALL),
    whole("device", 0, SMALL),
    whole("reason", 0, SMALL),  # model.REASONS, of an unattributed row
    whole("first_touch"),
    whole("last_touch"),
    whole("last_click"),
    whole("linear"),
    whole("position_based"),
    whole("time_decay"),
    whole("billing"),
    clustered=True,
)

# --- Rollups: narrow, additive, integers only -------------------------------------------------------


def traffic(name: str, *keys_: str) -> Table:
    return table(
        name,
        *(key(k) for k in ("workspace", *keys_)),
        whole("impressions"),  # valid ones
        whole("impressions_flagged"),
        whole("clicks"),
        whole("clicks_flagged"),
        whole("clicks_billable"),
        whole("visits"),
        whole("visits_flagged"),
        whole("pageviews"),
        whole("opens"),
        whole("bounces"),
        whole("engaged"),
        clustered=True,
    )


TRAFFIC_MEASURES = (
    "impressions", "impressions_flagged", "clicks", "clicks_flagged", "clicks_billable",
    "visits", "visits_flagged", "pageviews", "opens", "bounces", "engaged",
)  # fmt: skip

traffic_days = traffic("traffic_days", "day", "channel_id", "campaign_id", "ad_id", "partner_id")
# A daily report by campaign reads 18,000 cells instead of 90,000 and more (5 ads, several partners).
traffic_campaign_days = traffic("traffic_campaign_days", "day", "channel_id", "campaign_id")
traffic_places = traffic("traffic_places", "day", "channel_id", "country", "device")
traffic_quarters = traffic("traffic_quarters", "quarter", "campaign_id")  # occurred_at // QUARTER


def credit(name: str, *keys_: str) -> Table:
    return table(
        name,
        *(key(k) for k in ("workspace", "basis", "model", *keys_, "kind", "goal_id", "state")),
        Column("currency", TEXT, primary_key=True),
        key("rated", SMALL),  # 0: no exchange rate yet; its reported sums are 0 and unknown
        whole("count"),  # results, in 10^-6
        whole("net_count"),  # without those refunded in full
        whole("valued"),  # that carry a value
        whole("by_click"),
        whole("by_view"),
        whole("new_customers"),
        whole("with_cogs"),  # whose cost of goods is known
        *(
            whole(f"{measure}_{part}")
            for measure in ("gross", "net", "cogs", "reported_gross", "reported_net", "reported_cogs")
            for part in ("hi", "lo")
        ),
        clustered=True,
    )


CREDIT_MEASURES = (
    "count", "net_count", "valued", "by_click", "by_view", "new_customers", "with_cogs",
    "gross_hi", "gross_lo", "net_hi", "net_lo", "cogs_hi", "cogs_lo",
    "reported_gross_hi", "reported_gross_lo", "reported_net_hi", "reported_net_lo",
    "reported_cogs_hi", "reported_cogs_lo",
)  # fmt: skip

credit_days = credit("credit_days", "day", "channel_id", "campaign_id", "ad_id", "partner_id")
credit_places = credit("credit_places", "day", "channel_id", "country", "device")
