"""Wire shapes of snippets, checks and sources."""

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
