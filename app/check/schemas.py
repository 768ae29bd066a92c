"""Wire shapes of snippets, checks and sources."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class SnippetQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    site: Annotated[str, Field(max_length=200, description="the public key of the site, ct_pub_...")]
    base: Annotated[
        str,
        Field(max_length=300, description="where browsers reach Clicktrail, if it is a path of the site's"),
    ] = ""
    script: Annotated[
        Literal["core", "full"],
        Field(description="full: also consent managers, and links that lead to other sites"),
    ] = "core"


class Snippets(BaseModel):
    """Lines to paste; `pinned` and `integrity` hold for one content, `plain` follows upgrades."""

    base: str
    script: str
    pinned_script: str
    integrity: str
    collect: str
    plain: str
    pinned: str
    stub: str
    late: str
    noscript: str
    csp: str


class CheckQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Annotated[
        str, Field(min_length=1, max_length=2000, description="the page, as visitors' browsers name it")
    ]
    wait: Annotated[
        float,
        Field(ge=0, le=60, description="seconds to wait for a real event of the page, while you open it"),
    ] = 0


class FindingShown(BaseModel):
    """`code` is stable and explained in docs/checking.md; `message` and `advice` are for people."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    level: Literal["ok", "warn", "bad"]
    subject: str
    message: str
    advice: str


class LegShown(BaseModel):
    """A step of the way, and how long it took."""

    what: str
    seconds: float


class Checked(BaseModel):
    """`level` is the worst of the findings."""

    url: str
    level: Literal["ok", "warn", "bad"]
    findings: list[FindingShown]
    legs: list[LegShown]


class SourcesQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    state: Annotated[
        Literal["active", "silent", "new", "ended"] | None, Field(description="only sources that stand so")
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class SourceShown(BaseModel):
    """`last_event` is the hour it came in; `silent_after` is null while the rhythm is not known."""

    kind: Literal["site", "key", "partner"]
    name: str
    state: Literal["active", "silent", "new", "ended"]
    first_day: date
    last_event: datetime
    events_per_day: float
    expected_gap_hours: int | None
    silent_after: datetime | None
    because: str


class Sources(BaseModel):
    """The silent ones first; `omitted` is how many did not fit."""

    items: list[SourceShown]
    omitted: int
