"""First schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "adjustments",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("conversion", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("no", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("door", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("occurred_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("received_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("event_id", TEXT, server_default="", nullable=False),
        sa.Column("value", BIG, nullable=True),
        sa.Column("currency", TEXT, server_default="", nullable=False),
        sa.Column("status", TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index("adjustments_conversion", "adjustments", ["workspace", "conversion"], unique=False)
    op.create_table(
        "ads",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("campaign_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("slug", TEXT, server_default="", nullable=False),
        sa.Column("name", TEXT, server_default="", nullable=False),
        sa.Column("ad_group", TEXT, server_default="", nullable=False),
        sa.Column("creative", TEXT, server_default="", nullable=False),
        sa.Column("landing_url", TEXT, server_default="", nullable=False),
        sa.Column("segment", TEXT, server_default="{}", nullable=False),
        sa.Column("known", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("archived_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "campaign_id", "slug"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "audit_log",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("key", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("action", TEXT, server_default="", nullable=False),
        sa.Column("object", TEXT, server_default="", nullable=False),
        sa.Column("before", TEXT, server_default="", nullable=False),
        sa.Column("after", TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index("audit_log_workspace", "audit_log", ["workspace", "id"], unique=False)
    op.create_table(
        "bookings",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("conversion", BIG, autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("basis", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("sign", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("day", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("cause", TEXT, server_default="", nullable=False),
        sa.Column("kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("goal_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("state", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("currency", TEXT, server_default="", nullable=False),
        sa.Column("rated", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("net_count", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("valued", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("new_customer", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("with_cogs", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("gross", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("net", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("cogs", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_gross", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_net", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_cogs", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "conversion", "ordinal"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "campaigns",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("slug", TEXT, server_default="", nullable=False),
        sa.Column("name", TEXT, server_default="", nullable=False),
        sa.Column("channel_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("audience", TEXT, server_default="", nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("landing_url", TEXT, server_default="", nullable=False),
        sa.Column("fallback_url", TEXT, server_default="", nullable=False),
        sa.Column("allowed_hosts", TEXT, server_default="[]", nullable=False),
        sa.Column("match", TEXT, server_default="[]", nullable=False),
        sa.Column("pass_parameters", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("margin_rate", BIG, nullable=True),
        sa.Column("starts_on", BIG, nullable=True),
        sa.Column("ends_on", BIG, nullable=True),
        sa.Column("windows", TEXT, server_default="{}", nullable=False),
        sa.Column("known", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("archived_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "slug"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "carried",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("no", BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "no"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "changes",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("kind", TEXT, server_default="", nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "channels",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("slug", TEXT, server_default="", nullable=False),
        sa.Column("name", TEXT, server_default="", nullable=False),
        sa.Column("known", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("archived_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "slug"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "config",
        sa.Column("id", SMALL, autoincrement=False, nullable=False),
        sa.Column("version", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "conversion_nodes",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("node", BIG, autoincrement=False, nullable=False),
        sa.Column("conversion", BIG, autoincrement=False, nullable=False),
        sa.Column("occurred_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "node", "conversion"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "conversion_nodes_conversion", "conversion_nodes", ["workspace", "conversion"], unique=False
    )
    op.create_table(
        "conversions",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("goal_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("labels", TEXT, server_default="", nullable=False),
        sa.Column("order_id", TEXT, server_default="", nullable=False),
        sa.Column("store", TEXT, server_default="", nullable=False),
        sa.Column("occurred_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("no", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("received_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("value", BIG, nullable=True),
        sa.Column("currency", TEXT, server_default="", nullable=False),
        sa.Column("tax", BIG, nullable=True),
        sa.Column("shipping", BIG, nullable=True),
        sa.Column("cost_of_goods", BIG, nullable=True),
        sa.Column("payout", BIG, nullable=True),
        sa.Column("reported", BIG, nullable=True),
        sa.Column("reported_cogs", BIG, nullable=True),
        sa.Column("fx", TEXT, server_default="", nullable=False),
        sa.Column("state", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("initial_state", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("verified", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("setbacks", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("refunded", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("adjusted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("person", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visitor", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("new_customer", SMALL, nullable=True),
        sa.Column("country", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("device", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("consent_denied", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("nodes", TEXT, server_default="", nullable=False),
        sa.Column("clicks", TEXT, server_default="[]", nullable=False),
        sa.Column("lead_id", TEXT, server_default="", nullable=False),
        sa.Column("issues", TEXT, server_default="", nullable=False),
        sa.Column("credit_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("conversions_order", "conversions", ["workspace", "order_id"], unique=False)
    op.create_index("conversions_time", "conversions", ["workspace", "occurred_at"], unique=False)
    op.create_table(
        "cost_sources",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("campaign_id", BIG, autoincrement=False, nullable=False),
        sa.Column("valid_from", BIG, autoincrement=False, nullable=False),
        sa.Column("cost_source", TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("workspace", "campaign_id", "valid_from"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "credit_days",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("basis", BIG, autoincrement=False, nullable=False),
        sa.Column("model", BIG, autoincrement=False, nullable=False),
        sa.Column("day", BIG, autoincrement=False, nullable=False),
        sa.Column("channel_id", BIG, autoincrement=False, nullable=False),
        sa.Column("campaign_id", BIG, autoincrement=False, nullable=False),
        sa.Column("ad_id", BIG, autoincrement=False, nullable=False),
        sa.Column("partner_id", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", BIG, autoincrement=False, nullable=False),
        sa.Column("goal_id", BIG, autoincrement=False, nullable=False),
        sa.Column("state", BIG, autoincrement=False, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("rated", SMALL, autoincrement=False, nullable=False),
        sa.Column("count", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("net_count", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("valued", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("by_click", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("by_view", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("new_customers", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("with_cogs", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("gross_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("gross_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("net_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("net_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("cogs_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("cogs_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_gross_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_gross_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_net_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_net_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_cogs_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_cogs_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint(
            "workspace",
            "basis",
            "model",
            "day",
            "channel_id",
            "campaign_id",
            "ad_id",
            "partner_id",
            "kind",
            "goal_id",
            "state",
            "currency",
            "rated",
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "credit_places",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("basis", BIG, autoincrement=False, nullable=False),
        sa.Column("model", BIG, autoincrement=False, nullable=False),
        sa.Column("day", BIG, autoincrement=False, nullable=False),
        sa.Column("channel_id", BIG, autoincrement=False, nullable=False),
        sa.Column("country", BIG, autoincrement=False, nullable=False),
        sa.Column("device", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", BIG, autoincrement=False, nullable=False),
        sa.Column("goal_id", BIG, autoincrement=False, nullable=False),
        sa.Column("state", BIG, autoincrement=False, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("rated", SMALL, autoincrement=False, nullable=False),
        sa.Column("count", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("net_count", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("valued", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("by_click", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("by_view", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("new_customers", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("with_cogs", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("gross_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("gross_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("net_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("net_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("cogs_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("cogs_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_gross_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_gross_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_net_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_net_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_cogs_hi", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("reported_cogs_lo", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint(
            "workspace",
            "basis",
            "model",
            "day",
            "channel_id",
            "country",
            "device",
            "kind",
            "goal_id",
            "state",
            "currency",
            "rated",
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "credits",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("conversion", BIG, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("no", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("occurred_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("day", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("channel_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("campaign_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("ad_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("partner_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("country", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("device", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("reason", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("first_touch", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("last_touch", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("last_click", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("linear", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("position_based", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("time_decay", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("billing", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "conversion", "version", "ordinal"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cursors",
        sa.Column("file", sa.LargeBinary(), nullable=False),
        sa.Column("sequence", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("file"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "deals",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("model", TEXT, server_default="", nullable=False),
        sa.Column("side", TEXT, server_default="", nullable=False),
        sa.Column("rate", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("currency", TEXT, server_default="", nullable=False),
        sa.Column("campaign_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("ad_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("partner_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("goal_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("valid_from", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("valid_to", BIG, nullable=True),
        sa.Column("per", TEXT, server_default="", nullable=False),
        sa.Column("options", TEXT, server_default="", nullable=False),
        sa.Column("archived_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index("deals_campaign", "deals", ["workspace", "campaign_id"], unique=False)
    op.create_table(
        "due",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("conversion", BIG, autoincrement=False, nullable=False),
        sa.Column("occurred_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "conversion"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("due_time", "due", ["workspace", "occurred_at"], unique=False)
    op.create_table(
        "edges",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("a", BIG, autoincrement=False, nullable=False),
        sa.Column("b", BIG, autoincrement=False, nullable=False),
        sa.Column("a_kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("b_kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("first_seen", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "a", "b"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("edges_back", "edges", ["workspace", "b", "a"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("occurred_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("no", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("received_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visitor", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("flags", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("door", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("billable", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("channel_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("campaign_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("ad_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("partner_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("country", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("device", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("direct", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("source", TEXT, server_default="", nullable=False),
        sa.Column("medium", TEXT, server_default="", nullable=False),
        sa.Column("ad_group", TEXT, server_default="", nullable=False),
        sa.Column("creative", TEXT, server_default="", nullable=False),
        sa.Column("placement", TEXT, server_default="", nullable=False),
        sa.Column("keyword", TEXT, server_default="", nullable=False),
        sa.Column("visitor_id", TEXT, server_default="", nullable=False),
        sa.Column("user_id", TEXT, server_default="", nullable=False),
        sa.Column("click_id", TEXT, server_default="", nullable=False),
        sa.Column("details", TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index(
        "events_journey",
        "events",
        [
            sa.literal_column("(occurred_at / 604800000000)"),
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
        ],
        unique=False,
    )
    op.create_index("events_time", "events", ["workspace", "occurred_at"], unique=False)
    op.create_table(
        "fx_rates",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("day", BIG, autoincrement=False, nullable=False),
        sa.Column("base", TEXT, nullable=False),
        sa.Column("rate", TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("workspace", "currency", "day", "base"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "goals",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("slug", TEXT, server_default="", nullable=False),
        sa.Column("name", TEXT, server_default="", nullable=False),
        sa.Column("kind", TEXT, server_default="", nullable=False),
        sa.Column("count", TEXT, server_default="every", nullable=False),
        sa.Column("primary", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("value", BIG, nullable=True),
        sa.Column("currency", TEXT, server_default="", nullable=False),
        sa.Column("probability", BIG, nullable=True),
        sa.Column("windows", TEXT, server_default="{}", nullable=False),
        sa.Column("known", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("archived_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "slug"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "keys",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("scope", TEXT, server_default="", nullable=False),
        sa.Column("name", TEXT, server_default="", nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("prefix", TEXT, server_default="", nullable=False),
        sa.Column("created_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("revoked_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "landings",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("key", BIG, autoincrement=False, nullable=False),
        sa.Column("occurred_at", BIG, autoincrement=False, nullable=False),
        sa.Column("no", BIG, autoincrement=False, nullable=False),
        sa.Column("visitor", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("campaign_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "key", "occurred_at", "no"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("landings_visitor", "landings", ["workspace", "visitor"], unique=False)
    op.create_table(
        "outcomes",
        sa.Column("file", sa.LargeBinary(), nullable=False),
        sa.Column("sequence", BIG, autoincrement=False, nullable=False),
        sa.Column("outcome", TEXT, server_default="", nullable=False),
        sa.Column("at", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("file", "sequence"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "partners",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("slug", TEXT, server_default="", nullable=False),
        sa.Column("name", TEXT, server_default="", nullable=False),
        sa.Column("payout_means", TEXT, server_default="", nullable=False),
        sa.Column("known", SMALL, server_default=sa.text("1"), nullable=False),
        sa.Column("archived_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "slug"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "people",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("node", BIG, autoincrement=False, nullable=False),
        sa.Column("since", BIG, autoincrement=False, nullable=False),
        sa.Column("until", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("person", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "node", "since"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("people_person", "people", ["workspace", "person"], unique=False)
    op.create_table(
        "rejected",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("kind", TEXT, server_default="", nullable=False),
        sa.Column("door", TEXT, server_default="", nullable=False),
        sa.Column("code", TEXT, server_default="", nullable=False),
        sa.Column("field", TEXT, server_default="", nullable=False),
        sa.Column("message", TEXT, server_default="", nullable=False),
        sa.Column("event_id", TEXT, server_default="", nullable=False),
        sa.Column("body", TEXT, server_default="", nullable=False),
        sa.Column("replayed_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index("rejected_workspace", "rejected", ["workspace", "id"], unique=False)
    op.create_table(
        "rejected_counts",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("day", BIG, autoincrement=False, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("count", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "day", "code"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "seen",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("digest", BIG, nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sightings",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("conversion", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("no", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("goal_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("door", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("occurred_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("received_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("event_id", TEXT, server_default="", nullable=False),
        sa.Column("order_id", TEXT, server_default="", nullable=False),
        sa.Column("store", TEXT, server_default="", nullable=False),
        sa.Column("value", BIG, nullable=True),
        sa.Column("currency", TEXT, server_default="", nullable=False),
        sa.Column("tax", BIG, nullable=True),
        sa.Column("shipping", BIG, nullable=True),
        sa.Column("cost_of_goods", BIG, nullable=True),
        sa.Column("payout", BIG, nullable=True),
        sa.Column("status", TEXT, server_default="", nullable=False),
        sa.Column("flags", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("new_customer", SMALL, nullable=True),
        sa.Column("visitor", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("country", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("device", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("channel_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("campaign_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("ad_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("partner_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("consent_denied", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("click_id", TEXT, server_default="", nullable=False),
        sa.Column("lead_id", TEXT, server_default="", nullable=False),
        sa.Column("nodes", TEXT, server_default="", nullable=False),
        sa.Column("clicks", TEXT, server_default="[]", nullable=False),
        sa.Column("details", TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index("sightings_conversion", "sightings", ["workspace", "conversion"], unique=False)
    op.create_table(
        "spend",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("day", BIG, autoincrement=False, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("campaign_id", BIG, autoincrement=False, nullable=False),
        sa.Column("ad_id", BIG, autoincrement=False, nullable=False),
        sa.Column("amount", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("currency", TEXT, server_default="", nullable=False),
        sa.Column("timezone", TEXT, server_default="", nullable=False),
        sa.Column("impressions", BIG, nullable=True),
        sa.Column("clicks", BIG, nullable=True),
        sa.Column("updated_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "day", "source", "account", "campaign_id", "ad_id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "traffic_campaign_days",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("day", BIG, autoincrement=False, nullable=False),
        sa.Column("channel_id", BIG, autoincrement=False, nullable=False),
        sa.Column("campaign_id", BIG, autoincrement=False, nullable=False),
        sa.Column("impressions", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("impressions_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks_billable", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visits", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visits_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("pageviews", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("opens", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("bounces", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("engaged", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "day", "channel_id", "campaign_id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "traffic_days",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("day", BIG, autoincrement=False, nullable=False),
        sa.Column("channel_id", BIG, autoincrement=False, nullable=False),
        sa.Column("campaign_id", BIG, autoincrement=False, nullable=False),
        sa.Column("ad_id", BIG, autoincrement=False, nullable=False),
        sa.Column("partner_id", BIG, autoincrement=False, nullable=False),
        sa.Column("impressions", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("impressions_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks_billable", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visits", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visits_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("pageviews", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("opens", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("bounces", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("engaged", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "day", "channel_id", "campaign_id", "ad_id", "partner_id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "traffic_places",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("day", BIG, autoincrement=False, nullable=False),
        sa.Column("channel_id", BIG, autoincrement=False, nullable=False),
        sa.Column("country", BIG, autoincrement=False, nullable=False),
        sa.Column("device", BIG, autoincrement=False, nullable=False),
        sa.Column("impressions", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("impressions_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks_billable", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visits", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visits_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("pageviews", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("opens", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("bounces", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("engaged", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "day", "channel_id", "country", "device"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "traffic_quarters",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("quarter", BIG, autoincrement=False, nullable=False),
        sa.Column("campaign_id", BIG, autoincrement=False, nullable=False),
        sa.Column("impressions", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("impressions_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("clicks_billable", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visits", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("visits_flagged", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("pageviews", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("opens", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("bounces", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("engaged", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "quarter", "campaign_id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "workspaces",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("slug", TEXT, nullable=False),
        sa.Column("name", TEXT, server_default="", nullable=False),
        sa.Column("timezone", TEXT, server_default="UTC", nullable=False),
        sa.Column("reporting_currency", TEXT, server_default="EUR", nullable=False),
        sa.Column("week_start", TEXT, server_default="monday", nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("settings", TEXT, server_default="{}", nullable=False),
        sa.Column("created_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("archived_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )


def downgrade() -> None:
    op.drop_table("workspaces")
    op.drop_table("traffic_quarters")
    op.drop_table("traffic_places")
    op.drop_table("traffic_days")
    op.drop_table("traffic_campaign_days")
    op.drop_table("spend")
    op.drop_index("sightings_conversion", table_name="sightings")
    op.drop_table("sightings")
    op.drop_table("seen")
    op.drop_table("rejected_counts")
    op.drop_index("rejected_workspace", table_name="rejected")
    op.drop_table("rejected")
    op.drop_index("people_person", table_name="people")
    op.drop_table("people")
    op.drop_table("partners")
    op.drop_table("outcomes")
    op.drop_index("landings_visitor", table_name="landings")
    op.drop_table("landings")
    op.drop_table("keys")
    op.drop_table("goals")
    op.drop_table("fx_rates")
    op.drop_index("events_time", table_name="events")
    op.drop_index("events_journey", table_name="events")
    op.drop_table("events")
    op.drop_index("edges_back", table_name="edges")
    op.drop_table("edges")
    op.drop_index("due_time", table_name="due")
    op.drop_table("due")
    op.drop_index("deals_campaign", table_name="deals")
    op.drop_table("deals")
    op.drop_table("cursors")
    op.drop_table("credits")
    op.drop_table("credit_places")
    op.drop_table("credit_days")
    op.drop_table("cost_sources")
    op.drop_index("conversions_time", table_name="conversions")
    op.drop_index("conversions_order", table_name="conversions")
    op.drop_table("conversions")
    op.drop_index("conversion_nodes_conversion", table_name="conversion_nodes")
    op.drop_table("conversion_nodes")
    op.drop_table("config")
    op.drop_table("channels")
    op.drop_table("changes")
    op.drop_table("carried")
    op.drop_table("campaigns")
    op.drop_table("bookings")
    op.drop_index("audit_log_workspace", table_name="audit_log")
    op.drop_table("audit_log")
    op.drop_table("ads")
    op.drop_index("adjustments_conversion", table_name="adjustments")
    op.drop_table("adjustments")
