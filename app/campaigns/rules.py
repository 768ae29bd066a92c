"""Rules over several fields of a thing, as it would stand after a change. Pure; no SQL.

Values are as fields.py leaves them: days since 1970, micro-units, 10^-6 fractions. Each function raises
InvalidInput that names the field.
"""

from collections.abc import Mapping
from typing import Any

from app.errors import InvalidInput
from app.model import KINDS

Values = Mapping[str, Any]


def check_nothing(values: Values) -> None:
    """For things whose fields do not depend on one another."""


def check_campaign(values: Values) -> None:
    starts, ends = values["starts_on"], values["ends_on"]
    if starts is not None and ends is not None and ends < starts:
        raise InvalidInput("period_invalid", "ends_on: is before starts_on", field="ends_on")


def check_goal(values: Values) -> None:
    if values["value"] is not None and values["currency"] is None:
        raise InvalidInput("currency_missing", "currency: is required with a value", field="currency")


def check_goal_name(slug: str) -> None:
    """Events say "sale" to mean the kind; the goals of that name are there unasked."""
    if slug.casefold() in KINDS:
        message = f"slug: {slug!r} is a kind of event; a goal needs a name of its own"
        raise InvalidInput("goal_reserved", message, field="slug")


def check_same_slug(told: str | None, standing: str) -> None:
    """A body may repeat the slug of its path, never change it: events carry it for ever."""
    if told is not None and told.casefold() != standing.casefold():
        raise InvalidInput("slug_fixed", f"slug: is {standing!r} for ever; events carry it", field="slug")
