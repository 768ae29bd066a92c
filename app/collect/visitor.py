"""Who is at the door: the `ct_id` cookie, the address, and what the request says of itself. Pure.

The cookie is set once, with its birth time inside, and never extended. Browsers drop it in third-party
contexts, so there it is neither believed nor set (the tag's own readable id is for that). Without cookies
(`visitors: daily`) a visitor is who comes from one address with one browser to one site on one day.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from app.collect.consent import parsed, truncated
from app.consent import DAILY, DNT, GPC
from app.model import SECOND

Headers = Mapping[bytes, bytes]
Networks = Sequence[IPv4Network | IPv6Network]

MAX_AGE = 395 * 24 * 3600  # 13 months
LONGEST_COOKIE = 16 * 1024  # bytes of the whole header; a longer one is not looked into
_COOKIE = re.compile(rb"(?:^|; ?)ct_id=([0-9a-f]{8}\.[0-9a-f]{32})(?:;|$)")
_LOCAL = (b"localhost", b"127.0.0.1", b"[::1]")
_FIRST_PARTY = (None, b"same-origin", b"same-site", b"none")

#: Programs that fetch a link to show what is behind it.
_PREVIEWS = re.compile(
    rb"facebookexternalhit|facebookcatalog|twitterbot|slackbot|slack-imgproxy|whatsapp|telegrambot|"
    rb"linkedinbot|discordbot|skypeuripreview|redditbot|pinterestbot|embedly|viber|vkshare|mastodon|"
    rb"microsoftpreview|iframely|google-pagerenderer|bitlybot|line-poker",
    re.IGNORECASE,
)


#: Headers by which browsers say why they fetch, the standard one first.
_PURPOSES: Mapping[bytes, None] = dict.fromkeys((b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"))


class Guest(NamedTuple):
    """What the cookie says: `id` is "" where none may be kept; `header` is a Set-Cookie, if one is due."""

    id: str
    header: bytes | None


NOBODY = Guest("", None)


def guest(headers: Headers, *, denied: bool, now: int, fresh: bytes, local: bool) -> Guest:
    """The visitor by cookie. `fresh`: 16 random bytes for a new one; `local`: plain http on localhost."""
    if denied:
        return ended(headers, local=local)
    found = known(headers, now=now)
    if found.id or not first_party(headers):
        return found
    value = f"{now // SECOND:08x}.{fresh.hex()}"
    return Guest(value, _header(value, MAX_AGE, local=local))


def known(headers: Headers, *, now: int) -> Guest:
    """The visitor whose cookie is there and may be believed; else nobody. None is set."""
    found = _COOKIE.search(_cookies(headers)) if first_party(headers) else None
    if found is None or not now // SECOND - MAX_AGE < int(found[1][:8], 16) <= now // SECOND + 60:
        return NOBODY
    return Guest(found[1].decode(), None)


def ended(headers: Headers, *, local: bool) -> Guest:
    """Nobody; a cookie that is there is expired."""
    return Guest("", _header("", 0, local=local)) if b"ct_id=" in _cookies(headers) else NOBODY


def _cookies(headers: Headers) -> bytes:
    found = headers.get(b"cookie", b"")
    return found if len(found) <= LONGEST_COOKIE else b""


def daily(headers: Headers, *, workspace: int, address: str, salt: bytes, local: bool) -> Guest:
    """The visitor of a day, who keeps nothing: a cookie of before is expired. `address` is whole.

    The site is the host that was asked, so that a link's click and its landing are one visitor's; in pages of
    other sites that site, or visitors could be followed from one to the next.
    """
    nobody = ended(headers, local=local)
    host = headers.get(b"host", b"")
    if not first_party(headers):
        host = _host(headers.get(b"origin") or headers.get(b"referer", b""))
    found = parsed(address)
    if not (salt and host and found):
        return nobody  # nothing tells this visitor from all others
    site = host.lower().removeprefix(b"www.")
    parts = (str(workspace).encode(), site, found.packed, headers.get(b"user-agent", b""))
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return nobody._replace(id=DAILY + hashlib.blake2b(text, key=salt, digest_size=16).hexdigest())


def _host(url: bytes) -> bytes:
    return url.partition(b"://")[2].partition(b"/")[0].rpartition(b"@")[2]


def first_party(headers: Headers) -> bool:
    """Same site, or a page being opened. Old browsers say nothing, and keep cookies as they like."""
    return headers.get(b"sec-fetch-site") in _FIRST_PARTY or headers.get(b"sec-fetch-mode") == b"navigate"


def is_local(headers: Headers, scheme: str) -> bool:
    """Plain http on this very machine: the one place where a cookie goes without `Secure`."""
    return scheme == "http" and _is_local(headers.get(b"host", b"")[:300])


@lru_cache(maxsize=1_000)
def _is_local(host: bytes) -> bool:
    return host in _LOCAL or host.rpartition(b":")[0] in _LOCAL


def _header(value: str, age: int, *, local: bool) -> bytes:
    secure = "" if local else "; Secure"
    return f"ct_id={value}; Max-Age={age}; Path=/; HttpOnly; SameSite=Lax{secure}".encode()


def signals(headers: Headers) -> tuple[str, ...]:
    """What the browser says that its owner wants: Global Privacy Control, Do Not Track."""
    gpc, dnt = headers.get(b"sec-gpc") == b"1", headers.get(b"dnt") == b"1"
    return (*((GPC,) if gpc else ()), *((DNT,) if dnt else ())) if gpc or dnt else ()


def hints(headers: Headers, method: str) -> tuple[str, ...]:
    """Signs that nobody looked at what was fetched: head, prefetch, preview."""
    found = []
    if method == "HEAD":
        found.append("head")
    if not _PURPOSES.keys().isdisjoint(headers):
        purpose = next(headers[name] for name in _PURPOSES if name in headers)
        if purpose.lower().startswith((b"prefetch", b"preview", b"prerender")):
            found.append("prefetch")
    if _agent(headers.get(b"user-agent", b"")[:400])[1]:
        found.append("preview")
    return tuple(found)


def user_agent(headers: Headers) -> str:
    """The browser's name for itself, at most 400 characters, without control characters."""
    return _agent(headers.get(b"user-agent", b"")[:400])[0]


@lru_cache(maxsize=10_000)
def _agent(raw: bytes) -> tuple[str, bool]:
    """(the name, whether it is a link preview's): few names make most requests, and the search is slow."""
    text = raw.decode("latin-1")
    plain = text if text.isprintable() else "".join(c for c in text if c.isprintable())
    return plain, _PREVIEWS.search(raw) is not None


def address(peer: str, headers: Headers, trusted: Networks) -> str:
    """The truncated address of the visitor: the only one that may be written."""
    return truncated(whole_address(peer, headers, trusted))


def whole_address(peer: str, headers: Headers, trusted: Networks) -> str:
    """The visitor's address, for this moment only; X-Forwarded-For is believed from trusted proxies alone."""
    if trusted and believed(peer, trusted):
        for hop in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")[-20:]):
            hop = hop.strip()
            if hop and not believed(hop, trusted):
                return hop
    return peer


def believed(peer: str, trusted: Networks) -> bool:
    return _believed(peer, tuple(trusted))


@lru_cache(maxsize=10_000)
def _believed(peer: str, trusted: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        found = ip_address(peer)
    except ValueError:
        return False
    return any(found in network for network in trusted)


def device(headers: Headers) -> str:
    """A rough word for a macro in a URL; the pipeline judges devices properly."""
    agent = headers.get(b"user-agent", b"")[:400].lower()
    if b"ipad" in agent or b"tablet" in agent:
        return "tablet"
    return "mobile" if b"mobi" in agent else "desktop"
