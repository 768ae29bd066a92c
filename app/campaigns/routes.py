"""HTTP of the five slug collections: POST creates, GET reads, PUT and PATCH change, DELETE archives (204).

Here is also where a management request gets its desk: an admin key's workspace in one transaction.
A read takes a consistent snapshot and never a write lock.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from app import deps
from app.campaigns import changes, schemas, store
from app.campaigns.changes import Desk
from app.campaigns.fields import Refused, Slug
from app.campaigns.paging import Listed, key_of
from app.campaigns.store import ADS, CAMPAIGNS, CHANNELS, GOALS, PARTNERS, Collection

#: What management routes answer when they do not do what was asked, for the OpenAPI document.
REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refused, "description": "Refused; `error.code` says why, `error.field` where."}
}


def management(prefix: str, tag: str) -> APIRouter:
    """A router whose refusals have one shape, and which reads JSON whatever its type: `curl -d` says form."""
    return APIRouter(prefix=prefix, tags=[tag], responses=REFUSALS, strict_content_type=False)


router = management("/v1", "campaigns")


def reader(caller: deps.Admin, connection: deps.Looking, now: deps.Now) -> Desk:
    return changes.reading_desk(connection, workspace=caller.workspace, key=caller.key, now=now)


def changer(caller: deps.Admin, connection: deps.Db, now: deps.Now) -> Desk:
    return changes.changing_desk(connection, workspace=caller.workspace, key=caller.key, now=now)


ReadingDesk = Annotated[Desk, Depends(reader, scope="function")]
ChangingDesk = Annotated[Desk, Depends(changer, scope="function")]


def itself(kept: Collection) -> Callable[[], Collection]:
    return lambda: kept


def ads_read(desk: ReadingDesk, campaign: Slug) -> Collection:
    return store.ads_of(desk, campaign)


def ads_changed(desk: ChangingDesk, campaign: Slug) -> Collection:
    return store.ads_of(desk, campaign)


def serve(
    path: str,
    kept: Collection,
    *,
    new: type[schemas.Thing],
    changed: type[schemas.Thing],
    reads: Callable[..., Collection] | None = None,
    changes_: Callable[..., Collection] | None = None,
) -> None:
    """The six routes of a collection, with its shapes in the OpenAPI document."""
    shown: Any = kept.shown
    one, noun = path + "/{slug}", kept.noun
    ToRead = Annotated[Collection, Depends(reads or itself(kept))]  # noqa: N806  a type, made per collection
    ToChange = Annotated[Collection, Depends(changes_ or itself(kept))]  # noqa: N806

    @router.post(path, status_code=201, response_model=shown, name=f"create_{noun}")
    def create(desk: ChangingDesk, among: ToChange, body: new) -> Any:  # type: ignore[valid-type]
        return store.create(desk, among, told(body, all_of_it(body)))

    @router.get(path, response_model=Listed[shown], name=f"list_{noun}s")
    def listed(desk: ReadingDesk, among: ToRead, page: Annotated[schemas.ThingPage, Query()]) -> Any:
        key = key_of(page.cursor, int)
        items, cursor = store.listed(desk, among, page, after=int(key[0]) if key else 0)
        return {"items": items, "next_cursor": cursor}

    @router.get(one, response_model=shown, name=f"read_{noun}")
    def read(desk: ReadingDesk, among: ToRead, slug: Slug) -> Any:
        return store.read(desk, among, slug)

    @router.put(one, response_model=shown, name=f"replace_{noun}")
    def replace(desk: ChangingDesk, among: ToChange, slug: Slug, body: changed) -> Any:  # type: ignore[valid-type]
        return store.change(desk, among, slug, told(body, all_of_it(body) - schemas.KEPT_UNLESS_TOLD))

    @router.patch(one, response_model=shown, name=f"change_{noun}")
    def change(desk: ChangingDesk, among: ToChange, slug: Slug, body: changed) -> Any:  # type: ignore[valid-type]
        return store.change(desk, among, slug, told(body, frozenset()))

    @router.delete(one, status_code=204, name=f"archive_{noun}")
    def archive(desk: ChangingDesk, among: ToChange, slug: Slug) -> None:
        store.archive(desk, among, slug)


def all_of_it(body: schemas.Thing) -> frozenset[str]:
    return frozenset(type(body).model_fields)


def told(body: schemas.Thing, also: frozenset[str]) -> dict[str, Any]:
    """The fields that the caller set, and those of `also` with their defaults."""
    return body.model_dump(include=set(body.model_fields_set | also))


serve("/channels", CHANNELS, new=schemas.NewChannel, changed=schemas.Channel)
serve("/campaigns", CAMPAIGNS, new=schemas.NewCampaign, changed=schemas.Campaign)
serve(
    "/campaigns/{campaign}/ads", ADS,
    new=schemas.NewAd, changed=schemas.Ad, reads=ads_read, changes_=ads_changed,
)  # fmt: skip
serve("/partners", PARTNERS, new=schemas.NewPartner, changed=schemas.Partner)
serve("/goals", GOALS, new=schemas.NewGoal, changed=schemas.Goal)
