"""Erasure of persons, and what is kept for how long."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("conversions", sa.Column("frozen", SMALL, server_default=sa.text("0"), nullable=False))
    op.create_table(
        "erasures",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("requested_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("stage", TEXT, server_default="", nullable=False),
        sa.Column("round", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("wanted", TEXT, server_default="", nullable=False),
        sa.Column("counts", TEXT, server_default="", nullable=False),
        sa.Column("erased_at", BIG, nullable=True),
        sa.Column("done_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("erasures_stage", "erasures", ["stage", "id"])
    op.create_table(
        "sweepers",
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("round", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("seen_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )
    op.create_table(
        "keeping_runs",
        sa.Column("what", TEXT, nullable=False),
        sa.Column("ran_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("removed", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("what"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("keeping_runs")
    op.drop_table("sweepers")
    op.drop_index("erasures_stage", "erasures")
    op.drop_table("erasures")
    op.drop_column("conversions", "frozen")
