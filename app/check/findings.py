"""What can be found about a page, and in which words: the table CHECKS. Pure.

A finding is a value. Its sentence says what is so, its advice what to change; docs/checking.md explains each
by its code. Nothing here looks at anything: app/check/look.py does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["ok", "warn", "bad"]


class Check(NamedTuple):
    """A row of CHECKS; names in braces are filled in when it is found."""

    level: Level
    subject: str
    says: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    code: str
    level: Level
    subject: str
    message: str
    advice: str = ""


CHECKS: dict[str, Check] = {
    # The page itself
    "page_read": Check("ok", "page", "{url} was read: {bytes} bytes."),
    "page_redirected": Check("ok", "page", "The address redirects to {url}; that page was read."),
    "page_downgraded": Check(
        "warn", "page", "A redirect leads from https to http.", "Let it lead to https: browsers warn of it."
    ),
    "page_unreachable": Check(
        "bad", "page", "{url} {why}.", "Give an address that everybody's browser can open."
    ),
    "page_status": Check(
        "bad", "page", "The page was answered with status {status}.", "Give the address of a page that is."
    ),
    "page_closed": Check(
        "bad",
        "page",
        "The page was refused to us, with status {status}: it may keep robots out, or ask for a password.",
        "Open it in a browser and watch for its events: clicktrail check --watch, or wait= in the API.",
    ),
    "page_login": Check(
        "warn",
        "page",
        "This asks for a password: it may be a login page instead of the page you mean.",
        "Give a page that everybody sees, or open it yourself and watch: --watch, or wait= in the API.",
    ),
    "page_not_html": Check(
        "bad", "page", "The answer is {kind}, not HTML.", "Give the address of a page."
    ),
    "page_cut": Check(
        "warn", "page", "Only the first {bytes} bytes of the page were read.", "Put the snippet near its top."
    ),
    # The snippet
    "snippet_found": Check("ok", "snippet", "The script tag stands in the page: {url}."),
    "pixel_found": Check("ok", "snippet", "The image for visitors without JavaScript stands in the page."),
    "snippet_missing": Check(
        "bad",
        "snippet",
        "No snippet of ours stands in the page.",
        "Paste the line that `clicktrail snippet KEY` shows into the page's head.",
    ),
    "snippet_commented": Check(
        "bad", "snippet", "The snippet stands in a comment: it does nothing.", "Take it out of <!-- -->."
    ),
    "snippet_unseen": Check(
        "warn",
        "snippet",
        "No snippet stands in the page, but {what} loads scripts, and we cannot see which.",
        "Open the page in a browser and watch for its events: --watch, or wait= in the API.",
    ),
    "snippet_twice": Check(
        "warn", "snippet", "The script tag stands in the page {count} times.", "Keep one: visits count twice."
    ),
    "snippet_blocking": Check(
        "warn", "snippet", "The script tag has neither defer nor async: the page waits for it.", "Add defer."
    ),
    "snippet_held": Check(
        "warn",
        "snippet",
        "The script tag has type={kind}: browsers run it only once something changes that.",
        "If no consent tool is meant to do so, take the type away.",
    ),
    "snippet_core": Check(
        "warn",
        "snippet",
        "{what} is for the full script, and the script tag names the core: it has no effect.",
        "Name the full script (docs/tag.md): c.full.js instead of c.js.",
    ),
    "snippet_elsewhere": Check(
        "bad",
        "snippet",
        "data-domains does not name {host}: the tag sends nothing from this page.",
        "Add {host} to data-domains, or take it away.",
    ),
    "snippet_waits": Check(
        "warn",
        "snippet",
        'The script tag says data-consent="denied": it keeps nothing until the page says otherwise.',
        "Let your consent tool call ct('consent', 'update', ...), or use the full script (docs/tag.md).",
    ),
    "snippet_keeps": Check(
        "warn",
        "snippet",
        "The workspace's visitors are told apart by the day, and the tag keeps its id in their browsers.",
        "Add data-cookieless, as the snippet shows it.",
    ),
    # Its key
    "key_good": Check("ok", "key", "{key}... is an active public key."),
    "key_missing": Check("bad", "key", "The script tag names no key.", 'Add data-site="ct_pub_...".'),
    "key_unknown": Check(
        "bad",
        "key",
        "{key}... is no active public key of this workspace: its events are refused.",
        "Use one that `clicktrail key list` shows as public and active.",
    ),
    "key_exposed": Check(
        "bad",
        "key",
        "A key that is a secret stands in the page for everybody to read: {key}..., of scope {scope}.",
        "Revoke it now (`clicktrail key revoke`, or DELETE /v1/keys/ID), and name a public key instead.",
    ),
    # Its script
    "script_ours": Check("ok", "script", "It is our script, {version}."),
    "script_mixed": Check(
        "bad",
        "script",
        "The page is https and the script http: browsers block it.",
        "Write https:// in the snippet, and serve Clicktrail there.",
    ),
    "script_unreachable": Check(
        "bad", "script", "{url} {why}.", "Browsers must reach it there: look at DNS, proxy and certificate."
    ),
    "script_status": Check(
        "bad",
        "script",
        "{url} was answered with status {status}.",
        "Let the proxy pass this path on (docs/first-party.md), or use the name the snippet shows.",
    ),
    "script_foreign": Check(
        "bad",
        "script",
        "{url} is not our script: {what}.",
        "Let nothing between rewrite it, and use the name that the snippet shows.",
    ),
    "integrity_good": Check("ok", "script", "Its integrity is that of the file that is served."),
    "integrity_wrong": Check(
        "bad",
        "script",
        "Its integrity is not that of the file that is served: browsers block it.",
        "Paste the pinned snippet anew; if it was, something between us and the page rewrites the file.",
    ),
    "integrity_moving": Check(
        "warn",
        "script",
        "The script is held to one content under a name that follows upgrades.",
        "Use the pinned snippet, or the plain one without integrity: the next upgrade would block it.",
    ),
    "crossorigin_missing": Check(
        "bad",
        "script",
        "integrity without crossorigin, for a script of another origin: browsers block it.",
        'Add crossorigin="anonymous".',
    ),
    "cors_missing": Check(
        "bad",
        "script",
        "The script tag has crossorigin, and the answer no Access-Control-Allow-Origin: browsers block it.",
        "Let the proxy pass the script's headers on, and write crossorigin=\"anonymous\".",
    ),
    # What stands in its way
    "policy_none": Check("ok", "policy", "No Content-Security-Policy stands in the way."),
    "policy_allows": Check("ok", "policy", "The Content-Security-Policy lets script and events through."),
    "policy_blocks": Check(
        "bad", "policy", "The Content-Security-Policy blocks {url} ({what}).", "Change it to: {line}"
    ),
    "policy_nonce": Check(
        "bad", "policy", "The Content-Security-Policy blocks {url} ({what}).", "Add {line}."
    ),
    "policy_reports": Check(
        "warn",
        "policy",
        "A policy that only reports, so far, would block {url} ({what}).",
        "Before it is enforced, change it to: {line}",
    ),
    "origin_listed": Check("ok", "origins", "{origin} may send events."),
    "origin_refused": Check(
        "bad",
        "origins",
        "{origin} is not on the workspace's list of origins: its events are refused (origin_not_allowed).",
        "Add it: PATCH /v1/workspace, field origins.",
    ),
    "consent_denied": Check(
        "warn",
        "consent",
        "The workspace's default is `denied`: until a visitor agrees, nothing tells them again.",
        "Tell their choice with ct('consent', 'update', ...), or set consent_default.",
    ),
    # A test event, and a real one
    "trip_stored": Check("ok", "test event", "It went through {url} and was stored; it counts nowhere."),
    "trip_unreachable": Check(
        "bad", "test event", "{url} {why}.", "Let the proxy pass on POST to this path (docs/first-party.md)."
    ),
    "trip_refused": Check(
        "bad",
        "test event",
        "{url} answered {status}: {why}.",
        "Mend what it says; if this is not Clicktrail's answer, the proxy does not pass the path on.",
    ),
    "trip_waiting": Check(
        "bad",
        "test event",
        "It was accepted at {url}, and is not stored after {seconds} s.",
        "Is this Clicktrail behind that address, and its worker running? `clicktrail doctor` tells.",
    ),
    "watch_seen": Check("ok", "events", "The page sent a {kind}, {seconds} s after we began to watch."),
    "watch_nothing": Check(
        "bad",
        "events",
        "No event of {url} came within {seconds} s.",
        "Open that page meanwhile, without a blocker; data-debug on the script tag tells what it does.",
    ),
}  # fmt: skip


def finding(code: str, **facts: object) -> Finding:
    """The finding of a row of CHECKS, its sentences filled in."""
    check = CHECKS[code]
    told = {name: plain(str(value)) for name, value in facts.items()}
    return Finding(code, check.level, check.subject, check.says.format(**told), check.advice.format(**told))


def worst(findings: Iterable[Finding]) -> Level:
    """The level of the worst finding."""
    levels = {one.level for one in findings}
    return "bad" if "bad" in levels else "warn" if "warn" in levels else "ok"


def plain(text: str, most: int = 300) -> str:
    """Text of a foreign page as it may be shown at a terminal: printable, and not long."""
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:most])
    return shown + ("..." if len(text) > most else "")
