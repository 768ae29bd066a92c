"""What a value may be: readers from anything a sender can send to a clean value, or `Bad`.

Each reader takes the raw value (text of a query string, or decoded JSON, where decimals are Decimal and
impossible numbers `Impossible`) and returns what an Event holds. Pure, total, and bounded: no input makes
them raise anything but Bad, or take long.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unicodedata import normalize

import msgspec

from app.collect import hashing
from app.model import SECOND
from app.money import CURRENCIES, InexactAmount, parse_amount

Reader = Callable[[object], Any]

AHEAD = 10 * 60 * SECOND
BEHIND = 2 * 366 * 24 * 3600 * SECOND

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"(?:([Zz])|([+\- ])([0-9]{2}):?([0-9]{2}))"
)
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,60}")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_CONVERSION = re.compile(r"cv_[0-9a-f]{16}")
_UNEXPANDED = re.compile(
    r"\$?\{\{?[\w.:\- ]{1,60}\}?\}|\[[A-Za-z][\w.\-]{1,40}\]|#[A-Za-z][\w.\-]{1,40}#|"
    r"%%?[A-Za-z][\w.\-]{1,40}%%?|\$[A-Za-z][\w.\-]{1,40}\$|__[A-Z0-9_]{2,40}__|REPLACE|OPTIONAL"
)


class Bad(Exception):
    """This value cannot stand; `field` may point deeper than the field that was read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Impossible(str):
    """A number of a JSON body that no field can hold (NaN, 5000 digits): its text, for the message."""

    __slots__ = ()


def text(limit: int) -> Reader:
    """Text in NFC without control characters. Whole numbers are taken as their digits (order ids)."""

    def read(value: object) -> str:
        if type(value) is not str:
            value = _digits(value)
        if len(value) > limit:
            raise Bad("too_long", f"must have at most {limit} characters")
        if value.isascii() and value.isprintable():
            return value
        return _clean(value)

    return read


def _digits(value: object) -> str:
    if isinstance(value, Impossible):
        raise Bad("not_text", f"must be a string, not {str(value)[:20]}")
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    raise Bad("not_text", "must be a string")


def _clean(value: str) -> str:
    found = _CONTROL.search(value)
    if found is None:
        return value if value.isascii() else normalize("NFC", value)
    point = ord(found[0])
    what = "half a surrogate pair, or bytes that are not UTF-8" if point > 0xD7FF else "a control character"
    raise Bad("not_text", f"must not contain U+{point:04X} ({what})")


def cut(limit: int) -> Reader:
    """Text that a browser cannot help being long: cut, never a reason to lose the event."""
    read = text(2**30)

    def read_and_cut(value: object) -> str:
        found: str = read(value[:limit] if type(value) is str else value)
        return found

    return read_and_cut


def blanked(value: object) -> object:
    """What a page calls itself, with spaces where it has what no text may have: nobody could correct it."""
    return _CONTROL.sub(" ", value[:4096]) if type(value) is str else value


def title(value: object) -> str:
    """400 characters of a page's name, cut when the e-mail addresses are out: half of one is one still."""
    return hashing.scrubbed(_LINK(value))[:400]


def slug(value: object) -> str:
    found: str = _SLUG(value)
    return found.strip()


_SLUG = text(200)


def link(value: object) -> str:
    """A URL, at most 4,096 characters of it, without e-mail addresses."""
    return hashing.scrubbed(_LINK(value))


_LINK = cut(4096)


def of_link(limit: int) -> Reader:
    """Text without e-mail addresses, as mailings put them into the parameters of links."""
    read_text = text(limit)

    def read(value: object) -> str:
        return hashing.scrubbed(read_text(value))

    return read


def one_of(*words: str) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise Bad("not_one_of", "must be one of " + ", ".join(words))
        return value

    return read


def flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    found = {"1": True, "true": True, "0": False, "false": False}.get(str(value)[:5].lower())
    if found is None:
        raise Bad("not_boolean", "must be true or false")
    return found


def amount(value: object) -> int:
    """Micro-units of a decimal, exact, not negative."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal | float):
        raise Bad("amount_invalid", 'must be a decimal number or a string such as "12.50"')
    if isinstance(value, Impossible):
        raise Bad("amount_invalid", f"{str(value)[:20]} is not an amount of money")
    try:
        micros = parse_amount(repr(value) if isinstance(value, float) else value)
    except InexactAmount as error:
        raise Bad("amount_invalid", str(error)) from None
    if micros < 0:
        raise Bad("amount_negative", "must not be negative; take money back with kind refund")
    return micros


def currency(value: object) -> str:
    code = str(value).strip().upper() if isinstance(value, str) else ""
    if code not in CURRENCIES:
        raise Bad("currency_unknown", f"{str(value)[:20]!r} is not an ISO 4217 currency")
    return code


def email(value: object) -> dict[str, str]:
    found = hashing.emails(_SLUG(value))
    if found is None:
        raise Bad("email_invalid", "is not an e-mail address")
    return found


def phone(value: object) -> dict[str, str]:
    found = hashing.phones(_SLUG(value))
    if found is None:
        raise Bad("phone_invalid", "must be a number with its country code, such as +4722334455")
    return found


def digest(value: object) -> dict[str, str]:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Bad("hash_invalid", "must be 64 hexadecimal digits (SHA-256)")
    return hashing.hashed(value)


def conversion_id(value: object) -> str:
    if not isinstance(value, str) or not _CONVERSION.fullmatch(value):
        raise Bad("conversion_id_invalid", "must be one of our ids, cv_ and 16 hexadecimal digits")
    return value


def strings(*, most: int, each: Reader) -> Reader:
    """An object of strings, with plain names. Empty values are left out."""

    def read(value: object) -> dict[str, str]:
        if not isinstance(value, dict):
            raise Bad("not_object", "must be an object of strings")
        if len(value) > most:
            raise Bad("too_many", f"must have at most {most} entries")
        found = {}
        for name, one in value.items():
            if not _NAME.fullmatch(name):
                raise Bad("name_invalid", f"{_shown(name)} is not a plain name (letters, digits, . _ -)")
            if one is not None and one != "":
                found[name] = each(one)
        return found

    return read


def utm(value: object) -> dict[str, str]:
    """UTM parameters by their names without `utm_`; other names are left out."""
    found: dict[str, str] = _UTM(value)
    plain = {name.removeprefix("utm_"): one for name, one in found.items()}
    return {name: plain[name] for name in UTM if name in plain}


UTM = ("source", "medium", "campaign", "term", "content", "id")
_UTM = strings(most=20, each=of_link(400))


def properties(value: object) -> dict[str, object]:
    """Anything else: JSON of at most 8 KiB, its numbers made such that any database can hold them, its texts
    without e-mail addresses."""
    if not isinstance(value, dict):
        raise Bad("not_object", "must be an object")
    found = {_property_name(name): _plain(one) for name, one in value.items()}
    if len(msgspec.json.encode(found)) > 8192:
        raise Bad("too_long", "must have at most 8192 bytes as JSON")
    return found


def _property_name(name: str) -> str:
    return hashing.scrubbed(_SLUG(name))


def _plain(value: Any) -> object:
    if isinstance(value, Impossible):
        raise Bad("number_invalid", f"contains {str(value)[:20]}, which is no number that can be kept")
    if isinstance(value, str):
        return hashing.scrubbed(value if value.isascii() and value.isprintable() else _multiline(value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise Bad(
                "number_invalid", f"contains {value}, which needs more than 64 bits; send it as a string"
            )
        return value
    if isinstance(value, Decimal | float):
        number = float(value) if not isinstance(value, Decimal) or value.is_finite() else float("nan")
        if number - number != 0:
            raise Bad("number_invalid", "contains a number that is too large; send it as a string")
        return number
    if isinstance(value, dict):
        return {_property_name(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    raise Bad("not_json", "must hold only what JSON can say")


def _multiline(value: str) -> str:
    """Text of people: lines and tabs are kept."""
    _clean(value.replace("\n", "").replace("\t", "").replace("\r", ""))
    return normalize("NFC", value)


def moment(value: Any, now: int) -> int:
    """Microseconds of RFC 3339 with an offset, or of an epoch number in s, ms or us."""
    if isinstance(value, str):
        value = value.strip()
        found = _MOMENT.fullmatch(value) if len(value) <= 40 else None
        if found is not None:
            return _calendar(found)
        if not _NUMBER.fullmatch(value) or isinstance(value, Impossible):
            raise Bad(
                "time_invalid", "must be RFC 3339 with an offset (2026-11-21T10:00:00Z) or an epoch number"
            )
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        raise Bad("time_invalid", "must be RFC 3339 with an offset, or an epoch number")
    if not -(10**17) < value < 10**17:
        raise Bad("time_invalid", "is no time near the present")
    candidates: list[int] = [int(value * unit) for unit in (SECOND, 1000, 1)]
    # The windows of the three units lie a factor of 1,000 apart: a number fits at most one.
    for candidate in candidates:
        if now - BEHIND <= candidate <= now + AHEAD:
            return candidate
    size: int = abs(candidates[2])
    return candidates[0 if size < 10**11 else 1 if size < 10**14 else 2]


def _calendar(found: re.Match[str]) -> int:
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    leap = second == 60
    try:
        local = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    except ValueError:
        raise Bad("time_invalid", "is not a date and time of the calendar") from None
    at = int((local - _EPOCH).total_seconds()) + leap
    if not found[8]:
        hours, minutes = int(found[10]), int(found[11])
        if hours > 23 or minutes > 59:
            raise Bad("time_invalid", "has an offset that no place on Earth has")
        # "+" in a query string arrives as a space.
        at -= (hours * 3600 + minutes * 60) * (-1 if found[9] == "-" else 1)
    return at * SECOND + int((found[7] or "").ljust(6, "0")[:6])


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timely(at: int, now: int) -> int:
    """The time itself if it lies in the window, else Bad."""
    if at > now + AHEAD:
        raise Bad("time_ahead", "lies more than 10 minutes ahead of the server's clock")
    if at < now - BEHIND:
        raise Bad("time_behind", "is older than 2 years")
    return at


def unexpanded(value: str) -> bool:
    """Whether a template's macro was sent instead of its value, in any of the ways that networks write
    them: {payout}, {{payout}}, ${PAYOUT}, [payout], #payout#, %payout%, $payout$, __PAYOUT__, REPLACE."""
    return _UNEXPANDED.fullmatch(value) is not None


def _shown(name: object) -> str:
    return ascii(name)[:60]
