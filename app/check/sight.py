"""What the routes of this room borrow from the process; put on `app.state.sight` by main."""

from dataclasses import dataclass

from app.tag.script import Tag


@dataclass(frozen=True, slots=True)
class Sight:
    """The tag as it is served, and where browsers reach us; "" when only a request can say."""

    tag: Tag
    public_url: str = ""
