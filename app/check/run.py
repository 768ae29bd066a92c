"""The check of a page from beginning to end: fetch, look, send a test event, wait for it.

Nothing is decided here: what may be asked is address.py's, what is found look.py's, in the words of
findings.py.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from app.check import look, trip
from app.check import page as pages
from app.check.address import Allowed, Target, target
from app.check.fetch import Answer, Leg, Way, fetch
from app.check.findings import Finding, finding
from app.check.look import Known, Snippet
from app.model import Rejected
from app.tag.script import Tag
from app.workspaces import Snapshot, digest

SECONDS = 10.0  # for all that is fetched


@dataclass(frozen=True, slots=True)
class Desk:
    """What a check works with. `workspace` is whose keys count; None: those of all (the operator's check)."""

    way: Way
    tag: Tag
    snapshot: Snapshot
    ask: trip.Ask[Any]
    workspace: int | None
    public_url: str = ""


@dataclass(slots=True)
class Report:
    """What was found, in order; how long each leg of the way took; the page's addresses, to watch for."""

    findings: list[Finding] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    urls: tuple[str, ...] = ()

    def add(self, found: Iterator[Finding]) -> bool:
        """Add findings; whether none of them is bad."""
        some = list(found)
        self.findings += some
        return all(one.level != "bad" for one in some)


async def examine(desk: Desk, url: str, *, id_: str) -> Report:
    """Check the page at `url`; `id_` is a fresh id for the test event."""
    report = Report()
    deadline = asyncio.get_running_loop().time() + SECONDS
    answer = await _within(desk, deadline, url)
    if isinstance(answer, Rejected):
        report.findings.append(finding("page_unreachable", url=url, why=answer.message))
        return report
    report.legs += answer.legs
    report.urls = (answer.urls[0], answer.url)
    if not report.add(look.page_findings(answer)):
        return report
    # A hostile page takes a second of processor time: not of the loop that the doors are served by.
    page, scripts, known, found = await asyncio.to_thread(_read, desk, answer)
    report.findings += found
    collect, ours = "", False
    if scripts:
        collect, ours = await _script(desk, report, scripts[0], answer.url, deadline)
    if wanted := look.wanted_of(page, answer, scripts, collect):
        report.add(look.way_findings(wanted, page, answer, known))
    key = next((one.key for one in scripts if look.is_good(one.key, known)), "")
    if key and ours:
        place = target(answer.url, desk.way.allowed)
        assert isinstance(place, Target)  # it was fetched
        await _trip(desk, report, collect, place, (key, known.owners[key][0], id_))
    return report


async def watch(desk: Desk, urls: Sequence[str], *, since: int, seconds: float) -> Finding:
    """Wait for a real event of the page, while somebody opens it."""
    whose = list(desk.snapshot.workspaces) if desk.workspace is None else [desk.workspace]
    seen = await trip.watched(desk.ask, whose, urls, since, seconds=seconds)
    if seen is None:
        return finding("watch_nothing", url=urls[-1], seconds=round(seconds))
    return finding("watch_seen", kind=seen[0], seconds=f"{max(seen[1], 0):.1f}")


async def _within(desk: Desk, deadline: float, url: str, *, base: str = "") -> Answer | Rejected:
    try:
        async with asyncio.timeout_at(deadline):
            return await fetch(desk.way, url, base=base)
    except TimeoutError:
        return Rejected("url_slow", f"did not answer within the {SECONDS:.0f} s that a check has", "url")


def _read(desk: Desk, answer: Answer) -> tuple[pages.Page, list[Snippet], Known, list[Finding]]:
    """What is in the page: its tags, our snippets, what we know of their keys, and what is to be said."""
    page = pages.read(pages.decoded(answer.body, answer.header("content-type")))
    scripts = look.snippets(page, answer.url, desk.tag)
    known = _known(desk, page, scripts)
    return page, scripts, known, list(look.snippet_findings(page, answer.url, scripts, known))


def _known(desk: Desk, page: pages.Page, scripts: Sequence[Snippet]) -> Known:
    found = {key: desk.snapshot.keys.get(digest(key)) for key in (*page.keys, *(one.key for one in scripts))}
    owners = {
        key: (owner[1], owner[2])
        for key, owner in found.items()
        if owner is not None and desk.workspace in (None, owner[1])
    }
    public = [workspace for workspace, scope in owners.values() if scope == "public"]
    number = desk.workspace if desk.workspace is not None else next(iter(public), 0)
    workspace = desk.snapshot.workspaces.get(number)
    own = target(desk.public_url, Allowed(everything=True))
    return Known(
        tag=desk.tag,
        owners=owners,
        origins=workspace.settings.origins if workspace else (),
        own_origin=own.origin if isinstance(own, Target) else "",
        consent_default=workspace.settings.consent_default if workspace else "granted",
        visitors=workspace.settings.visitors if workspace else "cookies",
    )


async def _script(
    desk: Desk, report: Report, one: Snippet, page_url: str, deadline: float
) -> tuple[str, bool]:
    """Look at the script; returns where it sends, and whether it is ours."""
    answer = await _within(desk, deadline, one.url)
    report.add(look.script_findings(one, page_url, answer, desk.tag))
    if isinstance(answer, Rejected):
        return look.collect_url(one, b"", desk.tag), False
    report.legs += answer.legs
    ours = answer.status == 200 and look.script_of(answer, desk.tag) is not None
    return look.collect_url(one, answer.body, desk.tag), ours


async def _trip(desk: Desk, report: Report, collect: str, page: Target, event: tuple[str, int, str]) -> None:
    """Send a test event (key, workspace, id) the way that the script would, and wait until it is stored."""
    key, workspace, id_ = event
    started = monotonic()
    try:
        async with asyncio.timeout(SECONDS):
            answer = await trip.send(desk.way, collect, key, page, id_)
    except TimeoutError:
        answer = Rejected("url_slow", "did not answer in time", "url")
    if isinstance(answer, Rejected):
        report.findings.append(finding("trip_unreachable", url=collect, why=answer.message))
        return
    report.legs.append(Leg(f"POST {collect}", monotonic() - started))
    if why := trip.refusal(answer):
        report.findings.append(finding("trip_refused", url=collect, status=answer.status, why=why))
        return
    took = await trip.stored(desk.ask, workspace, id_)
    if took is None:
        report.findings.append(finding("trip_waiting", url=collect, seconds=round(trip.WAIT)))
        return
    report.legs.append(Leg("stored", took))
    report.findings.append(finding("trip_stored", url=collect))
