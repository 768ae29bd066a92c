"""The wire shapes of `why`. Money is a JSON number; `units` are exact micro-units of the currency."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.campaigns.fields import Moment
from app.conversions.schemas import Conversion, ConversionName, Money


class WhyQuery(ConversionName):
    model: str = "last_touch"
    without: Annotated[str, Field(max_length=30)] = ""  # id of a touch: as if it had not been


class Source(BaseModel):
    """What a touch was of; "" for none."""

    channel: str
    campaign: str
    ad: str
    partner: str


class Candidate(Source):
    """A touch that could have earned, and what the rules said."""

    id: str
    kind: str
    occurred_at: Moment
    age_hours: float
    flags: list[str]
    signed: bool = Field(description="The conversion itself brought this click's id.")
    kept: bool
    reason: str | None = Field(description="Why it is not kept.")
    billed: bool = Field(description="The touch by which result costs and payouts are owed.")
    weight: int
    share_ppm: int
    units: int = Field(description="Its micro-units of the conversion's value.")
    value: Money
    net_units: int = Field(description="Its micro-units of what refunds left of the value.")
    remainder: int = Field(description="What dividing left over; the largest get the units that remain.")


class Unattributed(BaseModel):
    reason: str
    weight: int
    share_ppm: int
    units: int
    value: Money
    net_units: int
    remainder: int


class Share(BaseModel):
    touch: str | None = Field(description="null: unattributed.")
    campaign: str
    share_ppm: int


class Version(BaseModel):
    """Credits as they once were, under the model asked for."""

    version: int
    current: bool
    credits: list[Share]


class Configuration(BaseModel):
    """The rules in force. Windows are days."""

    version: int
    windows: dict[str, float]
    goal_windows: dict[str, float]
    campaign_windows: dict[str, dict[str, float]]
    billing_model: str
    billing_window: float
    tier_rule: str
    direct: str
    collapse: bool
    reset_after_conversion: bool
    first_conversion_only: bool
    position_shares: list[int]
    half_life_hours: int
    cap: int


class Why(BaseModel):
    """Who earned a conversion, and why the others did not."""

    conversion: Conversion
    model: str
    fell_back: bool = Field(description="There was no click, so the last touch earned instead.")
    settled: bool = Field(description="These are the credits that the metrics count.")
    frozen: bool = Field(description="Retention may have taken touches: credits stand as they were.")
    configuration: Configuration
    touches: list[Candidate]
    not_shown: dict[str, int] = Field(description="Older candidates left out, by reason.")
    unattributed: Unattributed | None
    models: dict[str, list[Share]]
    versions: list[Version]
