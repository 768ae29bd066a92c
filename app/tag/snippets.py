"""The lines that a website pastes, following the configured names, for the core or the full script. Pure.

`base` is where browsers reach Clicktrail, without a slash at its end: `https://t.example`, or a path of the
site's own, `https://shop.example/t`.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Protocol
from urllib.parse import quote, urlsplit

from app.errors import InvalidInput
from app.tag.script import Script, Tag, moving, pinned

#: A base that can stand in an attribute and in a policy as it is.
_BASE = re.compile(
    r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*", re.ASCII
)


class Wishes(Protocol):
    """What a workspace's settings say of what may be kept."""

    @property
    def visitors(self) -> str: ...
    @property
    def consent_default(self) -> str: ...
    @property
    def dnt(self) -> str: ...


#: Queues what is called before the script is there, with the page on which it was called.
STUB = (
    "<script>window.ct=window.ct||function(){(ct.q=ct.q||[])"
    ".push([arguments,location.href,document.referrer,document.title,Date.now()])}</script>"
)


#: What each is for, as the command line says it.
USES = {
    "plain": "In the page's head. It follows upgrades by itself:",
    "pinned": "Instead of that, held to one content. After an upgrade it goes on, as it was:",
    "stub": "Before either, if the page calls ct(...) while it loads:",
    "late": "Instead of those three, if not even a server that hangs may delay the page's load event:",
    "noscript": "In the body, for visitors without JavaScript:",
    "csp": "If the site sends a Content-Security-Policy, add to its directives:",
}


def checked(base: str) -> str:
    """The base without a slash at its end. Errors: InvalidInput unless a page could name it."""
    plain = base.rstrip("/")
    if len(plain) > 300 or _BASE.fullmatch(plain) is None:
        told = (
            "base: give the address as browsers see it, such as https://t.example or https://shop.example/t"
        )
        raise InvalidInput("base_invalid", told, field="base")
    return plain


def wishes(settings: Wishes) -> dict[str, str]:
    """What the tag is told of a workspace's settings, as attributes: what the service would not keep, the
    browser is not to keep either."""
    found = {}
    if settings.visitors == "daily":
        found["data-cookieless"] = ""
    if settings.consent_default == "denied":
        found["data-consent"] = "denied"
    if settings.dnt == "deny":
        found["data-do-not-track"] = ""
    return found


def told(tag: Tag, script: Script, base: str, key: str, attributes: Mapping[str, str]) -> str:
    """All snippets, each below what it is for."""
    made = snippets(tag, script, checked(base), key, attributes)
    return "\n\n".join(f"{use}\n  {made[name]}" for name, use in USES.items())


def snippets(tag: Tag, script: Script, base: str, key: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """Every snippet by its name, as USES has them. `script`: tag.script or tag.full; `attributes`:
    as `wishes` gives them."""
    site = escape(key)
    more = "".join(f' {name}="{value}"' if value else f" {name}" for name, value in attributes.items())
    told_late = "".join(f's.setAttribute("{name}","{value}");' for name, value in attributes.items())
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(base))
    return {
        "plain": f'<script defer src="{base}/{moving(tag.name, script)}" data-site="{site}"{more}></script>',
        "pinned": f'<script defer src="{base}/{pinned(tag.name, script)}" data-site="{site}"{more} '
        f'integrity="{script.integrity}" crossorigin="anonymous"></script>',
        "stub": STUB,
        "late": f"{STUB.removesuffix('</script>')};"
        f'addEventListener("load",function(){{var s=document.createElement("script");'
        f's.setAttribute("data-site","{site}");{told_late}s.src="{base}/{moving(tag.name, script)}";'
        "document.head.appendChild(s)})</script>",
        "noscript": f'<noscript><img src="{base}/p.gif?k={quote(key, safe="")}&amp;e=pageview" '
        'width="1" height="1" alt=""></noscript>',
        "csp": f"script-src {origin}; connect-src {origin}; img-src {origin}",
    }
