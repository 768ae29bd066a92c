"""Consent as senders and headers state it, and what may be shown of what they sent. Pure.

What follows from it is decided in app/consent.py, here and in the pipeline alike.
"""

import ipaddress
import re
from base64 import urlsafe_b64decode
from binascii import Error
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from app import consent
from app.collect import hashing
from app.collect.fields import Bad, cut, flag
from app.consent import Policy

#: The parameters of query strings that state consent.
PARAMETERS = frozenset(("consent", "gdpr", "gdpr_consent", "gpp", "gpp_sid", "us_privacy"))

#: Whose string a parameter holds, the first that is there.
STRINGS = (("gdpr_consent", "tcf"), ("gpp", "gpp"), ("us_privacy", "us_privacy"))

#: What may be shown of a refused event whose visitor denied consent, by all its names at the doors.
IMPERSONAL = frozenset(
    "kind e goal g campaign c ad_group ad a partner p channel value v currency cur tax shipping payout "
    "status occurred_at t viewable engaged test".split()
)

#: What names a visitor for longer than a day, by all its names at browsers' doors; and hashes.
LASTING = frozenset(("visitor_id", "vid", "cookie_id", "user_id", "u"))

#: Google's names for what a visitor allows, of seven those that say something about us.
GOOGLE = ("analytics_storage", "ad_storage", "ad_user_data", "ad_personalization")

_RAW = cut(4000)
_SOURCE = cut(60)
_US = re.compile(r"1[YN-]{3}", re.IGNORECASE)
_PURPOSES_BIT = 152  # of a TCF 2 core string: where the 24 consented purposes begin
_TCF_SECTION = "2"  # of GPP: TCF 2 for the EU, and of the sections in force the first


class Said(NamedTuple):
    """What one event and the headers of its request say of consent."""

    consent: object  # a consent object or a bare flag, not read yet; None: nothing
    signals: tuple[str, ...] = ()

    def denied(self, policy: Policy | None) -> bool:
        """Whether nothing may be kept; what cannot be read is a no until it can be."""
        try:
            said = None if self.consent is None else stated(self.consent)
        except Bad:
            return True
        return consent.denied(consent.resolved(said, policy, signals=self.signals))

    def shown(self, told: Mapping[str, object], policy: Policy | None, *, door: str) -> Mapping[str, object]:
        """What may be kept of a refused event: without consent, or an owner, only what tells of nobody;
        without cookies, from browsers, nothing that names somebody for longer than a day."""
        if policy is not None and not self.denied(policy):
            daily = policy.visitors == "daily" and door in consent.BROWSERS
            return {name: told[name] for name in told if not _lasts(name)} if daily else told
        plain = {name: told[name] for name in told if name in IMPERSONAL}
        return {name: value for name, value in plain.items() if not isinstance(value, dict | list)}


def _lasts(name: str) -> bool:
    plain = name.replace("-", "_").lower()
    return plain in LASTING or plain.endswith("_sha256") or hashing.named(name) != ""


def stated(value: object) -> dict[str, object]:
    """The consent object of an event: measure and ads (booleans), source, raw, sections, or Google's names
    with "granted" and "denied", gpc; or a bare 0 or 1."""
    if not isinstance(value, dict):
        allowed = flag(value)
        return {"measure": allowed, "ads": allowed}
    found: dict[str, object] = {}
    for name in ("measure", "ads"):
        if value.get(name) is not None:
            found[name] = flag(value[name])
    for name, read in (("source", _SOURCE), ("raw", _RAW), ("sections", _SOURCE)):
        if value.get(name) is not None:
            if not isinstance(value[name], str):
                raise Bad("not_text", f"must have a string as {name}")
            found[name] = hashing.scrubbed(read(value[name]))
    if not value.keys().isdisjoint(_BY_THE_PAGE):
        _put_words(found, value)
    return found


def together(own: object, shared: object) -> object:
    """What an event and its context say of consent: the event's word comes first, and a no of either stands.
    None: nothing."""
    first, second = _told(own), _told(shared)
    if not (first and second):
        return first or second or None
    if any(_is_no(name, said) and not _is_no(name, first.get(name)) for name, said in second.items()):
        first, second = second, first  # whose no it is, decided
    found = {**second, **first}
    for name, said in second.items():
        if _is_no(name, said):
            found[name] = said
    return found


def _told(value: object) -> dict[str, object]:
    if value is None or value == "":
        return {}
    whole = value if isinstance(value, dict) else {"measure": value, "ads": value}
    return {name: said for name, said in whole.items() if said is not None}


def _is_no(name: str, said: object) -> bool:
    """Whether a consent object denies something by this; what cannot be read denies nothing yet."""
    if name in GOOGLE:
        return said == "denied"
    with suppress(Bad):
        return name in ("measure", "ads", "gpc") and flag(said) == (name == "gpc")
    return False


_BY_THE_PAGE = frozenset((*GOOGLE, "gpc"))


def _put_words(found: dict[str, object], value: dict[str, object]) -> None:
    """What Google's names and navigator.globalPrivacyControl say: no yes takes back what they deny."""
    said: dict[str, bool] = {}
    for name in GOOGLE:
        word = value.get(name)
        if word is not None:
            if word not in ("granted", "denied"):
                raise Bad("not_one_of", f"must have granted or denied as {name}")
            said[name] = word == "granted"
    if "analytics_storage" in said:
        found["measure"] = said["analytics_storage"] and found.get("measure", True)
    if "ad_storage" in said or "ad_user_data" in said:
        shared = said.get("ad_storage", True) and said.get("ad_user_data", True)
        found["ads"] = shared and found.get("ads", True)
    if "ad_personalization" in said:
        found["personalize"] = said["ad_personalization"]
    if value.get("gpc") is not None and flag(value["gpc"]):
        found |= {"ads": False, "gpc": True}
        if not said:
            found.setdefault("source", consent.GPC)


def of_parameters(said: Mapping[str, str]) -> dict[str, object] | None:
    """Consent as query strings carry it: consent=0|1, gdpr with gdpr_consent, gpp with gpp_sid, us_privacy.

    None: nothing said. A no in any of them stands.
    """
    found: dict[str, object] = {}
    for name, source in STRINGS:
        if raw := said.get(name):
            found["source"] = source
            with suppress(Bad):  # what is no text consents to nothing, and is no reason to lose the event
                found["raw"] = hashing.scrubbed(_RAW(raw))
            break
    sections = re.split("[,_]", said.get("gpp_sid", ""))
    if sections != [""]:
        with suppress(Bad):
            found["sections"] = hashing.scrubbed(_SOURCE(said["gpp_sid"]))
    if said.get("gdpr") == "1" or _TCF_SECTION in sections:
        text = said.get("gdpr_consent", "")
        purposes = _purposes(text or said.get("gpp", "").partition("~")[2].partition("~")[0])
        # Purpose 1 is keeping something on a device, 7 measuring ads. No readable string is no consent.
        found["measure"] = bool(purposes >> 23 & 1)
        found["ads"] = bool(purposes >> 23 & 1 and purposes >> 17 & 1)
        found.setdefault("source", "tcf")
    told = said.get("us_privacy", "")
    if _US.fullmatch(told) and told[2] in "Yy":  # opted out of the sale of what is known of them
        found["ads"] = False
    choice = said.get("consent")
    if choice == "0" or (choice == "1" and "measure" not in found):
        found |= {"measure": choice == "1", "source": "parameter"}
        found["ads"] = choice == "1" and found.get("ads", True)
    return found or None


@lru_cache(maxsize=20_000)
def truncated(address: str) -> str:
    """The /24 or /48 network of an address; "" when it is none."""
    found = parsed(address)
    if found is None:
        return ""
    bits = 24 if found.version == 4 else 48
    return str(ipaddress.ip_network((found, bits), strict=False).network_address)


def parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, one of IPv4 in an IPv6 one as itself; None when it is none."""
    try:
        found = ipaddress.ip_address(address.strip())
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


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
