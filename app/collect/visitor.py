"""Who is at the door: the `ct_id` cookie, the address, and what the request says of itself. Pure.

The cookie is set once, with its birth time inside, and never extended. Browsers drop it in third-party
contexts, so there it is neither believed nor set (the tag's own readable id is for that).
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from app.collect.consent import truncated
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
    cookie = headers.get(b"cookie")
    if cookie is not None and len(cookie) > LONGEST_COOKIE:
        cookie = None
    if denied:
        present = cookie is not None and b"ct_id=" in cookie
        return Guest("", _header("", 0, local=local)) if present else NOBODY
    if not first_party(headers):
        return NOBODY
    seconds = now // SECOND
    if cookie is not None:
        found = _COOKIE.search(cookie)
        if found is not None:
            born = int(found[1][:8], 16)
            if seconds - MAX_AGE < born <= seconds + 60:
                return Guest(found[1].decode(), None)
    value = f"{seconds:08x}.{fresh.hex()}"
    return Guest(value, _header(value, MAX_AGE, local=local))


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
    """The truncated address of the visitor; X-Forwarded-For is believed from trusted proxies only."""
    if trusted and believed(peer, trusted):
        for hop in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")[-20:]):
            hop = hop.strip()
            if hop and not believed(hop, trusted):
                return truncated(hop)
    return truncated(peer)


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
