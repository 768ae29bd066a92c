"""Looks at a page, and says what is found: pure functions over the page, its answer and what we know.

The order of a report is that of `page_findings`, `snippet_findings`, `script_findings`, `way_findings`.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import parse_qs, urljoin, urlsplit

from app.check import page as pages
from app.check import policy
from app.check.address import Allowed, target
from app.check.fetch import MOST_BYTES, Answer
from app.check.findings import Finding, finding
from app.check.page import Page
from app.check.policy import Wanted
from app.model import Rejected, Scope
from app.tag.script import COLLECT, Script, Tag, is_ours
from app.workspaces import PREFIXES

MOST = 20  # snippets of a page that are looked at
CLOSED = (401, 403, 407, 429, 503)
HTML = ("text/html", "application/xhtml+xml", "")

#: What loads scripts that nobody can see from outside: what its tag holds, and how people call it.
LOADERS = (
    (re.compile(r"googletagmanager\.com|\bGTM-[A-Z0-9]{4,}"), "Google Tag Manager"),
    (re.compile(r"assets\.adobedtm\.com|launch-[0-9a-f]{8,}"), "Adobe's tag manager"),
    (re.compile(r"\b_mtm\b|/container_\w{1,40}\.js"), "Matomo's tag manager"),
    (re.compile(r"tags\.tiqcdn\.com|\butag\b"), "Tealium"),
    (re.compile(r"cdn\.segment\.com|analytics\.load\("), "Segment"),
    (re.compile(r"createElement\(\s*[\"']script"), "a script in the page"),
    (re.compile(r"type=module"), "a module of the page"),
)  # fmt: skip

#: How the `late` snippet (app/tag/snippets.py) says what the script tag is to be.
_SET = re.compile(r'\.setAttribute\("(data-[a-z-]{1,40})","([^"]{0,200})"\)')
_SOURCE = re.compile(r'\.src="([^"]{1,400})"')

#: Attributes that the core does not heed (docs/tag.md).
OF_THE_FULL_SCRIPT = {"data-domains", "data-before-send", "data-link-domains", "data-affiliate"}

#: Types of a script element that browsers run.
RUN = ("", "module", "text/javascript", "application/javascript", "text/ecmascript", "application/ecmascript")


@dataclass(frozen=True, slots=True)
class Known:
    """What we know ourselves. `owners` has the page's keys that are active: (workspace, scope)."""

    tag: Tag
    owners: Mapping[str, tuple[int, Scope]]
    origins: Sequence[str] = ()
    own_origin: str = ""  # the public URL's: what comes from there is never refused
    consent_default: str = "granted"
    visitors: str = "cookies"


@dataclass(frozen=True, slots=True)
class Snippet:
    """The script tag as it stands in the page, or as a script there makes it; `url` is absolute."""

    url: str
    key: str
    sends_to: str = ""  # a base of its own to send to, absolute; "" as usual
    integrity: str = ""
    crossorigin: str | None = None
    nonce: str = ""
    deferred: bool = True
    type: str = ""
    told: Mapping[str, str] = field(default_factory=dict)  # its data- attributes, "" without a value

    @property
    def collect_base(self) -> str:
        return (self.sends_to or self.url.partition("?")[0].rpartition("/")[0]).rstrip("/")


def snippets(page: Page, url: str, tag: Tag) -> list[Snippet]:
    """Our script tags, in the order in which they stand in the page."""
    base = urljoin_or(url, page.base)
    found: list[Snippet] = []
    for one in page.named("script"):
        src = one.get("src")
        if not src and "noscript" not in one.inside and (late := _late(one.text, base)):
            found.append(late)
        if not src or "noscript" in one.inside:
            continue
        absolute = urljoin_or(base, src)
        file = absolute.partition("?")[0].rpartition("/")[2]
        if not (one.get("data-site").startswith("ct_") or is_ours(file, tag.name)):
            continue
        if not one.get("data-site") and file.startswith("c."):
            continue  # c.js is a name that others use too
        if len(found) == MOST:
            break
        found.append(
            Snippet(
                url=absolute,
                key=one.get("data-site"),
                sends_to=urljoin_or(base, one.get("data-host-url")) if one.get("data-host-url") else "",
                integrity=one.get("integrity"),
                crossorigin=one.attributes.get("crossorigin"),
                nonce=one.get("nonce"),
                deferred=not {"defer", "async"}.isdisjoint(one.attributes) or one.get("type") == "module",
                type=one.get("type").lower(),
                told={name: one.get(name) for name in one.attributes if name.startswith("data-")},
            )
        )
    return found


def _late(text: str, base: str) -> Snippet | None:
    """The script tag that our own `late` snippet will put into the page."""
    if "ct_pub_" not in text or (source := _SOURCE.search(text)) is None:
        return None
    told = dict(_SET.findall(text))
    return Snippet(urljoin_or(base, source[1]), told.get("data-site", ""), told=told)


def urljoin_or(base: str, url: str) -> str:
    """The absolute URL; the relative one as it is where the two make none."""
    try:
        return urljoin(base, url)
    except ValueError:
        return url


def page_findings(answer: Answer) -> Iterator[Finding]:
    """The page as it was answered. What follows it is looked for only when none of these is bad."""
    if len(answer.urls) > 1:
        yield finding("page_redirected", url=answer.url)
        schemes = [url.partition(":")[0] for url in answer.urls]
        if ("https", "http") in pairwise(schemes):
            yield finding("page_downgraded")
    kind = answer.header("content-type").partition(";")[0].strip().lower()
    if answer.status in CLOSED:
        yield finding("page_closed", status=answer.status)
    elif not 200 <= answer.status < 300:
        yield finding("page_status", status=answer.status)
    elif kind not in HTML:
        yield finding("page_not_html", kind=kind)
    else:
        yield finding("page_read", url=answer.url, bytes=f"{len(answer.body):,}")
    if answer.cut:
        yield finding("page_cut", bytes=f"{MOST_BYTES:,}")


def snippet_findings(page: Page, page_url: str, found: Sequence[Snippet], known: Known) -> Iterator[Finding]:
    """The snippet and its key."""
    if any(tag.get("type").lower() == "password" for tag in page.named("input")):
        yield finding("page_login")
    for key in page.keys:
        if (scope := secret_scope(key, known)) is not None:
            yield finding("key_exposed", key=key[:12], scope=scope)
    pixels = [key for tag in page.named("img") if (key := pixel_key(tag.get("src")))][:MOST]
    if not found:
        yield from _missing(page, pixels)
    for one in found[:1]:
        yield finding("snippet_found", url=one.url)
        if not one.deferred:
            yield finding("snippet_blocking")
        if one.type not in RUN:
            yield finding("snippet_held", kind=one.type)
        yield from _told(one, page_url, known)
    if len(found) > 1:
        yield finding("snippet_twice", count=len(found))
    if pixels:
        yield finding("pixel_found")
    for key in dict.fromkeys([*(one.key for one in found), *pixels]):
        if not key:
            yield finding("key_missing")
        elif is_good(key, known):
            yield finding("key_good", key=key[:12])
        elif secret_scope(key, known) is None:
            yield finding("key_unknown", key=key[:12])


def _told(one: Snippet, page_url: str, known: Known) -> Iterator[Finding]:
    """What the tag's own attributes keep it from."""
    host = urlsplit(page_url).hostname or ""
    domains = one.told.get("data-domains", "")
    if ".full." not in one.url:
        for name in sorted(OF_THE_FULL_SCRIPT & one.told.keys()):
            yield finding("snippet_core", what=name)
    elif domains and host not in re.split(r"[\s,]+", domains):
        yield finding("snippet_elsewhere", host=host)
    if one.told.get("data-consent") == "denied":
        yield finding("snippet_waits")
    if known.visitors == "daily" and "data-cookieless" not in one.told:
        yield finding("snippet_keeps")


def _missing(page: Page, pixels: Sequence[str]) -> Iterator[Finding]:
    if "ct_pub_" in page.commented:
        yield finding("snippet_commented")
        return
    loader = _loader(page)
    if loader:
        yield finding("snippet_unseen", what=loader)
    elif not pixels:
        yield finding("snippet_missing")


def _loader(page: Page) -> str:
    texts = [f"{tag.get('src')} {tag.text} type={tag.get('type')}" for tag in page.named("script")]
    return next((name for pattern, name in LOADERS if any(map(pattern.search, texts))), "")


def pixel_key(src: str) -> str:
    """The key of our image, "" if it is not ours."""
    path, _, query = src.partition("?")
    if not path.endswith("/p.gif"):
        return ""
    try:
        return next(iter(parse_qs(query, max_num_fields=50).get("k", [])), "")
    except ValueError:
        return ""


def secret_scope(key: str, known: Known) -> str | None:
    """The scope of a key that must not stand in a page; by its prefix, so that guesses learn nothing."""
    scope = next((scope for prefix, scope in PREFIXES.items() if key.startswith(prefix)), "public")
    scope = known.owners[key][1] if key in known.owners else scope
    return None if scope == "public" else scope


def is_good(key: str, known: Known) -> bool:
    return key in known.owners and known.owners[key][1] == "public"


def script_findings(one: Snippet, page_url: str, answer: Answer | Rejected, tag: Tag) -> Iterator[Finding]:
    """The script that the snippet names, as it is served."""
    if page_url.startswith("https:") and one.url.lower().startswith("http:"):
        yield finding("script_mixed")
    if isinstance(answer, Rejected):
        yield finding("script_unreachable", url=one.url, why=answer.message)
        return
    if answer.status != 200:
        yield finding("script_status", url=one.url, status=answer.status)
        return
    served = script_of(answer, tag)
    if served is None:
        kind = answer.header("content-type").partition(";")[0] or "nothing"
        what = "some other JavaScript" if "javascript" in kind else f"the answer is {kind}"
        yield finding("script_foreign", url=one.url, what=what)
    else:
        current = "of this version" if served in tag.present else "of an earlier version, kept"
        yield finding("script_ours", version=f"{current} ({served.digest})")
    yield from _integrity(one, page_url, answer, moving=".".join(one.url.split(".")[-2:-1]))


def script_of(answer: Answer, tag: Tag) -> Script | None:
    """Which of our versions an answer is, if it is one."""
    every = (*tag.present, *tag.earlier)
    return next((known for known in every if known.body == answer.body), None)


def _integrity(one: Snippet, page_url: str, answer: Answer, *, moving: str) -> Iterator[Finding]:
    elsewhere = _origin(one.url) != _origin(page_url)
    if one.crossorigin is not None and elsewhere and not _shared(one, page_url, answer):
        yield finding("cors_missing")
    if not one.integrity:
        return
    if one.crossorigin is None and elsewhere:
        yield finding("crossorigin_missing")
    if holds(one.integrity, answer.body):
        yield finding("integrity_good")
    else:
        yield finding("integrity_wrong")
    if not re.fullmatch(r"[0-9a-f]{16}", moving):
        yield finding("integrity_moving")


def _shared(one: Snippet, page_url: str, answer: Answer) -> bool:
    said = answer.header("access-control-allow-origin")
    if (one.crossorigin or "").lower() == "use-credentials":
        return said == _origin(page_url) and answer.header("access-control-allow-credentials") == "true"
    return said in ("*", _origin(page_url))


def holds(integrity: str, body: bytes) -> bool:
    """Whether a browser would take this body: one of the strongest hashes named must be its own."""
    named: dict[str, list[str]] = {}
    for word in integrity.split():
        kind, _, value = word.partition("-")
        if kind in ("sha256", "sha384", "sha512"):
            named.setdefault(kind, []).append(value.partition("?")[0])
    if not named:
        return True  # nothing that browsers know: they do not ask
    strongest = max(named)
    own = b64encode(hashlib.new(strongest, body).digest()).decode()
    return own in [value.replace("-", "+").replace("_", "/") for value in named[strongest]]


def way_findings(wanted: Sequence[Wanted], page: Page, answer: Answer, known: Known) -> Iterator[Finding]:
    """What stands between the page and the events: policies, the list of origins, the consent default."""
    yield from _policy_findings(wanted, page, answer)
    origin = _origin(answer.url)
    plain = {one.rstrip("/").lower() for one in known.origins}
    own = {known.own_origin, *(_origin(one.url) for one in wanted)}
    if plain and origin not in plain | own:
        yield finding("origin_refused", origin=origin)
    else:
        yield finding("origin_listed", origin=origin)
    if known.consent_default == "denied":
        yield finding("consent_denied")


def wanted_of(page: Page, answer: Answer, scripts: Sequence[Snippet], collect: str) -> list[Wanted]:
    """What the snippets make a browser load, as far as they name addresses."""
    found = [Wanted("script-src", one.url, answer.url, one.nonce, one.integrity) for one in scripts[:1]]
    found += [Wanted("connect-src", collect, answer.url)] if scripts else []
    images = (urljoin_or(urljoin_or(answer.url, page.base), tag.get("src")) for tag in page.named("img"))
    found += [Wanted("img-src", url, answer.url) for url in images if pixel_key(url)][:1]
    return [one for one in found if _origin(one.url)]


def _policy_findings(wanted: Sequence[Wanted], page: Page, answer: Answer) -> Iterator[Finding]:
    said = [tag.get("content") for tag in page.named("meta") if _is_policy(tag)]
    found = policy.policies(
        [value for name, value in answer.headers if name == "content-security-policy"],
        said,
        [value for name, value in answer.headers if name == "content-security-policy-report-only"],
    )
    blocked = False
    for each in found:
        for want in wanted:
            if policy.allows(each, want):
                continue
            blocked = blocked or not each.reports_only
            line = policy.addition(each, want)
            code = "policy_nonce" if "nonce=" in line else "policy_blocks"
            code = "policy_reports" if each.reports_only else code
            yield finding(code, url=want.url.partition("?")[0], what=each.governing(want.what), line=line)
    if not blocked:
        yield finding("policy_allows" if any(not each.reports_only for each in found) else "policy_none")


def _is_policy(tag: pages.Tag) -> bool:
    return tag.get("http-equiv").lower() == "content-security-policy"


def collect_url(one: Snippet, served: bytes, tag: Tag) -> str:
    """Where the script sends: beside itself, at the path that is in it."""
    return one.collect_base + (tag.collect if f'"{tag.collect}"'.encode() in served else COLLECT)


def _origin(url: str) -> str:
    """The origin as browsers say it: without a usual port, host in ASCII and lower case."""
    place = target(url, Allowed(everything=True))
    return "" if isinstance(place, Rejected) else place.origin
