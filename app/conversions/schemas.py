"""The wire shapes of conversions. Money is a JSON number with up to 6 decimals, times are RFC 3339."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer

from app.campaigns.fields import DayOut, Moment
from app.campaigns.paging import Page
from app.money import MICROS

#: Micro-units as a number; the double nearest to it, so exact to 15 digits (`why` has exact units).
Money = Annotated[int, PlainSerializer(lambda micros: micros / MICROS, return_type=float)]


class ConversionPage(Page):
    kind: Literal["lead", "sale"] | None = None
    state: Literal["pending", "approved", "rejected"] | None = None


class ConversionName(BaseModel):
    """How a conversion is asked for beside its id: an order id may be used by several stores."""

    store: Annotated[str, Field(max_length=200)] = ""


class Rate(BaseModel):
    """Units of the reporting currency for one of the conversion's, and the day it was published."""

    rate: float
    date: DayOut


class Conversion(BaseModel):
    """One lead or sale as it stands."""

    id: str
    kind: str
    goal: str
    labels: list[str] = Field(description="Further goal names under which the same order was reported.")
    order_id: str
    store: str
    lead_id: str
    occurred_at: Moment
    received_at: Moment
    state: str
    verified: bool
    counted: bool
    setbacks: list[str] = Field(description="Why it is not counted.")
    value: Money | None
    currency: str
    refunded: Money
    net_value: Money | None
    tax: Money | None
    shipping: Money | None
    cost_of_goods: Money | None
    payout: Money | None = Field(description="The commission a network claims; never revenue.")
    reported_value: Money | None = Field(description="In the reporting currency; null without a rate.")
    fx: Rate | None
    new_customer: bool | None
    country: str
    device: str
    issues: list[str]


class Sighting(BaseModel):
    """A report of it by one door."""

    event_id: str
    door: str
    goal: str
    occurred_at: Moment
    received_at: Moment
    value: Money | None
    currency: str
    status: str


class Change(BaseModel):
    """A refund (value null: all of it) or a change of state."""

    event_id: str
    kind: str
    door: str
    occurred_at: Moment
    received_at: Moment
    value: Money | None
    currency: str
    status: str


class ConversionDetail(Conversion):
    sightings: list[Sighting]
    adjustments: list[Change]
