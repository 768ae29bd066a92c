"""Content-Security-Policy: what it lets the tag do, and what to add when it does not. Pure.

As CSP Level 3 matches sources; where a page has several policies, each must allow. A policy that only
reports blocks nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

MOST = 20  # policies of a page that are looked at

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

#: What falls back to what, first to last, when a directive is not there.
FALLBACKS = {
    "script-src": ("script-src-elem", "script-src", "default-src"),
    "connect-src": ("connect-src", "default-src"),
    "img-src": ("img-src", "default-src"),
}

_HASH = re.compile(r"'sha(256|384|512)-[A-Za-z0-9+/_-]+={0,2}'")
_HOST = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<host>\*|(?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>\*|[0-9]{1,5}))?(?P<path>/[^?#]*)?"
)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy: its directives by name, the first of each; sources as they were written."""

    directives: dict[str, tuple[str, ...]]
    reports_only: bool = False

    def sources(self, what: str) -> tuple[str, ...] | None:
        """The sources that govern `what`; None: nothing does, so all is allowed."""
        for name in FALLBACKS[what]:
            if name in self.directives:
                return self.directives[name]
        return None

    def governing(self, what: str) -> str:
        return next((name for name in FALLBACKS[what] if name in self.directives), "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the page would load: `what` is script-src, connect-src or img-src."""

    what: str
    url: str
    page: str  # URL of the page
    nonce: str = ""  # of the script tag
    integrity: str = ""


def policies(headers: Sequence[str], metas: Sequence[str], reporting: Sequence[str]) -> list[Policy]:
    """All policies of a page: of its headers (commas divide), of its meta tags, of report-only headers."""
    found = [Policy(_directives(text)) for header in headers for text in header.split(",")]
    found += [Policy(_directives(text)) for text in metas]
    found += [Policy(_directives(text), True) for header in reporting for text in header.split(",")]
    return [policy for policy in found if policy.directives][:MOST]


def _directives(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split(";"):
        words = part.split()
        if words:
            found.setdefault(words[0].lower(), tuple(words[1:]))
    return found


def allows(policy: Policy, wanted: Wanted) -> bool:
    """Whether a policy lets the page load it."""
    sources = policy.sources(wanted.what)
    if sources is None:
        return True
    lowered = [source.lower() for source in sources]
    if wanted.what == "script-src":
        nonced = bool(wanted.nonce) and f"'nonce-{wanted.nonce}'" in sources
        # An integrity counts when every hash it names is allowed.
        named = [f"'{word}'" for word in wanted.integrity.split()]
        hashed = bool(named) and all(_HASH.fullmatch(one) and one in sources for one in named)
        if nonced or hashed:
            return True
        if "'strict-dynamic'" in lowered:
            return False  # hosts and 'self' are then without effect
    return any(_matches(source, wanted) for source in lowered)


def _matches(source: str, wanted: Wanted) -> bool:
    """Whether one source (lower case) covers the URL."""
    url, page = urlsplit(wanted.url), urlsplit(wanted.page)
    if source == "'self'":
        return url.hostname == page.hostname and _is_same_way(url, page)
    if source.endswith(":") and "/" not in source:
        return source == f"{url.scheme}:" or (source, url.scheme) == ("http:", "https")
    found = _HOST.fullmatch(source)
    if found is None:
        return False  # 'none', 'unsafe-inline', a nonce, a hash
    if found["host"] == "*" and not found["scheme"] and not found["port"]:
        return url.scheme in PORTS
    scheme = found["scheme"] or page.scheme
    if url.scheme != scheme and (scheme, url.scheme) != ("http", "https"):
        return False
    return (
        _is_host(found["host"], url.hostname or "")
        and _is_port(found["port"] or "", url.scheme, url.port or PORTS.get(url.scheme, 0))
        and _is_path(found["path"] or "", url.path or "/")
    )


def _is_same_way(url: SplitResult, page: SplitResult) -> bool:
    """The same scheme and port, or the secure one of the two at its usual port."""
    (a, m), (b, n) = ((one.scheme, one.port or PORTS.get(one.scheme, 0)) for one in (url, page))
    return (a, m) == (b, n) or ((b, n, a, m) == ("http", 80, "https", 443))


def _is_host(pattern: str, host: str) -> bool:
    if pattern == "*":
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern.strip("[]")


def _is_port(pattern: str, scheme: str, port: int) -> bool:
    if pattern == "*":
        return True
    usual = PORTS.get(scheme, 0)
    return port == (int(pattern) if pattern else usual) or (pattern == "80" and port == 443 == usual)


def _is_path(pattern: str, path: str) -> bool:
    if pattern in ("", "/"):
        return True
    return path.lower().startswith(pattern) if pattern.endswith("/") else path.lower() == pattern


def addition(policy: Policy, wanted: Wanted) -> str:
    """The line to add: a source to the directive that governs, with what it holds already."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(wanted.url))
    sources = policy.sources(wanted.what) or ()
    kept = [one for one in sources if one.lower() != "'none'"]
    if wanted.what == "script-src" and "'strict-dynamic'" in [one.lower() for one in sources]:
        return "the page's nonce to the script tag, <script nonce=...>: 'strict-dynamic' ignores hosts"
    held = policy.governing(wanted.what)
    name = wanted.what if held == "default-src" else held
    return f"{name} {' '.join((*kept, origin))}"
