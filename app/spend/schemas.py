"""The shapes of spend and of exchange rates. Rows come in hundreds; one bad row never costs the others."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator

from app.campaigns.fields import (
    NUMBER,
    Amount,
    AmountOut,
    Currency,
    Day,
    DayOut,
    Label,
    Moment,
    Shape,
    Slug,
    Whole,
    Zone,
    decimal_of,
    refused,
)
from app.campaigns.paging import Page

MOST_ROWS = 1000


def rate(value: object) -> str:
    """The shortest exact decimal of a rate."""
    stated = decimal_of(value)
    try:
        found = Decimal(stated) if len(str(stated)) <= 40 and str(stated).isascii() else Decimal("NaN")
    except (InvalidOperation, ValueError) as error:  # ValueError: an integer too long to print
        raise refused("rate_invalid") from error
    if not found.is_finite() or not -13 < found.adjusted() < 12 or found <= 0:
        raise refused("rate_invalid")
    text = f"{found:f}"
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    if len(decimals) > 12:
        raise refused("rate_invalid")
    return f"{whole}.{decimals}" if decimals else whole


Rate = Annotated[str, BeforeValidator(rate), NUMBER]


class SpendRow(Shape):
    """One day of an account's money on a campaign, or on one of its ads."""

    date: Day
    source: Label = Field(default="api", description="The platform: google, meta, ...")
    account: Label = ""
    campaign: Slug | None = Field(default=None, description="None: money of no campaign.")
    ad: Slug | None = Field(default=None, description="None: the campaign's total, which its ads split.")
    amount: Amount | None = Field(description="Null takes the row with this key away.")
    currency: Currency | None = Field(default=None, description="Required with an amount.")
    timezone: Zone | None = Field(default=None, description="The account's; default the workspace's.")
    impressions: Whole | None = None
    clicks: Whole | None = None

    @model_validator(mode="after")
    def is_whole(self) -> "SpendRow":
        if self.amount is not None and self.currency is None:
            raise refused("currency_missing")
        if self.ad is not None and self.campaign is None:
            raise refused("campaign_missing")
        return self


class RateRow(Shape):
    """`rate` units of `base` were one unit of `currency` on the day it was published."""

    date: Day
    currency: Currency
    base: Currency | None = Field(default=None, description="Default: the reporting currency.")
    rate: Rate

    @model_validator(mode="after")
    def is_of_two(self) -> "RateRow":
        if self.base == self.currency:
            raise refused("rate_same")
        return self


def schema_of(shape: type[BaseModel]) -> WithJsonSchema:
    """The row's schema for the OpenAPI document, although rows are judged one by one."""
    return WithJsonSchema(shape.model_json_schema())


class Rows(Shape):
    """`{"rows": [...]}`; an array of rows, or one bare row, is understood as well."""

    rows: Annotated[list[Any], Field(min_length=1, max_length=MOST_ROWS)]

    @model_validator(mode="before")
    @classmethod
    def wrapped(cls, value: object) -> object:
        if isinstance(value, list):
            return {"rows": value}
        return {"rows": [value]} if isinstance(value, dict) and "date" in value else value


class SpendRows(Rows):
    rows: Annotated[list[Annotated[Any, schema_of(SpendRow)]], Field(min_length=1, max_length=MOST_ROWS)]


class RateRows(Rows):
    rows: Annotated[list[Annotated[Any, schema_of(RateRow)]], Field(min_length=1, max_length=MOST_ROWS)]


class RowRejected(BaseModel):
    index: int
    code: str
    field: str | None
    message: str


class Loaded(BaseModel):
    """What became of the rows. `unchanged` ones were there already, to the last digit."""

    created: int = 0
    replaced: int = 0
    removed: int = 0
    unchanged: int = 0
    rejected: list[RowRejected] = []


class SpendPage(Page):
    since: Day | None = Field(default=None, alias="from")
    until: Day | None = Field(default=None, alias="to")
    source: Label | None = None
    account: Label | None = None
    campaign: Slug | None = None


class SpendOut(BaseModel):
    date: DayOut
    source: str
    account: str
    campaign: str | None
    ad: str | None
    amount: AmountOut
    currency: str
    timezone: str | None
    impressions: int | None
    clicks: int | None
    updated_at: Moment


class RatePage(Page):
    since: Day | None = Field(default=None, alias="from")
    until: Day | None = Field(default=None, alias="to")
    currency: Currency | None = None


class RateOut(BaseModel):
    date: DayOut
    currency: str
    base: str
    rate: str
