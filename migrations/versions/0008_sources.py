"""Who sends, by the hour and by the day."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for name, time in (("source_hours", "hour"), ("source_days", "day")):
        op.create_table(
            name,
            sa.Column("workspace", BIG, nullable=False),
            sa.Column("kind", SMALL, nullable=False),
            sa.Column("name", TEXT, nullable=False),
            sa.Column(time, BIG, nullable=False),
            sa.Column("count", BIG, server_default=sa.text("0"), nullable=False),
            sa.PrimaryKeyConstraint("workspace", "kind", "name", time),
            sqlite_strict=True,
            sqlite_with_rowid=False,
        )
        op.create_index(f"{name}_{time}", name, ["workspace", time])


def downgrade() -> None:
    op.drop_table("source_days")
    op.drop_table("source_hours")
