"""Reports over HTTP: POST /v1/metrics/query, its twin GET /v1/metrics, and what there is to ask."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from app.deps import Now, Reader, Reading
from app.errors import InvalidInput, TooLarge
from app.metrics import formats, query, run
from app.metrics.catalogue import DIMENSIONS, METRICS, SEGMENT, Dimension, families
from app.metrics.schemas import Catalogue, DimensionRow, MetricRow, QueryBody, Report

router = APIRouter(prefix="/v1/metrics", tags=["metrics"])

LARGEST = 256 * 1024  # bytes of a query

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A field holds what it must not; `error.field` names it."},
    401: {"description": "No key, or an unknown one."},
    403: {"description": "A key of another scope."},
    413: {"description": "The query is too large."},
    503: {"description": "Too many reports at once, or no database: come back after Retry-After."},
}
_ANSWER = {200: {"model": Report, "content": {"text/csv": {"schema": {"type": "string"}}}}, **_ERRORS}


async def body(request: Request) -> bytes:
    """The request's body, as far as a query may go: read here, because the route itself runs in a thread."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > LARGEST:
            raise TooLarge("query_too_large", f"a query has at most {LARGEST} bytes")
    return bytes(found)


def decoded(raw: bytes) -> dict[str, object]:
    """The JSON object in a body; InvalidInput for anything else."""
    try:
        found: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput("json_invalid", "the body is not JSON") from error
    if not isinstance(found, dict):
        raise InvalidInput("json_invalid", "the body is not a JSON object")
    return found


def report(connection: Connection, workspace: int, raw: dict[str, object], *, now: int) -> Response:
    """The whole way from a decoded query to a response."""
    house = run.house(connection, workspace)
    context = run.context(connection, house, now=now, everything=raw.get("date_range") == "all")
    asked = query.parse(raw, context)
    answer = run.answer(connection, house, asked)
    media_type, write = formats.FORMATS[asked.format]
    headers = {"Cache-Control": "no-store"}
    if asked.format == "csv":
        headers["X-Clicktrail-Truncated"] = str(answer.meta["truncated"]).lower()
        headers["Content-Disposition"] = 'attachment; filename="report.csv"'
    return Response(write(answer), media_type=media_type, headers=headers)


@router.post(
    "/query",
    summary="Ask for a report",
    responses=_ANSWER,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": QueryBody.model_json_schema()}},
        }
    },
)
def ask(caller: Reader, connection: Reading, now: Now, raw: Annotated[bytes, Depends(body)]) -> Response:
    return report(connection, caller.workspace, decoded(raw), now=now)


@router.get("", summary="Ask for a report, as a link", responses=_ANSWER)
@router.head("", include_in_schema=False)
def ask_by_link(
    request: Request,
    caller: Reader,
    connection: Reading,
    now: Now,
    metrics: Annotated[str, Query(description="Slugs, with commas.", examples=["clicks,sales,cpa"])] = "",
    dimensions: Annotated[str, Query(description="Slugs, with commas.")] = "",
    filters: Annotated[str, Query(description="A filter as JSON.")] = "",
) -> Response:
    """Every field of the query is a parameter; `from` and `to` stand for `date_range`."""
    given = [(name, text) for name, text in request.query_params.multi_items() if text]
    twice = next((name for i, (name, _) in enumerate(given) if name in dict(given[:i])), None)
    if twice is not None:
        raise InvalidInput("field_repeated", "is given twice", field=twice[:80])
    return report(connection, caller.workspace, query.from_parameters(dict(given)), now=now)


@router.get("/meta", summary="Every metric and dimension", responses=_ERRORS)
def catalogue(caller: Reader) -> Catalogue:
    return Catalogue(
        metrics=[
            MetricRow(
                slug=metric.slug,
                label=metric.label,
                unit=metric.unit,
                formula=metric.formula,
                dimensions=[
                    d.slug
                    for d in (*DIMENSIONS, _SEGMENTS)
                    if families(filter(None, metric.needs)) <= d.families
                ],
            )
            for metric in METRICS
        ],
        dimensions=[DimensionRow(slug=d.slug, label=d.label) for d in (*DIMENSIONS, _SEGMENTS)],
    )


_SEGMENTS = Dimension(f"{SEGMENT}<name>", "Declared segment", SEGMENT, frozenset({"traffic", "credits"}))
