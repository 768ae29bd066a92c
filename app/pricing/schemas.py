"""The shape of a deal on the wire. What its terms may be together is `terms`'s."""

from typing import Literal

from pydantic import BaseModel, Field

from app.campaigns.fields import Amount, AmountOut, Currency, Day, DayOut, Flag, Shape, Slug
from app.campaigns.paging import Page
from app.campaigns.schemas import NOT_TOLD

Model = Literal["cpm", "cpc", "cpl", "cpa", "revshare", "flat"]
Side = Literal["cost", "payout"]
Per = Literal["day", "month"]


class Deal(Shape):
    """PATCH: what is left out stays. A scope (ad, partner, goal) of null means any."""

    model: Model = NOT_TOLD
    side: Side = Field(default="cost", description="What the advertiser pays, or what a partner gets.")
    rate: Amount = Field(default=NOT_TOLD, description="Of `currency`; of revshare a fraction from 0 to 1.")
    currency: Currency | None = Field(default=None, description="Required, but of a revshare: the sale's.")
    ad: Slug | None = None
    partner: Slug | None = None
    goal: Slug | None = None
    valid_from: Day | None = Field(default=None, description="Null: always; a flat deal starts today.")
    valid_to: Day | None = Field(default=None, description="The last day, included.")
    per: Per | None = Field(default=None, description="Of a flat deal: its rate is due each day or month.")
    every_click: Flag = Field(default=False, description="Also pay clicks that count but are not billable.")


class NewDeal(Deal):
    model: Model
    rate: Amount


class DealPage(Page):
    archived: bool = False  # true: those that were archived, instead of those in force


class DealOut(BaseModel):
    id: int
    campaign: str
    model: str
    side: str
    rate: AmountOut
    currency: str | None
    ad: str | None
    partner: str | None
    goal: str | None
    valid_from: DayOut | None
    valid_to: DayOut | None
    per: str | None
    every_click: bool
    archived: bool
