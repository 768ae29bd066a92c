"""What the routes of this room borrow from the process; put on `app.state.sight` by main."""

from collections.abc import Callable
from dataclasses import dataclass

from app.check.fetch import Way
from app.tag.script import Tag


@dataclass(frozen=True, slots=True)
class Sight:
    """The tag as it is served, where browsers reach us ("" when only a request can say), how pages are
    asked, and fresh ids."""

    tag: Tag
    way: Way
    new_id: Callable[[], str]
    public_url: str = ""
