"""From ids to labels and back: what a report calls things. Each table is read only if a report needs it.

An id of 0 is nothing, -1 is what nobody earned; slugs that nobody registered keep their own name.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from sqlalchemy import Connection, Row, Table, select

from app import tables
from app.metrics.catalogue import TIME, Dimension
from app.metrics.dates import day_label, hour_label, month_of, week_of
from app.metrics.filters import Condition
from app.metrics.query import Query
from app.model import DEVICE_NAMES, REASONS, country_code, country_number
from app.pricing.exact import Rows

UNATTRIBUTED = "(unattributed)"
REASON_NAMES = {number: name for name, number in REASONS.items()}
PLACES = {"country": "country", "conversion_country": "country", "device": "device",
          "conversion_device": "device"}  # fmt: skip


class Names:
    """The names of one workspace, as one snapshot of the database holds them."""

    def __init__(self, connection: Connection, workspace: int, query: Query) -> None:
        self.connection = connection
        self.workspace = workspace
        self.query = query
        self.texts: dict[str, list[str]] = {}
        self._codes: dict[str, dict[str, int]] = {}

    def _rows(self, table: Table, *columns: str) -> dict[int, Row[tuple[object, ...]]]:
        wanted = select(*(table.c[name] for name in ("id", "slug", "known", *columns)))
        found = self.connection.execute(wanted.where(table.c.workspace == self.workspace))
        return {int(row[0]): row for row in found}

    @cached_property
    def channels(self) -> dict[int, Row[tuple[object, ...]]]:
        return self._rows(tables.channels)

    @cached_property
    def campaigns(self) -> dict[int, Row[tuple[object, ...]]]:
        return self._rows(tables.campaigns, "channel_id", "audience", "margin_rate")

    @cached_property
    def ads(self) -> dict[int, Row[tuple[object, ...]]]:
        return self._rows(tables.ads, "ad_group")

    @cached_property
    def partners(self) -> dict[int, Row[tuple[object, ...]]]:
        return self._rows(tables.partners)

    @cached_property
    def goals(self) -> dict[int, Row[tuple[object, ...]]]:
        return self._rows(tables.goals, "primary")

    def registered(self, key: str) -> dict[int, Row[tuple[object, ...]]]:
        """The rows of a key whose ids stand for registered things; empty for other keys."""
        return {
            "channel": lambda: self.channels,
            "campaign": lambda: self.campaigns,
            "ad": lambda: self.ads,
            "partner": lambda: self.partners,
            "goal": lambda: self.goals,
        }.get(key, dict)()

    def codes(self, key: str, values: Sequence[str]) -> Rows:
        """Texts as small integers; the same text always gets the same one within a report."""
        known = self._codes.setdefault(key, {})
        texts = self.texts.setdefault(key, [])
        found = []
        for value in values:
            code = known.get(value)
            if code is None:
                code = known[value] = len(texts)
                texts.append(value)
            found.append(code)
        return np.array(found, dtype=np.int64)

    def label(self, dimension: Dimension, value: int) -> str:
        """What a report calls one value of a dimension."""
        slug, key = dimension.slug, dimension.key
        if slug in TIME:
            hourly = slug == "time:hour"
            return hour_label(self.query.timezone, value) if hourly else day_label(value)
        if key in self.texts:
            return self.texts[key][value] or dimension.none
        if value == -1:
            return UNATTRIBUTED
        if slug == "unattributed_reason":
            return REASON_NAMES.get(value, dimension.none)
        if key in PLACES:
            name = country_code(value) if PLACES[key] == "country" else DEVICE_NAMES.get(value, "")
            return name or dimension.none
        row = self.registered(key).get(value)
        if row is None:
            return dimension.none
        column = {"audience": "audience", "ad_group": "ad_group"}.get(slug, "slug")
        return str(row._mapping[column]) or dimension.none

    def is_known(self, dimension: Dimension, value: int) -> bool:
        """False for a slug that events named and nobody registered."""
        row = self.registered(dimension.key).get(value) if dimension.slug == dimension.key else None
        return row is None or bool(row._mapping["known"])

    def buckets(self, dimension: Dimension, values: Rows) -> Rows:
        """Days as the first days of their weeks or months, where the dimension asks for it."""
        if dimension.slug == "time:week":
            return week_of(values, self.query.week_start)
        return month_of(values) if dimension.slug == "time:month" else values

    def ids(self, condition: Condition) -> list[int]:
        """All ids whose label fulfils a condition on a dimension that is not free text."""
        dimension = condition.dimension
        key = dimension.key
        choices: Sequence[int]
        if PLACES.get(key) == "country":
            codes = [a + b for a in _LETTERS for b in _LETTERS]
            choices = [-1, 0, *(country_number(code) for code in codes)]
        elif PLACES.get(key) == "device":
            choices = [-1, *DEVICE_NAMES]
        elif key == "reason":
            choices = [0, *REASON_NAMES]
        else:
            choices = [-1, 0, *self.registered(key)]
        return [value for value in choices if condition.matches(self.label(dimension, value))]


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
