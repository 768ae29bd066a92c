"""What a visitor allowed, who said so, and what of an event may be kept then. Pure.

Asked twice: by the door before anything is written, and by the pipeline before anything is stored, since a
door may not have known whose the event was. A no stands against every yes. Consent is an object of `measure`
and `ads` (booleans; absent: nobody said), `source` (who decided), `raw` and `sections` (the string of a
consent framework), `gpc`. The plain case, nothing said and measuring allowed by the workspace, is {}.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import structs

from app.agents import stand_in
from app.model import Event

#: Headers by which a browser says what its owner wants.
GPC, DNT = "gpc", "dnt"

#: Who speaks where a sender states a choice and does not say whose word that is; elsewhere "api".
SPEAKERS = {"beacon": "tag", "pixel": "parameter", "redirect": "parameter"}

#: Doors that visitors' browsers come to.
BROWSERS = frozenset(("pixel", "redirect", "beacon"))

#: How an identifier begins that stands for a visitor of one day (`visitors: daily`).
DAILY = "day."

#: What of an event could tell a person again, or tells of one what nobody can foresee.
FORGOTTEN: dict[str, Any] = {
    "visitor_id": "", "cookie_id": "", "user_id": "", "email": {}, "phone": {}, "click_id": "",
    "click_ids": {}, "title": "", "subs": {}, "segment": {}, "properties": {}, "ip": "",
}  # fmt: skip

#: What names a person for longer than a day.
NAMES: dict[str, Any] = {"visitor_id": "", "user_id": "", "email": {}, "phone": {}}

_PATH = re.compile(r"[^?#;]*")


class Policy(Protocol):
    """What a workspace has decided: its settings, or the pipeline's view of it."""

    @property
    def consent_default(self) -> str: ...
    @property
    def dnt(self) -> str: ...
    @property
    def visitors(self) -> str: ...


def resolved(
    said: Mapping[str, object] | None,
    policy: Policy | None,
    *,
    signals: Sequence[str] = (),
    speaker: str = "",
) -> dict[str, object]:
    """The consent to record. Resolved once more it stays as it is, unless the policy has become stricter.

    Without a policy (nobody knows yet whose event it is) nothing is decided, and what the headers said is
    kept beside it for whoever decides.
    """
    if not said and not signals and (policy is None or policy.consent_default == "granted"):
        return {}
    found = dict(said or {})
    if speaker and ("measure" in found or "ads" in found):
        found.setdefault("source", speaker)
    found |= dict.fromkeys(signals, True)
    if policy is not None:
        header = found.pop(DNT, False) and policy.dnt == "deny"
        if found.get("measure") is not False and (header or _silent(found, policy)):
            found |= {"measure": False, "source": DNT if header else "default"}
    if GPC in found:
        found["ads"] = False
        found.setdefault("source", GPC)
    if denied(found):
        found["ads"] = False
        # A consent string holds the moment of its making: it tells its owner from everybody else.
        for name in ("raw", "sections"):
            found.pop(name, None)
    return found


def _silent(found: Mapping[str, object], policy: Policy) -> bool:
    return "measure" not in found and policy.consent_default == "denied"


def denied(agreed: Mapping[str, object]) -> bool:
    """Whether nothing may be kept about the visitor. `agreed` is resolved."""
    return agreed.get("measure") is False


def kept(event: Event, policy: Policy | None, country_of: Callable[[str], str]) -> Event:
    """What may be kept of an event whose consent is resolved: all of it, all but names, or nobody's."""
    if denied(event.consent):
        return impersonal(event, country_of)
    if is_daily(event.cookie_id):
        return structs.replace(event, **NAMES)
    if policy is not None and policy.visitors == "daily" and event.door in BROWSERS:
        return structs.replace(event, cookie_id="", **NAMES)
    return event


def impersonal(event: Event, country_of: Callable[[str], str]) -> Event:
    """What happened, without to whom: the country instead of the address, the device instead of its name."""
    agent = event.user_agent
    return structs.replace(
        event,
        url=bare(event.url),
        referrer=bare(event.referrer),
        user_agent=agent if agent is None else stand_in(agent),
        country=event.country or (country_of(event.ip) if event.ip else ""),
        **FORGOTTEN,
    )


def bare(url: str) -> str:
    """An address without its query, fragment and parameters."""
    found = _PATH.match(url)
    return found[0] if found is not None else ""


def is_daily(visitor: str) -> bool:
    """Whether an identifier stands for a visitor of one day."""
    return len(visitor) == len(DAILY) + 32 and visitor.startswith(DAILY)


def nowhere(_ip: str) -> str:
    """The country of an address where nobody can tell it."""
    return ""
