"""What a visitor allowed, and what remains of an event when they did not. Pure.

Consent denied: no identifier is kept, the address is cut at its query. Global Privacy Control: measured,
never shared onward. IP addresses are truncated here, before anything is written.
"""

import ipaddress
from base64 import urlsafe_b64decode
from binascii import Error
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from app.collect.fields import Bad, cut, flag

#: What of an event could tell a person again.
IDENTIFIERS = ("visitor_id", "user_id", "email", "phone", "click_id", "click_ids", "title", "subs")

#: Google's names for what a visitor allows, of seven those that say something about us.
GOOGLE = ("analytics_storage", "ad_storage", "ad_user_data", "ad_personalization")

_RAW = cut(4000)
_PURPOSES_BIT = 152  # of a TCF 2 core string: where the 24 consented purposes begin


def stated(value: object) -> dict[str, object]:
    """The consent object of an event: measure and ads (booleans), source, raw, or Google's names with
    "granted" and "denied", gpc; or a bare 0 or 1."""
    if not isinstance(value, dict):
        allowed = flag(value)
        return {"measure": allowed, "ads": allowed}
    found: dict[str, object] = {}
    for name in ("measure", "ads"):
        if value.get(name) is not None:
            found[name] = flag(value[name])
    for name in ("source", "raw"):
        if value.get(name) is not None:
            if not isinstance(value[name], str):
                raise Bad("not_text", f"must have a string as {name}")
            found[name] = _RAW(value[name])
    if not value.keys().isdisjoint(_BY_THE_PAGE):
        _put_words(found, value)
    return found


_BY_THE_PAGE = frozenset((*GOOGLE, "gpc"))


def _put_words(found: dict[str, object], value: dict[str, object]) -> None:
    """What Google's names and navigator.globalPrivacyControl say, where nothing plainer was said."""
    said: dict[str, bool] = {}
    for name in GOOGLE:
        word = value.get(name)
        if word is not None:
            if word not in ("granted", "denied"):
                raise Bad("not_one_of", f"must have granted or denied as {name}")
            said[name] = word == "granted"
    if "analytics_storage" in said:
        found.setdefault("measure", said["analytics_storage"])
    if "ad_storage" in said or "ad_user_data" in said:
        found.setdefault("ads", said.get("ad_storage", True) and said.get("ad_user_data", True))
    if "ad_personalization" in said:
        found["personalize"] = said["ad_personalization"]
    if value.get("gpc") is not None and flag(value["gpc"]):
        found["ads"] = False
        found["gpc"] = True


def of_parameters(said: Mapping[str, str]) -> dict[str, object] | None:
    """Consent as query strings carry it: consent=0|1, gdpr with gdpr_consent, gpp. None: nothing said."""
    raw = said.get("gdpr_consent") or said.get("gpp") or ""
    found: dict[str, object] = {}
    if raw:
        found = {"source": "tcf" if said.get("gdpr_consent") else "gpp"}
        with suppress(Bad):  # what is no text consents to nothing, and is no reason to lose the event
            found["raw"] = _RAW(raw)
    if said.get("gdpr") == "1":
        purposes = _purposes(said.get("gdpr_consent", ""))
        # Purpose 1 is keeping something on a device, 7 measuring ads. No readable string is no consent.
        found["measure"] = bool(purposes >> 23 & 1)
        found["ads"] = bool(purposes >> 23 & 1 and purposes >> 17 & 1)
    choice = said.get("consent")
    if choice in ("0", "1"):
        found["measure"] = found["ads"] = choice == "1"
    return found or None


def resolved(said: dict[str, object] | None, *, default: str, gpc: bool) -> dict[str, object]:
    """The consent that is recorded; {} is the plain case: nothing was said, and measuring is allowed."""
    if said is None and default == "granted" and not gpc:
        return {}
    found = dict(said or {})
    if default == "denied" and "measure" not in found:
        found["measure"] = False
    if gpc:
        found["ads"] = False
        found["gpc"] = True
    return found


def denied(said: object, default: str) -> bool:
    """Whether nothing may be kept about the visitor. `said` is a consent object, or None."""
    measure = said.get("measure") if isinstance(said, dict) else None
    return measure is False or (measure is None and default == "denied")


def forget(found: dict[str, Any]) -> None:
    """Take from an event's fields whatever could tell the visitor again."""
    for name in IDENTIFIERS:
        found.pop(name, None)
    for name in ("url", "referrer"):
        if name in found:
            found[name] = found[name].partition("?")[0].partition("#")[0]


@lru_cache(maxsize=20_000)
def truncated(address: str) -> str:
    """The /24 or /48 network of an address; "" when it is none."""
    try:
        found = ipaddress.ip_address(address.strip())
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    bits = 24 if found.version == 4 else 48
    return str(ipaddress.ip_network((found, bits), strict=False).network_address)


def _purposes(text: str) -> int:
    """The 24 purpose bits of a TCF 2 string, purpose 1 the highest; 0 when it cannot be read."""
    core = text.partition(".")[0]
    try:
        data = urlsafe_b64decode(core + "=" * (-len(core) % 4))
    except (Error, ValueError):
        return 0
    if len(data) * 8 < _PURPOSES_BIT + 24 or data[0] >> 2 != 2:
        return 0
    start = _PURPOSES_BIT // 8
    return int.from_bytes(data[start : start + 3], "big")
