"""The shapes of a workspace, its keys, its audit log and its rejected records."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StrictBool, StrictInt, model_validator

from app import money
from app.campaigns.fields import (
    Currency,
    Days,
    Host,
    Label,
    Moment,
    Name,
    Origin,
    Shape,
    Windows,
    Zone,
    refused,
)
from app.campaigns.paging import Listed, Page
from app.campaigns.schemas import NOT_TOLD, GoalCount
from app.model import Scope


def shares(value: list[int]) -> list[int]:
    """First, middle and last share, in percent."""
    if len(value) != 3 or sum(value) != 100:
        raise refused("shares_invalid")
    return value


Percent = Annotated[StrictInt, Field(ge=0, le=100)]
Hosts = Annotated[list[Host], Field(max_length=1000)]


class WorkspaceChange(Shape):
    """PATCH: what is left out stays. `windows` may name some kinds; the others stay as they are."""

    name: Name = NOT_TOLD
    timezone: Zone = NOT_TOLD
    reporting_currency: Currency = NOT_TOLD
    week_start: Literal["monday", "sunday", "saturday"] = NOT_TOLD

    origins: Annotated[list[Origin], Field(max_length=1000)] = NOT_TOLD
    hosts: Hosts = NOT_TOLD
    browser_sales: Literal["pending", "approved"] = NOT_TOLD
    consent_default: Literal["granted", "denied"] = NOT_TOLD
    dnt: Literal["ignore", "deny"] = NOT_TOLD
    visitors: Literal["cookies", "daily"] = NOT_TOLD
    billing_model: Literal["last_click", "first_click", "last_touch", "first_touch"] = NOT_TOLD
    windows: Windows = NOT_TOLD
    billing_window: Days = NOT_TOLD
    tier_rule: Literal["click_over_view", "all_kinds"] = NOT_TOLD
    direct: Literal["last_resort", "count", "exclude"] = NOT_TOLD
    collapse: StrictBool = NOT_TOLD
    reset_after_conversion: StrictBool = NOT_TOLD
    first_conversion_only: StrictBool = NOT_TOLD
    half_life_hours: Annotated[StrictInt, Field(ge=1, le=17_520)] = NOT_TOLD
    position_shares: Annotated[list[Percent], AfterValidator(shares)] = NOT_TOLD
    join_limit: Annotated[StrictInt, Field(ge=1, le=1000)] = NOT_TOLD
    ignored_referrers: Hosts = NOT_TOLD
    lead_count: GoalCount = NOT_TOLD
    fx_max_age_days: Annotated[StrictInt, Field(ge=0, le=366)] = NOT_TOLD


class WorkspaceOut(BaseModel):
    slug: str
    name: str
    timezone: str
    reporting_currency: str
    week_start: str
    origins: list[str]
    hosts: list[str]
    browser_sales: str
    consent_default: str
    dnt: str
    visitors: str
    billing_model: str
    windows: dict[str, float]
    billing_window: float
    tier_rule: str
    direct: str
    collapse: bool
    reset_after_conversion: bool
    first_conversion_only: bool
    half_life_hours: int
    position_shares: list[int]
    join_limit: int
    ignored_referrers: list[str]
    lead_count: str
    fx_max_age_days: int


class NewKey(Shape):
    scope: Scope
    name: Name = ""


class KeyOut(BaseModel):
    id: int
    scope: str
    name: str
    prefix: str = Field(description="The first characters of the key, to tell it from others.")
    created_at: Moment
    revoked_at: Moment | None


class MadeKey(BaseModel):
    id: int
    scope: str
    name: str
    key: str = Field(description="Shown this once; only its SHA-256 is kept.")


class AuditPage(Page):
    object: Label = Field(default="", description="Only changes of this, such as campaigns/spring.")


class AuditOut(BaseModel):
    id: int
    at: Moment
    key: int = Field(description="The id of the key that did it; 0: the command line.")
    key_name: str | None
    action: str
    object: str
    before: Any
    after: Any


class UnjoinedPage(Page):
    reason: Literal["", "shared", "shared_device", "blocked", "junk"] = ""
    kind: Literal["", "visitor", "user", "email", "phone"] = ""


class UnjoinedOut(BaseModel):
    kind: str = Field(description="visitor, user, email or phone.")
    value: str | None = Field(
        description="As it was sent; of an e-mail address or phone its hash; null where no event has it now."
    )
    reason: str = Field(description="shared, shared_device, blocked or junk.")
    linked: int = Field(description="How many other identifiers it was told with.")
    visitors: int = Field(description="How many of these are visitors.")
    users: int = Field(description="How many of these are users.")
    events: int | None = Field(description="Of junk: how many events named it.")
    first_seen: Moment | None = Field(description="Null: blocked, and not seen yet.")


class NewBlock(Shape):
    kind: Literal["visitor", "user", "email", "phone"]
    value: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description="A visitor id or user id as it is sent; an e-mail address or phone, or its SHA-256.",
        ),
    ]
    note: Name = ""


class BlockPage(Page):
    archived: bool = False


class BlockOut(BaseModel):
    id: int
    kind: str
    value: str = Field(description="Of an e-mail address or phone its hash.")
    note: str
    created_at: Moment
    archived_at: Moment | None = Field(description="When it was lifted.")


class RejectedPage(Page):
    kind: Literal["", "refused", "quarantined"] = ""
    code: Label = ""


class RejectedOut(BaseModel):
    id: int
    at: Moment
    kind: str
    door: str
    code: str
    field: str
    message: str
    event_id: str
    body: str = Field(description="What was sent, scrubbed; of a quarantined record its JSON.")
    replay: Literal["", "wanted", "done"]
    replayed_at: Moment | None


class RejectedCount(BaseModel):
    date: str
    code: str
    count: int


class RejectedList(Listed[RejectedOut]):
    counts: list[RejectedCount] = Field(description="All of the last 30 days, beyond the cap too.")


class Replay(Shape):
    """Which quarantined records to send through the pipeline again: these, or all of one code."""

    ids: Annotated[
        list[Annotated[StrictInt, Field(ge=1, le=money.LARGEST)]], Field(min_length=1, max_length=1000)
    ] = NOT_TOLD
    code: Annotated[Label, Field(min_length=1)] = NOT_TOLD

    @model_validator(mode="after")
    def one_of_the_two(self) -> "Replay":
        if len(self.model_fields_set) != 1:
            raise refused("replay_unclear")
        return self


class ReplayOut(BaseModel):
    wanted: int = Field(description="How many go through the pipeline again.")
    skipped: list[int] = Field(description="Of `ids`: told the sender, or replayed before.")
