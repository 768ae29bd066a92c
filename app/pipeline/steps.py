"""What is done to each record, in order: a literal list of pure steps.

A step looks at one `Item` and at what is `Known`, and either adds a fact (`put_*`), marks it (`flag_*`),
or refuses it with a reason (`drop_*` returns Rejected). Steps know no database: `run` preloads what the
batch needs and writes what it became.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import tldextract
from msgspec import structs

from app import consent
from app.agents import device
from app.campaigns.clickid import ClickId, read_click_id
from app.identity.rules import junk
from app.model import (
    ADJUSTMENTS,
    FLAGS,
    RESULTS,
    TRAFFIC,
    Event,
    Rejected,
    Scope,
    country_number,
    node,
    number,
    slug_key,
)
from app.pipeline import rules

_domains = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


@dataclass(frozen=True, slots=True)
class Match:
    """A rule by which a landing belongs to a campaign: every field it names must be equal."""

    campaign: str
    source: str = ""
    medium: str = ""
    name: str = ""
    click_id: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A workspace as the pipeline sees it."""

    id: int
    timezone: str
    secret: bytes
    campaigns: Mapping[str, tuple[int, int]]  # slug key -> campaign id, channel id
    matches: tuple[Match, ...] = ()
    ignored_referrers: tuple[str, ...] = ()
    lead_count: str = "once_per_person"
    consent_default: str = "granted"
    dnt: str = "ignore"
    visitors: str = "cookies"


@dataclass(slots=True)
class Known:
    """What the steps may look up. `seen` grows as they go: a batch can hold one id twice."""

    workspaces: Mapping[int, View]
    keys: Mapping[str, tuple[int, Scope]]
    seen: dict[bytes, int]
    country_of: Callable[[str], str]


@dataclass(slots=True)
class Item:
    """One event on its way, and what became of it so far."""

    event: Event
    workspace: int = 0
    view: View | None = None
    outcome: str = ""  # "", duplicate
    key: bytes = b""  # rules.dedupe_key of the sender's id; b"" when it sent none
    digest: int = 0
    flags: int = 0
    click: ClickId | None = None
    campaign: str = ""
    channel: str = ""
    source: str = ""
    medium: str = ""
    direct: bool = False
    landing: bool = False
    visitor: int = 0
    visitor_id: str = ""
    nodes: list[tuple[int, str]] = field(default_factory=list)  # (node, kind), the anchor first
    junk: list[tuple[str, str]] = field(default_factory=list)  # (kind, rules.junk) of what names nobody
    country: int = 0
    device: int = 0
    billable: bool = False
    quality: int = 0
    conversion: int = 0


Step = Callable[[Item, Known], Rejected | None]


def drop_unknown_key(item: Item, known: Known) -> Rejected | None:
    """An event taken in while the snapshot was stale is judged by its key now."""
    item.workspace = item.event.workspace
    if item.event.key_digest:
        workspace, scope = known.keys.get(item.event.key_digest, (0, "read"))
        if scope not in ("public", "admin"):
            item.event = consent.impersonal(item.event, known.country_of)  # nobody's: nobody has consent
            return Rejected("key_unknown", "no public key of this name exists")
        item.workspace = workspace
        # Its door did not know whose it was, and an event's number is its workspace's.
        no = number(workspace, "id", item.event.id) if item.event.id else item.event.no
        item.event = structs.replace(item.event, workspace=workspace, no=no, key_digest="")
    item.view = known.workspaces.get(item.workspace)
    if item.view is None:
        item.event = consent.impersonal(item.event, known.country_of)
        return Rejected("workspace_unknown", "the workspace was archived")
    return None


def put_consent(item: Item, known: Known) -> None:
    """What may be kept of the event, whatever its door knew of the workspace that it is of."""
    event, view = item.event, item.view
    assert view is not None
    agreed = consent.resolved(event.consent, view, speaker=consent.SPEAKERS.get(event.door, "api"))
    if agreed != event.consent:
        event = structs.replace(event, consent=agreed)
    item.event = consent.kept(event, view, known.country_of)


def drop_repeats(item: Item, known: Known) -> Rejected | None:
    """An id counts once, for ever; the same id with other content is kept aside."""
    event = item.event
    if not item.key:
        return None
    item.digest = rules.content_digest(event)
    first = known.seen.get(item.key)
    if first is None:
        known.seen[item.key] = item.digest
        return None
    if first != item.digest:
        return Rejected("id_conflict", "this id was sent before with other content; the first stands", "id")
    item.outcome = "duplicate"
    return None


def drop_aimless_adjustments(item: Item, known: Known) -> Rejected | None:
    """A refund or state change must name what it changes."""
    event = item.event
    if event.kind not in ADJUSTMENTS:
        return None
    if event.conversion_id:
        text = event.conversion_id.removeprefix("cv_")
        if len(text) != 16 or not all(c in "0123456789abcdef" for c in text):
            return Rejected("conversion_id_invalid", "is not one of our conversion ids", "conversion_id")
        item.conversion = int(text, 16)
    elif event.order_id:
        item.conversion = order_number(item)
    else:
        return Rejected("order_id_missing", "name the sale by order_id or conversion_id", "order_id")
    return None


def put_conversion(item: Item, known: Known) -> None:
    """One (store, order) is one sale; any other result is its own."""
    if item.event.kind in RESULTS:
        ordered = item.event.kind == "sale" and item.event.order_id
        item.conversion = order_number(item) if ordered else number(item.workspace, "event", item.event.no)


def order_number(item: Item) -> int:
    return number(item.workspace, "order", item.event.store, item.event.order_id)


def put_click(item: Item, known: Known) -> None:
    """Our own click id, when its signature holds and it is of this workspace."""
    event = item.event
    if event.click_id and event.door != "redirect" and item.view is not None:
        found = read_click_id(event.click_id, item.view.secret)
        item.click = found if found is not None and found.workspace == item.workspace else None


def put_identity(item: Item, known: Known) -> None:
    """The identity nodes of the event, the believed one first. Only a door knows a visitor of a day."""
    event = item.event
    told = (
        ("visitor", event.cookie_id),
        ("visitor", "" if consent.is_daily(event.visitor_id) else event.visitor_id),
        ("user", event.user_id),
        ("email", event.email.get("meta", "")),
        ("phone", event.phone.get("meta", "")),
    )
    for kind, value in told:
        stand_in = junk(value) if value else None
        if stand_in is not None:
            item.junk.append((kind, stand_in))
        elif value:
            found = node(item.workspace, kind, value)
            if all(found != other for other, _ in item.nodes):
                item.nodes.append((found, kind))
                item.visitor_id = item.visitor_id or value
    if item.nodes:
        item.visitor = item.nodes[0][0]


def put_origin(item: Item, known: Known) -> None:
    """Source, medium, channel and campaign: what the event says, then its click, then its link."""
    event = item.event
    view = item.view
    assert view is not None
    item.campaign, item.channel = event.campaign, event.channel
    referrer = rules.host(event.referrer) if event.referrer else ""
    if referrer and event.url and _site(referrer) == _site(rules.host(event.url)):
        referrer = ""
        internal = True
    else:
        internal = False
    utm = event.utm
    item.source, item.medium = rules.origin(utm.get("source", ""), utm.get("medium", ""), referrer)
    named = utm.get("campaign", "")
    if not item.campaign and event.kind in TRAFFIC and (named or event.click_ids):
        item.campaign = _campaign_of(item, view, named)
    if not item.channel and slug_key(item.campaign) not in view.campaigns:
        kinds, told = tuple(event.click_ids), bool(utm.get("medium"))
        item.channel = rules.channel(item.source, item.medium, kinds, told=told)
    if event.kind != "visit":
        return
    if referrer and rules.is_payment_host(referrer, view.ignored_referrers):
        item.flags |= FLAGS["ignored"]
    item.direct = not (item.campaign or item.source or item.click or event.click_ids)
    if item.click is not None:
        item.flags |= FLAGS["caused"]
    elif (named or event.click_ids) and not internal:
        item.landing = True
        item.flags |= FLAGS["caused"]


def _campaign_of(item: Item, view: View, named: str) -> str:
    if slug_key(named) in view.campaigns:
        return named
    for match in view.matches:
        if (
            match.source in ("", item.source.casefold())
            and match.medium in ("", item.medium.casefold())
            and match.name in ("", slug_key(named))
            and (not match.click_id or match.click_id in item.event.click_ids)
        ):
            return match.campaign
    return named


@lru_cache(maxsize=10_000)
def _site(host: str) -> str:
    """The registrable domain, so that shop.example and www.example are one site."""
    found = _domains(host)
    return found.top_domain_under_public_suffix or host


def put_place(item: Item, known: Known) -> None:
    event = item.event
    item.country = country_number(event.country or (known.country_of(event.ip) if event.ip else ""))


def put_device(item: Item, known: Known) -> None:
    item.device = device(item.event.user_agent or "")


def flag_invalid(item: Item, known: Known) -> None:
    """Robots, previews and tests: kept, marked, not counted."""
    item.flags |= rules.flags_of(item.event)


def put_billable(item: Item, known: Known) -> None:
    """Clicks of our redirect and those a server reports are billed; derived, browser and paused are not."""
    event = item.event
    item.billable = event.kind == "click" and rules.is_billable(event.door, item.flags, event.hints)


STEPS: tuple[Callable[[Item, Known], Rejected | None], ...] = (
    drop_unknown_key,
    put_consent,
    drop_repeats,
    drop_aimless_adjustments,
    put_conversion,
    put_click,
    put_identity,
    put_origin,
    put_place,
    put_device,
    flag_invalid,
    put_billable,
)


def refine(item: Item, known: Known) -> Rejected | None:
    """Run the steps over one item, up to the first that refuses it or finds it a repeat."""
    for step in STEPS:
        refusal = step(item, known)
        if refusal is not None:
            return refusal
        if item.outcome:
            break
    return None
