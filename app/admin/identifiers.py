"""Identifiers that join nobody: listed with the reason, blocked by an operator, given back.

A block is archived, never deleted, and nothing that was stored changes with it: the leader hears of it
and works people, conversions and credits out anew. The audit log names a block by its id only, so that an
identifier stands in one place.
"""

from sqlalchemy import select, update

from app import tables
from app.admin.schemas import BlockOut, BlockPage, NewBlock, UnjoinedOut, UnjoinedPage
from app.campaigns import changes
from app.campaigns.changes import Desk
from app.campaigns.paging import Key, next_cursor
from app.collect import fields
from app.errors import Conflict, InvalidInput, NotFound
from app.identity import reports
from app.identity.reports import KIND_NAMES
from app.identity.rules import junk
from app.model import NODES, node
from app.pipeline.store import tell

c = tables.identifier_blocks.c

#: A kind's value as the doors read it: an address or number becomes the hash by which people are joined.
READERS = {
    "visitor": fields.text(200),
    "user": fields.text(200),
    "email": fields.email,
    "phone": fields.phone,
}

#: The parts of the one list, in their order; a cursor begins with one.
GRAPH, JUNK = 0, 1


def unjoined(desk: Desk, page: UnjoinedPage, *, after: Key | None) -> tuple[list[UnjoinedOut], str | None]:
    """Identifiers of the graph, those told with most others first; then the stand-ins for none.

    The largest of them grow while one pages: such a row may come twice.
    """
    section, first, second, text = after or (GRAPH, 0, 0, "")
    wanted = page.limit + 1
    found: list[reports.Unjoined] = []
    if section == GRAPH and page.reason != "junk":
        behind = (int(first), int(second)) if after else None
        found = reports.unjoined(
            desk.connection, desk.workspace,
            reason=page.reason, kind=page.kind, after=behind, limit=wanted,
        )  # fmt: skip
    if page.reason in ("", "junk") and len(found) < wanted:
        # A forged cursor may hold what no column does.
        seen = (max(0, min(int(first), len(NODES))), str(text)) if section == JUNK else (0, "")
        found += reports.junk(
            desk.connection, desk.workspace, kind=page.kind, after=seen, limit=wanted - len(found)
        )
    keys: list[Key] = [
        (JUNK, NODES[row.kind], 0, row.value or "")
        if row.reason == "junk"
        else (GRAPH, row.linked, row.number, "")
        for row in found
    ]
    shown = [UnjoinedOut.model_validate(row, from_attributes=True) for row in found[: page.limit]]
    return shown, next_cursor(keys, page.limit)


def block(desk: Desk, wanted: NewBlock) -> BlockOut:
    """From now on, and for all that was, this identifier is nobody's. Errors: InvalidInput; Conflict when it
    is blocked already."""
    value = _read(wanted)
    number = node(desk.workspace, wanted.kind, value)
    mine = (c.workspace == desk.workspace, c.node == number)
    before = desk.connection.execute(select(c.id, c.archived_at).where(*mine)).one_or_none()
    if before is not None and before.archived_at is None:
        raise Conflict("block_exists", f"this identifier is blocked already: block {before.id}")
    fields_ = {"value": value, "note": wanted.note, "created_at": desk.now, "archived_at": None}
    if before is None:
        row = tables.identifier_blocks.insert().values(
            workspace=desk.workspace, node=number, kind=NODES[wanted.kind], **fields_
        )
        id_ = int(desk.connection.execute(row.returning(c.id)).scalar_one())
    else:
        id_ = int(before.id)
        desk.connection.execute(update(tables.identifier_blocks).where(*mine).values(fields_))
    tell(desk.connection, desk.workspace, "edges", [number])
    made = read(desk, id_)
    changes.record(desk, "create", f"identifiers/blocks/{id_}", after=_audited(made))
    return made


def _read(wanted: NewBlock) -> str:
    try:
        found = READERS[wanted.kind](wanted.value)
    except fields.Bad as error:
        raise InvalidInput(error.code, f"value: {error.message}", field="value") from error
    value = found["meta"] if isinstance(found, dict) else str(found)
    if not value or junk(value) is not None:
        raise InvalidInput(
            "identifier_is_junk",
            "value: is empty or a stand-in for none: it joins nobody as it is",
            field="value",
        )
    return value


def read(desk: Desk, id_: int) -> BlockOut:
    """Errors: NotFound, for blocks of other workspaces too."""
    rows = select(tables.identifier_blocks).where(c.id == id_, c.workspace == desk.workspace)
    row = desk.connection.execute(rows).one_or_none()
    if row is None:
        raise NotFound("block_not_found", f"there is no block {id_}")
    return BlockOut.model_validate({**row._mapping, "kind": KIND_NAMES[row.kind]})


def listed(desk: Desk, page: BlockPage, *, after: int) -> tuple[list[BlockOut], str | None]:
    """A page of blocks in the order they were made first."""
    rows = select(tables.identifier_blocks).where(c.workspace == desk.workspace, c.id > after)
    rows = rows.where(c.archived_at.is_not(None) if page.archived else c.archived_at.is_(None))
    found = list(desk.connection.execute(rows.order_by(c.id).limit(page.limit + 1)))
    cursor = next_cursor([(row.id,) for row in found], page.limit)
    shown = [
        BlockOut.model_validate({**row._mapping, "kind": KIND_NAMES[row.kind]}) for row in found[: page.limit]
    ]
    return shown, cursor


def lift(desk: Desk, id_: int) -> None:
    """Everything is again as if the identifier had never been blocked. Errors: NotFound."""
    before = read(desk, id_)
    if before.archived_at is not None:
        return
    desk.connection.execute(
        update(tables.identifier_blocks)
        .where(c.id == id_, c.workspace == desk.workspace)
        .values(archived_at=desk.now)
    )
    rows = select(c.node).where(c.id == id_, c.workspace == desk.workspace)
    tell(desk.connection, desk.workspace, "edges", [desk.connection.execute(rows).scalar_one()])
    name = f"identifiers/blocks/{id_}"
    changes.record(desk, "archive", name, before=_audited(before), after=_audited(read(desk, id_)))


def _audited(block: BlockOut) -> dict[str, object]:
    return block.model_dump(mode="json", exclude={"value"})
