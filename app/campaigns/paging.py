"""Lists in pages: `limit` and `cursor` of every list of the management API.

A cursor is the key of the last row shown, so rows that come or go between two pages neither repeat nor
hide others. It is opaque to callers, and untrusted when it comes back.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, Field

from app import money
from app.campaigns.fields import Shape
from app.errors import InvalidInput

Item = TypeVar("Item")
Key = tuple[int | str, ...]


class Page(Shape):
    """The query parameters of a list; one nobody knows is refused, not ignored."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=2000)] = ""


class Listed(BaseModel, Generic[Item]):
    """One page. `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None


def cursor_of(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def key_of(cursor: str, *kinds: type[int] | type[str]) -> Key | None:
    """The key in a cursor, as `kinds` of values; None for the first page. Errors: InvalidInput."""
    if not cursor:
        return None
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), "-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _foreign() from error
    if not isinstance(values, list) or len(values) != len(kinds):
        raise _foreign()
    for value, kind in zip(values, kinds, strict=True):
        if type(value) is not kind or not _holdable(value):
            raise _foreign()
    return tuple(values)


def _holdable(value: int | str) -> bool:
    """Whether a store takes it as a parameter: 64 bits, no NUL, no lone surrogate."""
    if isinstance(value, int):
        return abs(value) <= money.LARGEST
    return "\0" not in value and value.isprintable()


def _foreign() -> InvalidInput:
    return InvalidInput("cursor_invalid", "cursor: is not one that this list gave", field="cursor")


def next_cursor(keys: Sequence[Key], limit: int) -> str | None:
    """The cursor behind the first `limit` of `keys`; None when there are no more than that."""
    return cursor_of(keys[limit - 1]) if len(keys) > limit else None
