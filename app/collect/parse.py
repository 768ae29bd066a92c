"""Untrusted fields become a model.Event, or a model.Rejected that names the field. Nothing in between.

FIELDS is the table of all fields a sender may use; a door translates its own spelling into them. Unknown
fields are ignored. What the door itself knows of the request stands in an `Arrival`. Pure: no clock, no
randomness; the same fields and arrival always give the same event.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from app import consent as consents
from app.campaigns.clickid import LENGTH, read_click_id
from app.collect import consent, fields
from app.collect.fields import Bad
from app.model import ADJUSTMENTS, KINDS, PUBLIC_KINDS, RESULTS, SECOND, STATES, Event, Rejected, number
from app.workspaces import Workspace, slug_key


class Field(NamedTuple):
    """How a field is read. A `server` field is ignored at public doors, whoever sends it."""

    read: fields.Reader
    server: bool = False


FIELDS: dict[str, Field] = {
    "id": Field(fields.text(200)),
    "kind": Field(fields.text(60)),
    "goal": Field(fields.slug),
    "campaign": Field(fields.slug),
    "ad_group": Field(fields.slug),
    "ad": Field(fields.slug),
    "partner": Field(fields.slug),
    "channel": Field(fields.slug),
    "creative": Field(fields.of_link(200)),
    "placement": Field(fields.of_link(400)),
    "keyword": Field(fields.of_link(400)),
    "click_id": Field(fields.text(200)),
    "click_ids": Field(fields.strings(most=20, each=fields.of_link(1000))),
    "visitor_id": Field(fields.text(200)),
    "user_id": Field(fields.text(200)),
    "email": Field(fields.email),
    "phone": Field(fields.phone),
    "email_sha256": Field(fields.digest),
    "phone_sha256": Field(fields.digest),
    "order_id": Field(fields.text(200)),
    "store": Field(fields.text(200)),
    "conversion_id": Field(fields.conversion_id),
    "lead_id": Field(fields.text(200)),
    "value": Field(fields.amount),
    "currency": Field(fields.currency),
    "tax": Field(fields.amount),
    "shipping": Field(fields.amount),
    "cost_of_goods": Field(fields.amount, server=True),
    "payout": Field(fields.amount, server=True),
    "status": Field(fields.one_of(*STATES), server=True),
    "url": Field(fields.link),
    "landing": Field(fields.link),
    "referrer": Field(fields.link),
    "title": Field(fields.title),
    "utm": Field(fields.utm),
    "subs": Field(fields.strings(most=30, each=fields.of_link(400))),
    "ip": Field(fields.text(60), server=True),
    "user_agent": Field(fields.cut(1000), server=True),
    "country": Field(fields.text(2), server=True),
    "viewable": Field(fields.flag),
    "engaged": Field(fields.flag),
    "visit_id": Field(fields.text(200)),
    "consent": Field(consent.stated),
    "segment": Field(fields.strings(most=20, each=fields.of_link(200))),
    "new_customer": Field(fields.flag),
    "test": Field(fields.flag),
    "properties": Field(fields.properties),
}

MONEY = frozenset(("value", "tax", "shipping", "cost_of_goods", "payout"))

#: Foreign click identifiers looked for in landing URLs and at the redirect. Values are case-sensitive.
CLICK_IDS = frozenset(
    "gclid gclsrc dclid gbraid wbraid fbclid msclkid ttclid twclid li_fat_id rdt_cid epik sccid ScCid qclid "
    "irclid igshid _kx mc_cid yclid ymclid vmcid dicbo tblci cjevent awc ranSiteID clickref sscid zanpid "
    "wickedid gad_source gad_campaignid srsltid ko_click_id obOrigUrl s2s subid".split()
)


class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a door knows of a request apart from its fields. `no` is 63 random bits, `sent_at` raw."""

    door: str
    received_at: int
    no: int
    public: bool = True
    workspace: Workspace | None = None  # None: the snapshot is stale, the pipeline judges `key_digest`
    key_digest: str = ""
    key: int = 0  # id of the server's key
    cookie_id: str = ""
    ip: str = ""
    user_agent: str | None = None
    country: str = ""
    signals: tuple[str, ...] = ()  # what headers say of consent
    country_of: Callable[[str], str] = consents.nowhere
    sent_at: object = None
    hints: tuple[str, ...] = ()

    def numbered(self, no: int) -> "Arrival":
        """The same request, for another of its events."""
        return msgspec.structs.replace(self, no=no)


def event(said: Mapping[str, object], arrival: Arrival) -> Event | Rejected:
    """The event that these fields tell of."""
    found: dict[str, Any] = {}
    name = ""
    public = arrival.public
    try:
        for name, value in said.items():
            if value is None or value == "":
                continue
            field = FIELDS.get(name)
            if field is not None and not (public and field.server):
                found[name] = field.read(value)
        return _completed(found, said.get("occurred_at"), arrival)
    except Bad as bad:
        return Rejected(bad.code, bad.message, name)
    except _Missing as missing:
        return missing.rejected


class _Missing(Exception):
    """Fields that do not go together, found after each was read."""

    def __init__(self, code: str, message: str, field: str) -> None:
        super().__init__(message)
        self.rejected = Rejected(code, message, field)


def _completed(found: dict[str, Any], stated: object, arrival: Arrival) -> Event:
    """The event of values that are good in themselves."""
    workspace = arrival.workspace
    _put_kind(found, arrival)
    if "currency" not in found and not MONEY.isdisjoint(found):
        raise _Missing("currency_missing", "is required where there is an amount", "currency")
    if "email_sha256" in found:
        found.setdefault("email", found.pop("email_sha256"))
    if "phone_sha256" in found:
        found.setdefault("phone", found.pop("phone_sha256"))
    landing = found.pop("landing", "")
    for query in (found.get("url", "").partition("#")[0].partition("?")[2], landing):
        if query:
            _put_link(found, query)
    occurred_at, stated_at, hints = _times(stated, arrival)
    ip = arrival.ip
    if "ip" in found:
        ip = consent.truncated(found.pop("ip"))
    policy, number_ = (workspace.settings, workspace.id) if workspace is not None else (None, 0)
    agreed = consents.resolved(
        found.pop("consent", None),
        policy,
        signals=arrival.signals,
        speaker=consents.SPEAKERS.get(arrival.door, "api"),
    )
    if consents.denied(agreed):
        found.pop("click_id", None)  # nor may the event be numbered by it
    event = Event(
        workspace=number_,
        door=arrival.door,
        received_at=arrival.received_at,
        occurred_at=occurred_at,
        stated_at=stated_at,
        no=_no(found, number_, arrival),
        cookie_id=arrival.cookie_id,
        ip=ip,
        user_agent=found.pop("user_agent") if "user_agent" in found else arrival.user_agent,
        country=found.pop("country").upper() if "country" in found else arrival.country,
        consent=agreed,
        hints=arrival.hints + hints,
        key_digest=arrival.key_digest,
        key=arrival.key,
        **found,
    )
    return consents.kept(event, policy, arrival.country_of)


def _put_kind(found: dict[str, Any], arrival: Arrival) -> None:
    kind = found.get("kind")
    if kind is None:
        raise _Missing("kind_missing", "is required: one of " + ", ".join(KINDS), "kind")
    if kind not in KINDS:
        raise _Missing("kind_unknown", "must be one of " + ", ".join(KINDS), "kind")
    if arrival.public and kind not in PUBLIC_KINDS:
        raise _Missing("kind_not_public", f"{kind} is accepted from servers only", "kind")
    if kind in RESULTS or kind in ADJUSTMENTS:
        goal = found.get("goal")
        if goal is not None and goal in KINDS:
            if goal != kind:
                raise _Missing("goal_named_like_kind", "must not be named like a kind", "goal")
            del found["goal"]
    if kind != "visit":
        found.pop("engaged", None)
    if kind != "engagement":
        found.pop("visit_id", None)
    elif "visit_id" not in found:
        raise _Missing("visit_id_missing", "is required: the id of the visit that was engaged in", "visit_id")
    if kind in ADJUSTMENTS:
        if not (found.get("order_id") or found.get("conversion_id")):
            raise _Missing("order_id_missing", "name the sale by order_id or conversion_id", "order_id")
        if kind == "status" and "status" not in found:
            raise _Missing("status_missing", "is required: " + ", ".join(STATES), "status")


def kind_of_goal(name: str, workspace: Workspace | None) -> tuple[str, str]:
    """(kind, goal) of a word that may be either: a kind, a registered goal, else a lead's goal."""
    if name in KINDS:
        return name, ""
    goals = workspace.goals if workspace is not None else {}
    return goals.get(slug_key(name), "lead"), name


def _put_link(found: dict[str, Any], query: str) -> None:
    """UTM parameters and click ids of an address's query, where the sender did not say them itself."""
    try:
        pairs = parse_qsl(query, max_num_fields=200, errors="ignore")
    except ValueError:
        return
    named = {k: v for k, v in pairs if (k[:4] == "utm_" or k in CLICK_IDS or k == "ct_click") and v}
    if not named:
        return
    try:
        if "utm" not in found:
            tags = {k: v[:400] for k, v in named.items() if k[:4] == "utm_"}
            if tags:
                found["utm"] = fields.utm(tags)
        if "click_ids" not in found:
            ids = {k: v[:1000] for k, v in named.items() if k in CLICK_IDS}
            if ids:
                found["click_ids"] = FIELDS["click_ids"].read(ids)
        if "click_id" not in found and "ct_click" in named:
            found["click_id"] = FIELDS["click_id"].read(named["ct_click"])
    except Bad:
        return  # what stands in a link is not the sender's claim: it costs nothing


def _times(stated: object, arrival: Arrival) -> tuple[int, int | None, tuple[str, ...]]:
    """(occurred_at, what was stated, hints). A server's wrong time is its error; a browser's never is."""
    now = arrival.received_at
    if stated is None or stated == "":
        return now, None, ()
    at = None
    try:
        at = fields.moment(stated, now)
        corrected = at
        if arrival.public and arrival.sent_at is not None:
            skew = now - fields.moment(arrival.sent_at, now)
            # Below a minute the difference is the way here, not the clock.
            corrected = at + skew if abs(skew) > 60 * SECOND else at
        return fields.timely(corrected, now), at, ("clock",) if corrected != at else ()
    except Bad as bad:
        if not arrival.public:
            raise _Missing(bad.code, bad.message, "occurred_at") from None
        return now, at, ("clock",)  # a repeat must say the same, however late it comes


def _no(found: dict[str, Any], workspace: int, arrival: Arrival) -> int:
    """The event's number: of its id; of our click id, where the id (or the reported click) is one."""
    id_ = found.get("id", "")
    claimed = id_ or (found.get("click_id", "") if found["kind"] == "click" else "")
    if len(claimed) == LENGTH and arrival.workspace is not None:
        click = read_click_id(claimed, arrival.workspace.secret)
        if click is not None and click.workspace == workspace:
            return click.no
    return number(workspace, "id", id_) if id_ else arrival.no
