"""What the steps know about the world: channels, hosts, keys. Pure."""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from app.agents import is_bot
from app.model import FLAGS, HALF_HOUR, Event, number

#: Hosts a buyer comes back from after paying. They sent nobody.
PAYMENT_HOSTS = frozenset(
    """paypal.com stripe.com klarna.com adyen.com braintreegateway.com mollie.com worldpay.com checkout.com
    squareup.com vipps.no nets.eu swish.nu liqpay.ua wayforpay.com vnpay.vn momo.vn zalopay.vn
    zarinpal.com iyzico.com paytr.com shaparak.ir""".split()
)

SEARCH = re.compile(
    r"(^|\.)(google|bing|duckduckgo|yahoo|ecosia|qwant|startpage|baidu|yandex|coccoc|brave|kagi)\."
)
SOCIAL = re.compile(
    r"(^|\.)(facebook|instagram|t|twitter|x|linkedin|lnkd|pinterest|reddit|tiktok|youtube|telegram|vk|zalo|"
    r"snapchat|threads)\.(com|co|in|net|me|org)$"
)

SOCIAL_SOURCES = r"facebook|instagram|meta|tiktok|linkedin|twitter|pinterest|snapchat|reddit|^(x|fb|ig)$"

#: Channel by medium (and source): the first row that fits.
CHANNELS: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (channel, re.compile(medium), re.compile(source))
    for channel, medium, source in (
        ("email", r"^(e-?mail|newsletter)$", r""),
        ("affiliate", r"^(affiliate|affiliates|partner)$", r""),
        ("paid_social", r"^(cpc|ppc|cpm|paid.*)$", SOCIAL_SOURCES),
        ("paid_social", r"^paid[_ -]?social$", r""),
        ("display", r"^(display|banner|cpm|interstitial|expandable)$", r""),
        ("video", r"^(video|cpv).*$", r""),
        ("paid_search", r"^(cpc|ppc|sem|paid[_ -]?search)$", r""),
        ("paid_other", r"^(paid.*|retargeting|cpa)$", r""),
        ("organic_social", r"^(social|social[_ -]?network|social[_ -]?media|sm)$", r""),
        ("organic_search", r"^organic$", r""),
        ("sms", r"^sms$", r""),
        ("push", r"push$", r""),
        ("audio", r"^audio$", r""),
        ("referral", r"^(referral|app|link)$", r""),
    )
)  # fmt: skip

#: Channel by a foreign click id, where the link names no medium. Of several the first here counts.
CLICK_CHANNELS: dict[str, str] = {
    "gclid": "paid_search", "gbraid": "paid_search", "wbraid": "paid_search", "msclkid": "paid_search",
    "dclid": "display", "fbclid": "paid_social", "ttclid": "paid_social", "twclid": "paid_social",
    "li_fat_id": "paid_social", "rdt_cid": "paid_social", "epik": "paid_social", "sccid": "paid_social",
    "irclid": "affiliate", "cjevent": "affiliate", "awc": "affiliate", "gad_source": "paid_search",
}  # fmt: skip

#: What platforms add to links besides ids of a click: the campaign, the mailing, who was written to, what was
#: shared. Many clicks have the same.
OF_MANY_CLICKS = frozenset(
    "gclsrc gad_source gad_campaignid srsltid mc_cid _kx igshid wickedid obOrigUrl s2s subid".split()
)


@lru_cache(maxsize=5_000)
def host(url: str) -> str:
    """The lower-case host of a URL without "www."; "" when there is none."""
    try:
        found = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
    return found.removeprefix("www.")


def is_payment_host(name: str, more: tuple[str, ...]) -> bool:
    """Whether a referrer is on the list of payment providers (subdomains included)."""
    labels = name.split(".")
    tails = {".".join(labels[i:]) for i in range(len(labels))}
    return bool(tails & PAYMENT_HOSTS) or bool(tails.intersection(more))


@lru_cache(maxsize=10_000)
def origin(utm_source: str, utm_medium: str, referrer_host: str) -> tuple[str, str]:
    """(source, medium): what the link says, else what the referrer shows, else ("", "") for direct."""
    if utm_source or utm_medium:
        return utm_source, utm_medium
    if not referrer_host:
        return "", ""
    if SEARCH.search(referrer_host):
        return referrer_host, "organic"
    return referrer_host, "social" if SOCIAL.search(referrer_host) else "referral"


@lru_cache(maxsize=10_000)
def channel(source: str, medium: str, click_kinds: tuple[str, ...], *, told: bool) -> str:
    """The channel slug of an origin; "" when nothing says.

    `told`: the link names the medium. One that the page before suggests knows less than a foreign click id:
    ads on a search page would be its organic results.
    """
    of_click = next((slug for kind, slug in CLICK_CHANNELS.items() if kind in click_kinds), "")
    plain_medium, plain_source = medium.strip().lower(), source.strip().lower()
    if plain_medium and (told or not of_click):
        for slug, medium_fits, source_fits in CHANNELS:
            if medium_fits.search(plain_medium) and source_fits.search(plain_source):
                return slug
    return of_click


def dedupe_key(workspace: int, id_: str) -> bytes:
    """16 bytes that stand for a sender's id for ever.

    A UUIDv7 keeps its 48-bit time in front, so that the ids of one hour lie side by side on disk.
    """
    plain = f"{workspace}\x1f{id_}".encode()
    if len(id_) == 36 and id_[14] == "7" and id_[8] == "-" == id_[13]:
        try:
            time = bytes.fromhex(id_[:8] + id_[9:13])
        except ValueError:
            pass
        else:
            return time + hashlib.blake2b(plain, digest_size=10).digest()
    return hashlib.blake2b(plain, digest_size=16).digest()


_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def content_digest(event: Event) -> int:
    """63 bits of what the sender sent: equal for a retry, different for another event under the same id.

    What doors add (times of receipt, corrected clocks, IP, cookies) is left out: it differs every time.
    """
    e = event
    said: tuple[object, ...] = (
        e.kind, e.goal, e.stated_at, e.campaign, e.ad_group, e.ad, e.partner, e.channel, e.creative,
        e.placement, e.keyword, e.click_id, e.click_ids, e.visitor_id, e.user_id, e.email, e.phone,
        e.order_id, e.store, e.conversion_id, e.lead_id, e.value, e.currency, e.tax, e.shipping,
        e.cost_of_goods, e.payout, e.status, e.utm, e.subs, e.segment, e.new_customer, e.test, e.properties,
    )  # fmt: skip
    if e.engaged is not None or e.visit_id:  # all other events are digested as they were before these fields
        said += (e.engaged, e.visit_id)
    return int.from_bytes(hashlib.blake2b(_encode(said), digest_size=8).digest(), "big") >> 1


def landing_key(workspace: int, event: Event, visitor: int, campaign: str) -> int:
    """What makes landings one click: a foreign id of it, else visitor, campaign and UTC half-hour.

    Without either (consent denied) nothing tells two landings apart or together: each is its own.
    """
    for kind in sorted(event.click_ids.keys() - OF_MANY_CLICKS):
        return number(workspace, "landing", kind, event.click_ids[kind])
    if not visitor:
        return number(workspace, "landing", event.no)
    return number(workspace, "landing", visitor, campaign.casefold(), event.occurred_at // HALF_HOUR)


def is_billable(door: str, flags: int, hints: Iterable[str]) -> bool:
    """Whether a click is paid for: our redirect's and a server's are; derived, flagged or paused ones not."""
    return door in ("redirect", "api", "import") and not flags and {"paused", "over_cap"}.isdisjoint(hints)


def flags_of(event: Event) -> int:
    """The flags an event has from itself alone."""
    found = 0
    if event.user_agent is not None and is_bot(event.user_agent):
        found |= FLAGS["bot"]
    if event.hints and not {"head", "prefetch", "preview"}.isdisjoint(event.hints):
        found |= FLAGS["prefetch"]
    if event.test:
        found |= FLAGS["test"]
    if event.kind == "impression" and event.viewable is False:
        found |= FLAGS["unseen"]
    return found
