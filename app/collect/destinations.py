"""Where a redirect may lead, and how its URL is completed. Pure; the guard against open redirects.

A destination comes from the request only when its host is on the campaign's list, or the workspace signed
it; whatever is put into a URL is percent-encoded, so no value can become another host, path or header.
"""

import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from app.workspaces import Ad, Campaign, ascii_host

#: Parameters of ours, which a landing page has no use for.
OURS = re.compile(r"k|url|sig|p|sub[0-9]{1,2}|consent|gdpr|gdpr_consent|gpp|gpp_sid|us_privacy|ct_click|cb")
_MACRO = re.compile(r"(?:\{|%7B)([a-z0-9_]{1,20})(?:\}|%7D)", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\]")
_SAFE = "/:?#[]@!$&'()*+,;=%-._~"


def chosen(
    campaign: Campaign, ad: Ad | None, secret: bytes, said: Mapping[str, str], *, paused: bool
) -> str | None:
    """The URL before its macros: the fallback while paused, else an allowed one that was asked for, else
    the ad's, else the campaign's. None: nothing is registered."""
    landing = (ad.landing_url if ad is not None else "") or campaign.landing_url
    if paused:
        landing = campaign.fallback_url or landing
    elif said.get("url") and allowed(said["url"], campaign.allowed_hosts, said.get("sig", ""), secret):
        landing = said["url"]
    return landing if _web(landing) is not None else None


def allowed(url: str, hosts: list[str], signature: str, secret: bytes) -> bool:
    """Whether a URL of the request may be followed: its host is listed, or its signature is ours."""
    host = _web(url)
    if host is None:
        return False
    if any(_matches(host, listed) for listed in hosts):
        return True
    return hmac.compare_digest(signature.encode("utf-8", "replace"), signed(url, secret).encode())


def signed(url: str, secret: bytes) -> str:
    """The signature (`sig=`) that lets a link lead to `url`: hex HMAC-SHA256."""
    return hmac.digest(secret, b"url\0" + url.encode("utf-8", "replace"), "sha256").hex()


def _matches(host: str, listed: str) -> bool:
    listed = ascii_host(listed)
    return host.endswith(listed[1:]) if listed.startswith("*.") else host == listed


def _web(url: str) -> str | None:
    """The host of a plain http(s) URL; None for anything a browser could read otherwise than we do."""
    if not url or len(url) > 8192 or "\\" in url or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or port == 0:
        return None
    shown = f"[{host}]" if ":" in host else host
    return host if _HOST.fullmatch(shown.lower()) else None


def completed(url: str, expansions: Mapping[str, str], passed: Mapping[str, str]) -> str:
    """The URL with its macros expanded, `ct_click` and the passed parameters added, in plain ASCII.

    Macros stand in path, query and fragment; the host is never touched. Unknown macros stay as they are.
    """
    parts = urlsplit(url)

    def expand(found: re.Match[str]) -> str:
        value = expansions.get(found[1].lower())
        return found[0] if value is None else quote(value.encode("utf-8", "replace"), safe="")

    def filled(text: str) -> str:
        # Once over the text: a value that looks like a macro is a value.
        return quote(_MACRO.sub(expand, text), safe=_SAFE)

    query = filled(parts.query)
    present = {pair.partition("=")[0] for pair in query.split("&")}
    added = {
        name.encode("utf-8", "replace"): value.encode("utf-8", "replace")
        for name, value in passed.items()
        if name and name not in present and not OURS.fullmatch(name)
    }
    if "ct_click" not in present:
        added[b"ct_click"] = expansions["click_id"].encode()
    query = "&".join(part for part in (query, urlencode(added)) if part)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    return urlunsplit((parts.scheme, netloc, filled(parts.path) or "/", query, filled(parts.fragment)))
