"""The wire shapes of reports, for the OpenAPI document. query.parse is what reads them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.metrics.dates import RANGES
from app.metrics.query import ASKABLE_MODELS, BY, DEFAULT_ROWS, FORMATS, MOST_ROWS, NUMBERS, STATUSES


class QueryBody(BaseModel):
    """A report: which metrics, by what, when."""

    model_config = ConfigDict(extra="forbid", title="MetricsQuery")

    metrics: list[str] = Field(min_length=1, max_length=100, examples=[["clicks", "sales", "cost", "cpa"]])
    dimensions: list[str] = Field([], max_length=8, examples=[["time:day", "campaign"]])
    date_range: str | list[str] = Field(
        "30d", description=f"One of {', '.join(RANGES)}, or two local days, both included."
    )
    filters: list[Any] | None = Field(None, examples=[["is", "campaign", ["spring"]]])
    model: str = Field("last_touch", description=f"One of {', '.join(ASKABLE_MODELS)}.")
    by: str = Field("conversion", description=f"One of {', '.join(BY)}.")
    status: str = Field("booked", description=f"One of {', '.join(STATUSES)}.")
    timezone: str | None = Field(None, description="An IANA zone; default the workspace's.")
    currency: str | None = Field(None, description="ISO 4217; default the workspace's.")
    order_by: list[str | list[str]] | None = Field(None, description="A name, or -name for descending.")
    limit: int = Field(DEFAULT_ROWS, ge=1, le=MOST_ROWS)
    offset: int = Field(0, ge=0, le=MOST_ROWS)
    format: str = Field("records", description=f"One of {', '.join(FORMATS)}.")
    numbers: str = Field("float", description=f"One of {', '.join(NUMBERS)}: string for exact readers.")


class Report(BaseModel):
    """What a query answers as records."""

    rows: list[dict[str, Any]]
    totals: dict[str, Any]
    meta: dict[str, Any]
    query: dict[str, Any]


class MetricRow(BaseModel):
    slug: str
    label: str
    unit: Literal["count", "money", "ratio"]
    formula: str
    dimensions: list[str]


class DimensionRow(BaseModel):
    slug: str
    label: str


class Catalogue(BaseModel):
    """Every metric and dimension there is."""

    metrics: list[MetricRow]
    dimensions: list[DimensionRow]
