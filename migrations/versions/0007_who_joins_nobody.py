"""Which identifiers join nobody, which an operator blocked, and junk that was sent in their place.

By whose rules a workspace's people were joined stands in `joined_by`: 0 for all that are there, so that a
leader who knows the column looks at all identifiers once. It is no note in `changes`: a leader of before,
at work while machines are upgraded one by one, would take that away.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "unjoined",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("node", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("reason", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("linked", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "node"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "identifier_blocks",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workspace", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("node", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("kind", SMALL, server_default=sa.text("0"), nullable=False),
        sa.Column("value", TEXT, server_default="", nullable=False),
        sa.Column("note", TEXT, server_default="", nullable=False),
        sa.Column("created_at", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("archived_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "node"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "junk",
        sa.Column("workspace", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", SMALL, autoincrement=False, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("events", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("first_seen", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "kind", "value"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.add_column("workspaces", sa.Column("joined_by", SMALL, server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    op.drop_column("workspaces", "joined_by")
    op.drop_table("junk")
    op.drop_table("identifier_blocks")
    op.drop_table("unjoined")
