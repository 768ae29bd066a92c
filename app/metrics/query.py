"""A report as it was asked for: untrusted JSON or query parameters in, a frozen Query out. Pure.

Whatever is wrong is a 400 that names its field and, for names, the nearest valid ones. Nothing here
knows where numbers come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from zoneinfo import available_timezones

import msgspec

from app.errors import InvalidInput
from app.metrics import filters
from app.metrics.catalogue import BY_SLUG, DIMENSION_SLUGS, TIME, Dimension, dimension
from app.metrics.dates import RANGES, WEEKDAYS, named_range
from app.metrics.nearest import nearest
from app.model import MODELS
from app.money import CURRENCIES
from app.workspaces import from_date, local_day, to_date

MOST_METRICS = 100
MOST_DIMENSIONS = 8
MOST_ROWS = 1_000_000
DEFAULT_ROWS = 10_000
MOST_DAYS = 20 * 366
MOST_HOURLY_DAYS = 400

BY = ("conversion", "touch", "booking")
STATUSES = ("booked", "approved")
FORMATS = ("records", "arrays", "csv")
LATER_FORMATS = ("parquet", "arrow")
NUMBERS = ("float", "string")
ASKABLE_MODELS = tuple(name for name in MODELS if name != "billing")

FIELDS = (
    "metrics", "dimensions", "date_range", "filters", "model", "by", "status", "timezone", "currency",
    "order_by", "limit", "offset", "format", "numbers", "compare",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Context:
    """What a query is resolved against: the asking workspace and this moment."""

    timezone: str
    currency: str
    week_start: str
    now: int
    earliest: int  # the first local day with any data


@dataclass(frozen=True, slots=True)
class Query:
    metrics: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    first: int  # local days of `timezone`, both included
    last: int
    timezone: str
    currency: str
    model: str
    by: str
    status: str
    filter: filters.Filter | None
    order_by: tuple[tuple[str, bool], ...]  # slug, descending
    limit: int
    offset: int
    format: str
    numbers: str
    week_start: str

    @property
    def grain(self) -> str:
        """The time dimension asked for, or ""."""
        return next((d.slug for d in self.dimensions if d.slug in TIME), "")

    def written(self) -> dict[str, object]:
        """The query as resolved: sent again, it means the same for ever."""
        return {
            "metrics": list(self.metrics),
            "dimensions": [d.slug for d in self.dimensions],
            "date_range": [to_date(self.first).isoformat(), to_date(self.last).isoformat()],
            "filters": filters.written(self.filter),
            "model": self.model,
            "by": self.by,
            "status": self.status,
            "timezone": self.timezone,
            "currency": self.currency,
            "order_by": [f"-{slug}" if down else slug for slug, down in self.order_by],
            "limit": self.limit,
            "offset": self.offset,
            "format": self.format,
            "numbers": self.numbers,
        }


def parse(raw: Mapping[str, object], context: Context) -> Query:
    """The query that a decoded JSON object says. Raises InvalidInput."""
    for name in raw:
        if name not in FIELDS:
            raise InvalidInput("field_unknown", nearest("field", name, FIELDS), field=str(name)[:80])
    if raw.get("compare") is not None:
        raise InvalidInput("not_available_yet", "compare is not available yet", field="compare")
    metrics = _metrics(raw.get("metrics"))
    dimensions = _dimensions(raw.get("dimensions"))
    zone = _zone(raw.get("timezone"), context.timezone)
    first, last = _range(raw.get("date_range", "30d"), zone, context)
    if any(d.slug == "time:hour" for d in dimensions) and last - first >= MOST_HOURLY_DAYS:
        message = f"hours are answered for at most {MOST_HOURLY_DAYS} days"
        raise InvalidInput("range_too_long", message, field="date_range")
    currency = _choice(raw, "currency", tuple(CURRENCIES), context.currency, upper=True)
    return Query(
        metrics=metrics,
        dimensions=dimensions,
        first=first,
        last=last,
        timezone=zone,
        currency=currency,
        model=_choice(raw, "model", ASKABLE_MODELS, "last_touch"),
        by=_choice(raw, "by", BY, "conversion"),
        status=_choice(raw, "status", STATUSES, "booked"),
        filter=filters.parse(raw.get("filters")),
        order_by=_order(raw.get("order_by"), metrics, dimensions),
        limit=_whole(raw.get("limit", DEFAULT_ROWS), "limit", 1, MOST_ROWS),
        offset=_whole(raw.get("offset", 0), "offset", 0, MOST_ROWS),
        format=_format(raw),
        numbers=_choice(raw, "numbers", NUMBERS, "float"),
        week_start=context.week_start if context.week_start in WEEKDAYS else "monday",
    )


def from_parameters(parameters: Mapping[str, str]) -> dict[str, object]:
    """The JSON that a GET's query parameters stand for: lists by commas, `from` and `to`, filters as JSON."""
    raw: dict[str, object] = {}
    dates: dict[str, str] = {}
    for name, text in parameters.items():
        if name in ("metrics", "dimensions", "order_by"):
            raw[name] = [item.strip() for item in text.split(",") if item.strip()]
        elif name in ("from", "to"):
            dates[name] = text
        elif name == "filters":
            raw[name] = _json(text)
        elif name == "date_range" and "," in text:
            raw[name] = text.split(",")
        elif name in ("limit", "offset"):
            raw[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
        else:
            raw[name] = text
    if dates:
        missing = next((name for name in ("from", "to") if name not in dates), None)
        if missing or "date_range" in raw:
            raise InvalidInput("date_invalid", "give from and to, or date_range", field=missing or "from")
        raw["date_range"] = [dates["from"], dates["to"]]
    return raw


def _json(text: str) -> object:
    try:
        found: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput("json_invalid", "is not JSON", field="filters") from error
    return found


def _names(raw: object, field: str, most: int) -> list[str]:
    names = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput("list_expected", "is a list of names", field=field)
    if len(names) > most:
        raise InvalidInput("list_too_long", f"at most {most} names", field=field)
    return list(dict.fromkeys(name.strip() for name in names))


def _metrics(raw: object) -> tuple[str, ...]:
    names = _names(raw if raw is not None else [], "metrics", MOST_METRICS)
    if not names:
        raise InvalidInput("metrics_missing", "name at least one metric", field="metrics")
    for index, name in enumerate(names):
        if name not in BY_SLUG:
            raise InvalidInput("metric_unknown", nearest("metric", name, BY_SLUG), field=f"metrics[{index}]")
    return tuple(names)


def _dimensions(raw: object) -> tuple[Dimension, ...]:
    names = _names(raw if raw is not None else [], "dimensions", MOST_DIMENSIONS)
    found = []
    for index, name in enumerate(names):
        one = dimension(name)
        if one is None:
            message = nearest("dimension", name, DIMENSION_SLUGS)
            raise InvalidInput("dimension_unknown", message, field=f"dimensions[{index}]")
        found.append(one)
    if sum(one.slug in TIME for one in found) > 1:
        raise InvalidInput("dimensions_conflict", "name at most one time dimension", field="dimensions")
    return tuple(found)


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(raw: object, default: str) -> str:
    if raw is None or raw == "":
        return default
    if not isinstance(raw, str) or raw not in zones():
        raise InvalidInput("timezone_unknown", nearest("timezone", raw, sorted(zones())), field="timezone")
    return raw


def _range(raw: object, zone: str, context: Context) -> tuple[int, int]:
    today = local_day(zone, context.now)
    if isinstance(raw, str):
        found = named_range(raw, today=today, earliest=context.earliest)
        if found is None:
            raise InvalidInput("date_invalid", nearest("date range", raw, RANGES), field="date_range")
        return found
    if not isinstance(raw, list) or len(raw) != 2:
        message = f"is one of {', '.join(RANGES)}, or two dates"
        raise InvalidInput("date_invalid", message, field="date_range")
    first, last = (_date(text, f"date_range[{index}]") for index, text in enumerate(raw))
    if first > last:
        raise InvalidInput("date_invalid", "ends before it begins", field="date_range")
    if last - first >= MOST_DAYS:
        raise InvalidInput("range_too_long", f"at most {MOST_DAYS} days", field="date_range")
    return first, last


def _date(text: object, field: str) -> int:
    try:
        found = date.fromisoformat(text.strip()) if isinstance(text, str) and len(text) < 20 else None
    except ValueError:
        found = None
    if found is None or not 1970 < found.year < 2200:
        raise InvalidInput("date_invalid", "is not a date such as 2026-11-20", field=field)
    return from_date(found)


def _choice(
    raw: Mapping[str, object], field: str, choices: tuple[str, ...], default: str, *, upper: bool = False
) -> str:
    given = raw.get(field)
    if given is None or given == "":
        return default
    name = given.upper() if upper and isinstance(given, str) else given
    if not isinstance(name, str) or name not in choices:
        raise InvalidInput(f"{field}_unknown", nearest(field, given, choices), field=field)
    return name


def _format(raw: Mapping[str, object]) -> str:
    given = raw.get("format")
    if given in LATER_FORMATS:
        raise InvalidInput("not_available_yet", f"format {given} is not available yet", field="format")
    return _choice(raw, "format", FORMATS, "records")


def _whole(raw: object, field: str, least: int, most: int) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= most:
        raise InvalidInput(f"{field}_invalid", f"is a whole number from {least} to {most}", field=field)
    return raw


def _order(
    raw: object, metrics: tuple[str, ...], dimensions: tuple[Dimension, ...]
) -> tuple[tuple[str, bool], ...]:
    """`slug`, `-slug` (descending) or [slug, "asc" | "desc"]. Default: time, else the first metric, largest
    first; labels settle what is equal."""
    slugs = (*(d.slug for d in dimensions), *metrics)
    if raw is None or raw in ("", []):
        time = next((d.slug for d in dimensions if d.slug in TIME), None)
        return ((time, False),) if time else ((metrics[0], True),)
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list) or len(items) > len(slugs):
        raise InvalidInput("order_invalid", "is a list of names asked for", field="order_by")
    found = []
    for index, item in enumerate(items):
        slug, down = _direction(item)
        if slug not in slugs:
            raise InvalidInput("order_invalid", nearest("column", slug, slugs), field=f"order_by[{index}]")
        found.append((slug, down))
    return tuple(found)


def _direction(item: object) -> tuple[str, bool]:
    if isinstance(item, str):
        return item.strip().removeprefix("-"), item.strip().startswith("-")
    if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and item[1] in ("asc", "desc"):
        return item[0], item[1] == "desc"
    return str(item), False
