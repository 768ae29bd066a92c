"""PostgreSQL keeps events by month, and leaves room beside rollup rows. Nothing to do on SQLite.

A month's indexes fit in memory where those of all events would not, and retention drops a month in a
moment. Months are made ahead by the worker (app/events/months.py); until then events lie in events_rest.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

#: Rows that are updated all day: with room in their page, an update touches no index.
UPDATED = (
    "traffic_days", "traffic_campaign_days", "traffic_places", "traffic_quarters", "credit_days",
    "credit_places", "conversions", "cursors",
)  # fmt: skip

# A journey is read from the index alone; what is not searched by stays out of its upper levels.
JOURNEY = """
    CREATE INDEX events_journey ON events (visitor, occurred_at)
    INCLUDE (kind, flags, no, direct, channel_id, campaign_id, ad_id, partner_id, country, device)
"""


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("DROP INDEX events_time, events_journey")
    op.execute("ALTER TABLE events DROP CONSTRAINT events_pkey")
    op.execute("ALTER TABLE events RENAME TO events_before")
    op.execute("CREATE TABLE events (LIKE events_before INCLUDING DEFAULTS) PARTITION BY RANGE (occurred_at)")
    op.execute("ALTER SEQUENCE events_id_seq OWNED BY events.id")
    # The newest id tells how fresh a report is; a lifted click is found by it.
    op.execute("ALTER TABLE events ADD PRIMARY KEY (id, occurred_at)")
    op.execute("CREATE INDEX events_time ON events (workspace, occurred_at)")
    op.execute(JOURNEY)
    op.execute("CREATE TABLE events_rest PARTITION OF events DEFAULT")
    op.execute("INSERT INTO events SELECT * FROM events_before")
    op.execute("DROP TABLE events_before")
    for table in UPDATED:
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 80)")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in UPDATED:
        op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    op.execute("DROP INDEX events_time, events_journey")
    op.execute("ALTER TABLE events DROP CONSTRAINT events_pkey")
    op.execute("ALTER TABLE events RENAME TO events_before")
    op.execute("CREATE TABLE events (LIKE events_before INCLUDING DEFAULTS)")
    op.execute("ALTER SEQUENCE events_id_seq OWNED BY events.id")
    op.execute("INSERT INTO events SELECT * FROM events_before")
    op.execute("DROP TABLE events_before")
    op.execute("ALTER TABLE events ADD PRIMARY KEY (id)")
    op.execute("CREATE INDEX events_time ON events (workspace, occurred_at)")
    op.execute(JOURNEY.replace("(visitor, occurred_at)\n    INCLUDE (", "(visitor, occurred_at, "))
