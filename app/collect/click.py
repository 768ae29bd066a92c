"""GET /c/{campaign}[/{ad}]: the click redirect.

Whatever happens to the record, the visitor goes on: at most 200 ms after it was handed to the inbox, and
without the database. Nowhere but to a URL that the campaign has registered, whose host it allows, or that
the workspace signed.
"""

import asyncio
from unicodedata import normalize
from urllib.parse import unquote

import msgspec

from app import consent as consents
from app.campaigns.clickid import ClickId, make_click_id
from app.collect import consent, destinations, fields, parse, query, visitor
from app.collect.door import RESULTS, ASGIScope, Doors, Receive, Send, answer, encode, entropy, only, peer
from app.collect.fields import Bad
from app.collect.hashing import scrubbed
from app.errors import Unavailable
from app.model import Event, Rejected
from app.workspaces import Ad, Campaign, Workspace, local_day, slug_key

PATIENCE = 0.2  # seconds a visitor waits for the record
LONGEST = 16_384
NOT_FOUND = b"<!doctype html><title>Not found</title><p>This link leads nowhere: no such campaign is known.\n"
HTML = b"text/html; charset=utf-8"


class Target(msgspec.Struct, frozen=True):
    """Which campaign and ad a link names. `ad` is None when the slug is registered nowhere."""

    workspace: Workspace
    campaign: Campaign
    ad_slug: str
    ad: Ad | None
    paused: bool


async def click(doors: Doors, scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Record the click and send the visitor on."""
    if scope["method"] not in ("GET", "HEAD"):
        return await only(send, "GET", "HEAD")
    headers = dict(scope["headers"])
    raw = scope["query_string"]
    said = query.parsed(raw) if len(raw) <= LONGEST else {}
    now = doors.clock()
    target = _target(doors, headers, scope, said, now)
    if isinstance(target, Rejected):
        doors.refuse(target, door="redirect", workspace=0, said=scope["path"])
        reason = b"rejected; reason=" + target.code.encode()
        return await answer(send, 404, NOT_FOUND, (b"x-clicktrail", reason), kind=HTML)
    number, fresh = entropy()
    event, cookie = _event(doors, scope, headers, said, target, now=now, no=number, fresh=fresh)
    kept = consents.kept(event, target.workspace.settings, doors.country_of)
    expansions = {
        "click_id": event.click_id,
        "campaign": target.campaign.slug,
        "ad": target.ad_slug,
        "partner": event.partner,
        "country": event.country,
        "device": visitor.device(headers),
        **{f"sub{n}": kept.subs.get(f"sub{n}", "") for n in range(1, 31)},
        **{f"utm_{name}": event.utm.get(name, "") for name in fields.UTM},
    }
    location = destinations.chosen(
        target.campaign, target.ad, target.workspace.secret, said, paused=target.paused
    )
    if location is None:
        return await answer(send, 404, NOT_FOUND, (b"x-clicktrail", b"rejected; reason=no_url"), kind=HTML)
    passed = said if target.campaign.pass_parameters else {}
    location = destinations.completed(location, expansions, passed)
    verdict = await _store(doors, kept)
    extra = [(b"location", location.encode("ascii", "ignore")), (b"x-clicktrail", verdict)]
    if cookie is not None:
        extra.append((b"set-cookie", cookie))
    await answer(send, 302, b"", *extra, (b"referrer-policy", b"no-referrer-when-downgrade"), kind=HTML)


def _target(
    doors: Doors, headers: visitor.Headers, scope: ASGIScope, said: dict[str, str], now: int
) -> Target | Rejected:
    """The campaign of the path, in the workspace of `k=`, else of the host, else the first."""
    snapshot = doors.snapshots.current
    if said.get("k"):
        found = doors.key(said["k"])
        if found is None or found[2] not in ("public", "admin"):
            return Rejected("key_unknown", "this key is not known, or is not public", "k")
        number = found[1]
    else:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        number = snapshot.hosts.get(host) or snapshot.hosts.get(host.partition(":")[0]) or snapshot.first
    workspace = snapshot.workspaces.get(number)
    parts = [unquote(part) for part in _path(scope).split("/")[2:]]
    slug, ad_slug = (normalize("NFC", part) for part in (*parts, "", "")[:2])
    campaign = workspace.campaigns.get(slug_key(slug)) if workspace is not None else None
    if workspace is None or campaign is None or len(parts) > 2:
        return Rejected("campaign_unknown", "no campaign of this name is known", "campaign")
    day = local_day(workspace.timezone, now)
    dated = (campaign.starts_on or day) <= day <= (campaign.ends_on or day)
    return Target(
        workspace,
        campaign,
        ad_slug,
        campaign.ads.get(slug_key(ad_slug)),
        campaign.status != "active" or not dated,
    )


def _path(scope: ASGIScope) -> str:
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    found: str = raw.partition(b"?")[0].decode("latin-1")
    return found


def _event(
    doors: Doors,
    scope: ASGIScope,
    headers: visitor.Headers,
    said: dict[str, str],
    target: Target,
    *,
    now: int,
    no: int,
    fresh: bytes,
) -> tuple[Event, bytes | None]:
    """The click as it came, and the cookie to set. A parameter that cannot stand is left out, no more."""
    workspace, campaign = target.workspace, target.campaign
    hints = visitor.hints(headers, scope["method"]) + (("paused",) if target.paused else ())
    agreed = consents.resolved(
        consent.of_parameters(said), workspace.settings, signals=visitor.signals(headers)
    )
    denied = consents.denied(agreed)
    guest = visitor.NOBODY
    if denied or not hints:  # a fetch that nobody looks at gets no cookie
        guest = doors.guest(scope, headers, workspace, denied=denied, fresh=fresh)
    partner = _kept("partner", said.get("p"))
    host = peer(scope)
    touch = ClickId(
        workspace=workspace.id,
        campaign_id=campaign.id,
        ad_id=target.ad.id if target.ad is not None else 0,
        partner_id=workspace.partners.get(slug_key(partner), 0),
        occurred_at=now,
        no=no,
    )
    event = Event(
        workspace=workspace.id,
        door="redirect",
        kind="click",
        received_at=now,
        occurred_at=now,
        no=no,
        campaign=campaign.slug,
        ad=_kept("ad", target.ad_slug),
        partner=partner,
        click_id=make_click_id(touch, workspace.secret),
        click_ids=_several(said, {name: name for name in parse.CLICK_IDS}, "click_id", 1000),
        cookie_id=guest.id,
        referrer=_kept("referrer", headers.get(b"referer", b"").decode("utf-8", "replace")),
        utm=_several(said, {f"utm_{name}": name for name in fields.UTM}, "keyword", 400),
        subs=_several(said, {f"sub{n}": f"sub{n}" for n in range(1, 31)}, "keyword", 400),
        ip=visitor.address(host, headers, doors.trusted),
        user_agent=visitor.user_agent(headers),
        country=doors.country(headers, peer=host),
        consent=agreed,
        hints=hints,
    )
    return event, guest.header


def _kept(field: str, value: str | None) -> str:
    """A parameter as its field reads it; "" when it cannot stand."""
    if not value:
        return ""
    try:
        found: str = parse.FIELDS[field].read(value)
    except Bad:
        return ""
    return found


def _several(said: dict[str, str], names: dict[str, str], field: str, limit: int) -> dict[str, str]:
    """Those parameters of `names` that are there, under the names they are kept by."""
    wanted = [name for name in said if name in names]
    found = {names[name]: scrubbed(_kept(field, said[name][:limit])) for name in wanted[:30]}
    return {name: value for name, value in found.items() if value}


async def _store(doors: Doors, event: Event) -> bytes:
    """Wait a little for the record; the batch goes on being written when the visitor is gone."""
    try:
        landing = doors.inbox.add(encode(event), event.kind)
    except Unavailable:
        RESULTS["redirect"]["unrecorded"].inc()
        return b"unrecorded"
    done, _ = await asyncio.wait([landing], timeout=PATIENCE)
    recorded = bool(done) and landing.result() is not None
    RESULTS["redirect"]["accepted" if recorded else "unrecorded"].inc()
    return b"accepted" if recorded else b"unrecorded"
