"""Leads and sales as they stand, for readers: a page of the latest, or one by its id or order id."""

from typing import Annotated, Any

from fastapi import Query

from app import deps
from app.campaigns.paging import Listed
from app.campaigns.routes import management
from app.conversions import reading
from app.conversions.schemas import Conversion, ConversionDetail, ConversionName, ConversionPage

router = management("/v1/conversions", "conversions")


@router.get("", response_model=Listed[Conversion])
def list_conversions(
    caller: deps.Reader, connection: deps.Reading, page: Annotated[ConversionPage, Query()]
) -> Any:
    """Conversions, latest first."""
    rows, cursor = reading.latest(connection, caller.workspace, page)
    return reading.page_of(rows, reading.goal_names(connection, caller.workspace), cursor)


# Order ids are the shops' own and may hold a slash, hence `path`; attribution's `.../why` is routed first.
@router.get("/{id:path}", response_model=ConversionDetail)
def read_conversion(
    caller: deps.Reader, connection: deps.Reading, id: str, name: Annotated[ConversionName, Query()]
) -> Any:
    """One conversion, with every report of it and every change to it."""
    row = reading.find(connection, caller.workspace, id, name.store)
    return reading.detailed(connection, row, reading.goal_names(connection, caller.workspace))
