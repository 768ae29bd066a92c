"""Many rows in one request: each is judged alone, and a key may stand in it once.

Equal keys in one request are two claims about one amount: neither "the last wins" (money lost) nor a sum
(money made) is safe to guess, so the second is refused. Pure.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.campaigns.fields import refusal
from app.errors import ClicktrailError
from app.spend.schemas import RowRejected

Shape = TypeVar("Shape", bound=BaseModel)


def judged(
    rows: Sequence[Any], shape: type[Shape], *, key: Callable[[Shape], Hashable]
) -> tuple[list[Shape], list[RowRejected]]:
    """The rows that fit `shape`, in order, and why the others do not."""
    accepted: list[Shape] = []
    rejected: list[RowRejected] = []
    first: dict[Hashable, int] = {}
    for index, row in enumerate(rows):
        try:
            fits = shape.model_validate(row)
        except ValidationError as error:
            found: list[Any] = error.errors(include_input=False, include_url=False)
            rejected.append(_rejection(index, refusal(found)))
            continue
        if first.setdefault(key(fits), index) != index:
            message = f"row {first[key(fits)]} has the same key"
            rejected.append(RowRejected(index=index, code="row_repeated", field=None, message=message))
            continue
        accepted.append(fits)
    return accepted, rejected


def _rejection(index: int, error: ClicktrailError) -> RowRejected:
    return RowRejected(index=index, code=error.code, field=error.field, message=error.message)
