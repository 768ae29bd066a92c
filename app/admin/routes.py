"""HTTP of the workspace, its keys, its audit log and its rejected records."""

from typing import Annotated

from fastapi import Depends, Path, Query

from app import deps, money
from app.admin import identifiers, keys, records, schemas, workspace
from app.campaigns import changes
from app.campaigns.changes import Desk
from app.campaigns.paging import Listed, Page, key_of
from app.campaigns.routes import ChangingDesk, ReadingDesk, management

router = management("/v1", "admin")

Id = Annotated[int, Path(ge=1, le=money.LARGEST)]


def analyst(caller: deps.Reader, connection: deps.Looking, now: deps.Now) -> Desk:
    """A desk for those who may only read: what was refused concerns whoever reads the numbers."""
    return changes.reading_desk(connection, workspace=caller.workspace, key=caller.key, now=now)


AnalystDesk = Annotated[Desk, Depends(analyst, scope="function")]


def _before(cursor: str) -> int:
    """Where a list that starts at the newest goes on."""
    key = key_of(cursor, int)
    return int(key[0]) if key else money.LARGEST


@router.get("/workspace")
def read_workspace(desk: ReadingDesk) -> schemas.WorkspaceOut:
    return workspace.read(desk)


@router.patch("/workspace")
def change_workspace(desk: ChangingDesk, body: schemas.WorkspaceChange) -> schemas.WorkspaceOut:
    return workspace.change(desk, body.model_dump(exclude_unset=True))


@router.post("/keys", status_code=201)
def create_key(desk: ChangingDesk, body: schemas.NewKey) -> schemas.MadeKey:
    return keys.make(desk, body)


@router.get("/keys")
def list_keys(desk: ReadingDesk, page: Annotated[Page, Query()]) -> Listed[schemas.KeyOut]:
    key = key_of(page.cursor, int)
    items, cursor = keys.listed(desk, page, after=int(key[0]) if key else 0)
    return Listed(items=items, next_cursor=cursor)


@router.get("/keys/{id}")
def read_key(desk: ReadingDesk, id: Id) -> schemas.KeyOut:
    return keys.read(desk, id)


@router.delete("/keys/{id}", status_code=204)
def revoke_key(desk: ChangingDesk, id: Id) -> None:
    keys.revoke(desk, id)


@router.get("/identifiers/unjoined")
def list_unjoined(
    desk: ReadingDesk, page: Annotated[schemas.UnjoinedPage, Query()]
) -> Listed[schemas.UnjoinedOut]:
    after = key_of(page.cursor, int, int, int, str)
    items, cursor = identifiers.unjoined(desk, page, after=after)
    return Listed(items=items, next_cursor=cursor)


@router.post("/identifiers/blocks", status_code=201)
def block_identifier(desk: ChangingDesk, body: schemas.NewBlock) -> schemas.BlockOut:
    return identifiers.block(desk, body)


@router.get("/identifiers/blocks")
def list_blocks(desk: ReadingDesk, page: Annotated[schemas.BlockPage, Query()]) -> Listed[schemas.BlockOut]:
    key = key_of(page.cursor, int)
    items, cursor = identifiers.listed(desk, page, after=int(key[0]) if key else 0)
    return Listed(items=items, next_cursor=cursor)


@router.get("/identifiers/blocks/{id}")
def read_block(desk: ReadingDesk, id: Id) -> schemas.BlockOut:
    return identifiers.read(desk, id)


@router.delete("/identifiers/blocks/{id}", status_code=204)
def lift_block(desk: ChangingDesk, id: Id) -> None:
    identifiers.lift(desk, id)


@router.get("/audit-log")
def list_audit_log(
    desk: ReadingDesk, page: Annotated[schemas.AuditPage, Query()]
) -> Listed[schemas.AuditOut]:
    items, cursor = records.audit(desk, page, before=_before(page.cursor))
    return Listed(items=items, next_cursor=cursor)


@router.get("/rejected")
def list_rejected(desk: AnalystDesk, page: Annotated[schemas.RejectedPage, Query()]) -> schemas.RejectedList:
    items, cursor = records.rejected(desk, page, before=_before(page.cursor))
    return schemas.RejectedList(items=items, next_cursor=cursor, counts=records.rejected_counts(desk))


@router.post("/rejected/replay", status_code=202)
def replay_rejected(desk: ChangingDesk, body: schemas.Replay) -> schemas.ReplayOut:
    return records.replay(desk, body)
