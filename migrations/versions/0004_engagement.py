"""Whether a visit was engaged in."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("events", sa.Column("quality", SMALL, server_default=sa.text("0"), nullable=False))
    op.create_table(
        "visits",
        sa.Column("workspace", BIG, nullable=False),
        sa.Column("no", BIG, nullable=False),
        sa.Column("occurred_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("engaged", SMALL, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "no"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("visits")
    op.drop_column("events", "quality")
