"""HTTP of spend and exchange rates. Loading is idempotent: the same rows twice change nothing.

200 with the counts and the rows refused; 422, same body, when every row was.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Response

from app.campaigns.paging import Listed, key_of
from app.campaigns.routes import ChangingDesk, ReadingDesk, management
from app.spend import schemas, store
from app.spend.rows import judged

router = management("/v1", "spend")

NONE_TAKEN: dict[int | str, dict[str, Any]] = {
    422: {"model": schemas.Loaded, "description": "Every row was refused."}
}


@router.post("/spend", responses=NONE_TAKEN)
def load_spend(desk: ChangingDesk, body: schemas.SpendRows, response: Response) -> schemas.Loaded:
    rows, rejected = judged(
        body.rows,
        schemas.SpendRow,
        key=lambda row: (row.date, row.source, row.account, _folded(row.campaign), _folded(row.ad)),
    )
    return _answer(store.load_spend(desk, rows), rejected, body.rows, response)


@router.get("/spend")
def list_spend(desk: ReadingDesk, page: Annotated[schemas.SpendPage, Query()]) -> Listed[schemas.SpendOut]:
    after = key_of(page.cursor, int, str, str, int, int)
    items, cursor = store.listed_spend(desk, page, after=after)
    return Listed(items=items, next_cursor=cursor)


@router.post("/fx-rates", responses=NONE_TAKEN)
def load_rates(desk: ChangingDesk, body: schemas.RateRows, response: Response) -> schemas.Loaded:
    rows, rejected = judged(
        body.rows, schemas.RateRow, key=lambda row: (row.date, row.currency, row.base or desk.currency)
    )
    return _answer(store.load_rates(desk, rows), rejected, body.rows, response)


@router.get("/fx-rates")
def list_rates(desk: ReadingDesk, page: Annotated[schemas.RatePage, Query()]) -> Listed[schemas.RateOut]:
    items, cursor = store.listed_rates(desk, page, after=key_of(page.cursor, str, int, str))
    return Listed(items=items, next_cursor=cursor)


def _folded(slug: str | None) -> str | None:
    return None if slug is None else slug.casefold()


def _answer(
    loaded: schemas.Loaded, rejected: list[schemas.RowRejected], told: Sequence[Any], response: Response
) -> schemas.Loaded:
    if len(rejected) == len(told):
        response.status_code = 422
    return loaded.model_copy(update={"rejected": rejected})
