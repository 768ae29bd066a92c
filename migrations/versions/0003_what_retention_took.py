"""What retention took away."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "dropped",
        sa.Column("what", TEXT, nullable=False),
        sa.Column("before", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("what"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )


def downgrade() -> None:
    op.drop_table("dropped")
