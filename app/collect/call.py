"""A call in a page, ct("signup", {...}), as the tag sends it: {"event": "signup", ...}. Pure.

Its name is a kind or a goal; what is no field of an event is a property of the site's own. The tag leaves
this to the door: what a field is, is known here, and the script stays small.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from app.collect import hashing
from app.collect.fields import Bad, blanked
from app.collect.parse import FIELDS, MONEY, kind_of_goal
from app.model import KINDS, Rejected
from app.workspaces import Workspace, slug_key

#: As elements spell it: data-ct-prop-plan="pro" is the property `plan`, whatever fields may be named.
PROPERTY = "prop-"

#: Digits enough to reach somebody by. What has none says something else: that a browser is a mobile one.
_REACHING = re.compile(r"(?:\d\D{0,3}){5}")


def fields(said: Mapping[str, object], workspace: Workspace | None) -> dict[str, object] | Rejected:
    """The fields of an event, from those of a call, in any case: the exact name comes first. Elements'
    attributes have `-` where fields have `_`."""
    name = said["event"]
    if not isinstance(name, str) or not name:
        return Rejected("not_text", "must be a string: a kind or the name of a goal", "event")
    found: dict[str, object] = {}
    own: dict[str, object] = {}
    for key, value in said.items():
        field = key.replace("-", "_").lower()
        if key.startswith(PROPERTY):
            own[key.removeprefix(PROPERTY)] = value
        elif field in FIELDS or field == "occurred_at":
            if value is not None and (field not in found or key.replace("-", "_") == field):
                found[field] = _money(value) if field in MONEY else value
        elif value is not None and key != "event":
            own[key] = value
    if isinstance(found.get("landing"), str) and _no_advertising(found.get("consent")):
        found["landing"] = _without_click_ids(str(found["landing"]))
    if "title" in found:
        found["title"] = blanked(found["title"])
    given = found.get("properties", {})
    if isinstance(given, Mapping) and (own or given):
        found["properties"] = _impersonal({**own, **given}, found)
    if name in KINDS:
        found["kind"] = name
        return found
    found["kind"], goal = kind_of_goal(name, workspace)
    known = workspace is not None and slug_key(goal) in workspace.goals
    if found.get("order_id") and not known:
        found["kind"] = "sale"
    found.setdefault("goal", goal)
    return found


def _impersonal(own: Mapping[str, object], found: dict[str, object]) -> dict[str, object]:
    """The properties without addresses and numbers that stand under their names: those are fields, hashed."""
    kept: dict[str, object] = {}
    for name, value in own.items():
        field = hashing.named(name)
        try:
            if field:
                FIELDS[field].read(value)
                found.setdefault(field, value)
                continue
        except Bad:  # not what the name says, and no reason to lose the event
            if field == "phone" and _REACHING.search(str(value)[:8192]):
                value = "(phone)"
        kept[name] = value
    return kept


def _no_advertising(stated: object) -> bool:
    return isinstance(stated, Mapping) and stated.get("ad_storage") == "denied"


def _without_click_ids(landing: str) -> str:
    """A visit may have begun before advertising was denied; what is told since knows no platform's ids."""
    return "&".join(one for one in landing.split("&") if one.startswith(("utm_", "ct_")))


def _money(value: object) -> object:
    """JavaScript says 0.1 + 0.2 with 17 digits: beyond the sixth decimal its numbers are noise."""
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 15:
        return value if value == round(value, 6) else round(value, 6)
    return value
