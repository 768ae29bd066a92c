"""HTTP of a campaign's deals: POST agrees one (409 when it contradicts another), DELETE archives (204)."""

from typing import Annotated

from fastapi import Path, Query

from app import money
from app.campaigns.fields import Slug
from app.campaigns.paging import Listed, key_of
from app.campaigns.routes import ChangingDesk, ReadingDesk, management
from app.pricing import schemas, store

router = management("/v1/campaigns/{campaign}/pricing", "pricing")

Id = Annotated[int, Path(ge=1, le=money.LARGEST)]


@router.post("", status_code=201)
def create_deal(desk: ChangingDesk, campaign: Slug, body: schemas.NewDeal) -> schemas.DealOut:
    return store.create(desk, store.campaign(desk, campaign), body.model_dump())


@router.get("")
def list_deals(
    desk: ReadingDesk, campaign: Slug, page: Annotated[schemas.DealPage, Query()]
) -> Listed[schemas.DealOut]:
    key = key_of(page.cursor, int)
    after = int(key[0]) if key else 0
    items, cursor = store.listed(desk, store.campaign(desk, campaign), page, after=after)
    return Listed(items=items, next_cursor=cursor)


@router.get("/{id}")
def read_deal(desk: ReadingDesk, campaign: Slug, id: Id) -> schemas.DealOut:
    return store.read(desk, store.campaign(desk, campaign), id)


@router.put("/{id}")
def replace_deal(desk: ChangingDesk, campaign: Slug, id: Id, body: schemas.NewDeal) -> schemas.DealOut:
    return store.change(desk, store.campaign(desk, campaign), id, body.model_dump())


@router.patch("/{id}")
def change_deal(desk: ChangingDesk, campaign: Slug, id: Id, body: schemas.Deal) -> schemas.DealOut:
    return store.change(desk, store.campaign(desk, campaign), id, body.model_dump(exclude_unset=True))


@router.delete("/{id}", status_code=204)
def archive_deal(desk: ChangingDesk, campaign: Slug, id: Id) -> None:
    store.archive(desk, store.campaign(desk, campaign), id)
