"""What a field of the management API may hold: one type per kind of text, number and date.

Untrusted JSON comes in, and what leaves is what the tables hold: NFC text, micro-units, days since 1970.
A value that cannot be held exactly is refused by name, never rounded. No SQL and no framework here.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import tldextract
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app import money, workspaces
from app.errors import InvalidInput

#: Why a field is refused: the `code` of the error, and what a person reads.
REASONS: dict[str, str] = {
    "text_too_long": "is longer than {limit} characters",
    "text_unprintable": "holds a control character, or half of a surrogate pair",
    "slug_invalid": "is not a slug: letters and digits of any script, '-', '_' and '.', at most 100",
    "currency_unknown": "is not an ISO 4217 currency",
    "timezone_unknown": "is not an IANA time zone",
    "url_invalid": "is not an http or https address without credentials",
    "host_invalid": "is not a host name",
    "host_too_wide": "stands for the hosts of many owners, such as '*.com'",
    "origin_invalid": "is not an origin such as https://shop.example",
    "date_invalid": "is not a date such as 2026-11-01, from 1970 to 2199",
    "amount_invalid": "{why}",
    "amount_negative": "is negative",
    "amount_ambiguous": "has more digits than a JSON number keeps exactly: send it as a string",
    "fraction_invalid": "is not a fraction from 0 to 1",
    "rate_invalid": "is not a decimal above 0 and below 10^12 with at most 12 decimals",
    "match_empty": "names none of source, medium, campaign, click_id",
    "currency_missing": "is required with an amount",
    "campaign_missing": "an ad is one of a campaign: `campaign` is required with `ad`",
    "rate_same": "a currency has no rate to itself",
    "replay_unclear": "needs either `ids` or `code`",
    "person_unclear": "name exactly one identifier; `store` goes with `order_id`",
    "shares_invalid": "must be three whole numbers from 0 that add up to 100",
}

#: The field that a refusal of several together is about.
ABOUT: dict[str, str] = {
    "currency_missing": "currency",
    "campaign_missing": "campaign",
    "rate_same": "base",
    "replay_unclear": "ids",
    "person_unclear": "identifier",
}

#: What pydantic calls its own refusals, in the words of this API. All others are `field_invalid`.
CODES: dict[str, str] = {
    "missing": "field_missing",
    "extra_forbidden": "field_unknown",
    "json_invalid": "not_json",
}

SLUG_MARKS = frozenset("-_.")

#: What many owners share: `co.uk`, and hosters' `github.io` too. As shipped; nothing is fetched.
_suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LATEST = date(2199, 12, 31)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Shape(BaseModel):
    """A body of the management API. A field nobody knows is a mistake somebody must hear of."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Reason(BaseModel):
    code: str
    message: str
    field: str | None = None
    docs: str


class Refused(BaseModel):
    """What every answer of 4xx says (API.md, "Errors")."""

    error: Reason


def refused(code: str, **facts: object) -> PydanticCustomError:
    return PydanticCustomError(code, REASONS[code], facts)


def refusal(errors: Iterable[Mapping[str, Any]]) -> InvalidInput:
    """The answer to pydantic's `errors`: the first one, naming its field and never echoing its value.

    Where FastAPI found it (body, query, path) is left out of the name.
    """
    error = next(iter(errors))
    steps = [str(step) for step in error["loc"]]
    if steps and steps[0] in ("body", "query", "path"):
        steps = steps[1:]
    kind = str(error["type"])
    steps += [ABOUT[kind]] if kind in ABOUT else []
    field = ".".join(steps)[:200].encode("ascii", "backslashreplace").decode()
    code = kind if kind in REASONS else CODES.get(kind, "field_invalid")
    return InvalidInput(code, f"{field or 'the body'}: {error['msg']}", field=field or None)


# --- Text -------------------------------------------------------------------------------------------


def clean(value: str, *, limit: int) -> str:
    """NFC, without white space around it. Control characters are refused: no store agrees on NUL."""
    value = unicodedata.normalize("NFC", value).strip()
    if len(value) > limit:
        raise refused("text_too_long", limit=limit)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise refused("text_unprintable")
    return value


def slug(value: str) -> str:
    """NFC; letters (with their marks) and digits of any script, `-`, `_`, `.`; something to read in it."""
    value = unicodedata.normalize("NFC", value)
    kinds = [unicodedata.category(character)[0] for character in value]
    fits = all(kind in "LNM" or mark in SLUG_MARKS for kind, mark in zip(kinds, value, strict=True))
    if not fits or not 1 <= len(value) <= 100 or not {"L", "N"} & set(kinds) or kinds[0] == "M":
        raise refused("slug_invalid")
    return value


def currency(value: str) -> str:
    if len(value) != 3 or value.upper() not in money.CURRENCIES:
        raise refused("currency_unknown")
    return value.upper()


@cache
def zones() -> frozenset[str]:
    """The zones of the tz database; `localtime` is the machine's own and means nothing elsewhere."""
    return frozenset(available_timezones()) - {"localtime", "Factory", "posixrules"}


def zone(value: str) -> str:
    if value not in zones():
        raise refused("timezone_unknown")
    return value


def host(value: str) -> str:
    """A host name in lower case, of any script, without port."""
    value = clean(value, limit=253).lower()
    labels = value.split(".")
    if not all(_label(label) for label in labels):
        raise refused("host_invalid")
    return value


def allowed_host(value: str) -> str:
    """A host name, or `*.name` for all hosts below it; not below what many owners share."""
    if not value.startswith("*."):
        return host(value)
    name = host(value.removeprefix("*."))
    if "." not in name or not _suffixes(name).domain:
        raise refused("host_too_wide")
    return f"*.{name}"


def _label(label: str) -> bool:
    fits = all(character.isalnum() or character in "-_" or unicodedata.category(character)[0] == "M"
               for character in label)  # fmt: skip
    return fits and 1 <= len(label) <= 63 and label.strip("-") == label


def url(value: str) -> str:
    """An absolute http(s) address; "" for none. Macros such as {click_id} may stand after the host."""
    value = clean(value, limit=2000)
    if value and not _is_url(value):
        raise refused("url_invalid")
    return value


def _is_url(value: str) -> bool:
    if "\\" in value or any(character.isspace() for character in value):
        return False  # browsers read a backslash as a slash: the host would be another one
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port > 0
        name = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme.lower() not in ("http", "https") or "@" in parts.netloc or not port_fits:
        return False
    if parts.netloc.startswith("["):
        return True  # urlsplit checks IPv6 addresses itself
    return bool(name) and all(_label(label) for label in name.removesuffix(".").split("."))


def origin(value: str) -> str:
    """scheme://host[:port] in lower case: what a browser sends as Origin."""
    value = clean(value, limit=300).lower().removesuffix("/")
    if not _is_url(value) or value.count("/") != 2 or "?" in value or "#" in value:
        raise refused("origin_invalid")
    return value


Name = Annotated[str, AfterValidator(partial(clean, limit=200))]
Label = Annotated[str, AfterValidator(partial(clean, limit=100))]
Slug = Annotated[str, AfterValidator(slug)]
Currency = Annotated[str, AfterValidator(currency)]
Zone = Annotated[str, AfterValidator(zone)]
Url = Annotated[str, AfterValidator(url)]
Host = Annotated[str, AfterValidator(host)]
AllowedHost = Annotated[str, AfterValidator(allowed_host)]
Origin = Annotated[str, AfterValidator(origin)]

# --- Numbers ----------------------------------------------------------------------------------------


def decimal_of(value: object) -> str | int:
    """The decimal a JSON string or number states, if it states one exactly."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refused("amount_invalid", why="is not a decimal number")
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise refused("amount_invalid", why="is not a finite number")
    digits = repr(value)
    if sum(map(str.isdigit, digits.partition("e")[0].strip("0.-"))) > 15:
        raise refused("amount_ambiguous")
    return digits


def amount(value: object) -> int:
    """Micro-units, from 0."""
    try:
        micros = money.parse_amount(decimal_of(value))
    except money.InexactAmount as error:
        raise refused("amount_invalid", why=str(error)) from error
    if micros < 0:
        raise refused("amount_negative")
    return micros


def fraction(value: object) -> int:
    """10^-6 parts of one."""
    parts = amount(value)
    if parts > money.MICROS:
        raise refused("fraction_invalid")
    return parts


def decimal_text(micros: int) -> str:
    """The shortest exact decimal of micro-units."""
    text = f"{money.to_decimal(micros):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


NUMBER = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "examples": ["0.45"]})

Amount = Annotated[int, BeforeValidator(amount), NUMBER]
Fraction = Annotated[int, BeforeValidator(fraction), NUMBER]
Whole = Annotated[StrictInt, Field(ge=0, le=money.LARGEST)]
Flag = StrictBool
AmountOut = Annotated[int, PlainSerializer(decimal_text, return_type=str)]

#: Days a touch of each kind may earn credit for. Two years is as old as an event may be.
Days = Annotated[float, Field(strict=True, ge=0, le=731, allow_inf_nan=False)]
Windows = dict[Literal["click", "visit", "impression"], Days]

# --- Time -------------------------------------------------------------------------------------------


def day(value: object) -> int:
    """Days since 1970 of an ISO date."""
    if not isinstance(value, str) or not DATE.fullmatch(value):
        raise refused("date_invalid")
    try:
        found = date.fromisoformat(value)
    except ValueError as error:
        raise refused("date_invalid") from error
    days = workspaces.from_date(found)
    if days < 0 or found > LATEST:
        raise refused("date_invalid")
    return days


def day_text(days: int) -> str:
    return workspaces.to_date(days).isoformat()


def moment_text(at: int) -> str:
    """RFC 3339 of microseconds since 1970."""
    return (EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds").replace("+00:00", "Z")


Day = Annotated[int, BeforeValidator(day), WithJsonSchema({"type": "string", "format": "date"})]
DayOut = Annotated[int, PlainSerializer(day_text, return_type=str)]
Moment = Annotated[int, PlainSerializer(moment_text, return_type=str)]
