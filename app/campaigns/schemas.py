"""The shapes of channels, campaigns, ads, partners and goals on the wire.

Per collection three: what one may change (PUT and PATCH), what one creates (POST; the slug is required),
and what is shown. Rules over several fields stand in `rules`; nothing here knows a table.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_serializer, model_validator

from app.campaigns.fields import (
    AllowedHost,
    Amount,
    AmountOut,
    Currency,
    Day,
    DayOut,
    Flag,
    Fraction,
    Label,
    Name,
    Shape,
    Slug,
    Url,
    Windows,
    refused,
)
from app.campaigns.paging import Page

Audience = Literal["", "prospecting", "retargeting"]
Status = Literal["active", "paused", "ended"]
CostSource = Literal["spend_else_deals", "spend", "deals"]
PayoutMeans = Literal["", "commission", "revenue"]
GoalKind = Literal["lead", "sale"]
GoalCount = Literal["every", "once_per_click", "once_per_person"]

#: Fields without a neutral value: a PUT that leaves them out keeps them.
KEPT_UNLESS_TOLD = frozenset({"slug", "kind", "count", "cost_source", "cost_source_from"})

#: Their default: may be left out, may not be null.
NOT_TOLD: Any = None


class ThingPage(Page):
    """What a list of a collection may be narrowed to."""

    archived: bool = False  # true: those that were archived, instead of those in use
    known: bool | None = None  # false: those only seen in events, registered by nobody


class Thing(Shape):
    """What every member of a collection has. A slug is for ever: events carry it."""

    slug: Slug = Field(default=NOT_TOLD, description="As in the path; it cannot be changed.")
    name: Name = ""
    archived: Flag = False


class ThingOut(BaseModel):
    slug: str
    name: str
    known: bool = Field(description="False: seen in events, registered by nobody.")
    archived: bool


class Channel(Thing):
    pass


class NewChannel(Channel):
    slug: Slug


class ChannelOut(ThingOut):
    pass


class Match(Shape):
    """A landing visit is this campaign's when all that is named here fits."""

    source: Label = ""
    medium: Label = ""
    campaign: Label = ""
    click_id: Label = Field(default="", description="The name of a foreign click id, such as gclid.")

    @model_validator(mode="after")
    def names_something(self) -> "Match":
        if not (self.source or self.medium or self.campaign or self.click_id):
            raise refused("match_empty")
        return self

    @model_serializer
    def what_it_names(self) -> dict[str, str]:
        return {name: value for name in type(self).model_fields if (value := getattr(self, name))}


class Campaign(Thing):
    channel: Slug | None = None
    audience: Audience = ""
    status: Status = "active"
    landing_url: Url = ""
    fallback_url: Url = ""
    allowed_hosts: Annotated[list[AllowedHost], Field(max_length=100)] = []
    match: Annotated[list[Match], Field(max_length=50)] = []
    pass_parameters: Flag = False
    cost_source: CostSource = NOT_TOLD
    cost_source_from: Day | None = Field(
        default=None, description="The first day of `cost_source`; default today, at creation always."
    )
    margin_rate: Fraction | None = None
    starts_on: Day | None = None
    ends_on: Day | None = None
    windows: Windows = {}


class NewCampaign(Campaign):
    slug: Slug
    cost_source: CostSource = "spend_else_deals"


class CostSourceOut(BaseModel):
    cost_source: str
    cost_source_from: DayOut | None = Field(description="Null: from the beginning.")


class CampaignOut(ThingOut):
    channel: str | None
    audience: str
    status: str
    landing_url: str
    fallback_url: str
    allowed_hosts: list[str]
    match: list[dict[str, str]]
    pass_parameters: bool
    cost_source: str = Field(description="The one in force today.")
    cost_sources: list[CostSourceOut]
    margin_rate: AmountOut | None
    starts_on: DayOut | None
    ends_on: DayOut | None
    windows: dict[str, float]


class Ad(Thing):
    ad_group: Label = ""
    creative: Name = ""
    landing_url: Url = ""
    segment: Annotated[dict[Slug, Label], Field(max_length=20)] = {}


class NewAd(Ad):
    slug: Slug


class AdOut(ThingOut):
    campaign: str
    ad_group: str
    creative: str
    landing_url: str
    segment: dict[str, str]


class Partner(Thing):
    payout_means: PayoutMeans = ""


class NewPartner(Partner):
    slug: Slug


class PartnerOut(ThingOut):
    payout_means: str


class Goal(Thing):
    kind: GoalKind = NOT_TOLD
    count: GoalCount = Field(
        default=NOT_TOLD, description="Default: every sale; leads by the workspace's `lead_count`."
    )
    primary: Flag = False
    value: Amount | None = None
    currency: Currency | None = None
    probability: Fraction | None = None
    windows: Windows = {}


class NewGoal(Goal):
    slug: Slug
    kind: GoalKind


class GoalOut(ThingOut):
    kind: str
    count: str
    primary: bool
    value: AmountOut | None
    currency: str | None
    probability: AmountOut | None
    windows: dict[str, float]
