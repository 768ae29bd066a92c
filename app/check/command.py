"""`clicktrail check`: the check of a page for a person at a terminal."""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from sqlalchemy import Connection

from app import db
from app.check import run as checking
from app.check.address import Allowed, target
from app.check.fetch import Names, Way, trusted
from app.check.findings import Finding, worst
from app.check.run import Desk, Report
from app.check.trip import Found
from app.model import Rejected
from app.tag.script import Tag
from app.workspaces import Snapshot

WIDE = 100  # characters of a line
INDENT = 18  # behind level and subject


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line knows: where the database is, what may be asked, what is configured."""

    database: str
    public_url: str
    allowed: Allowed
    tag: Tag
    snapshot: Snapshot
    workspace: int | None  # None: whichever a key of the page is of


def run(given: Given, url: str, *, watch: float, now: Callable[[], int], say: Callable[[str], None]) -> int:
    """Check, and say what is found as it is; the exit status: 1 when something is bad, 2 for no address."""
    whole = url if "://" in url else f"https://{url}"
    refused = target(whole, given.allowed)
    if isinstance(refused, Rejected):
        say(f"{whole}: {refused.message}")
        return 2
    return asyncio.run(_run(given, whole, watch, now, say))


async def _run(
    given: Given, url: str, watch: float, now: Callable[[], int], say: Callable[[str], None]
) -> int:
    engine, names = db.connect(given.database, pool=1), Names()

    async def ask(question: Callable[[Connection], Found]) -> Found:
        def read() -> Found:
            with db.reading(engine) as connection:
                return question(connection)

        return await asyncio.to_thread(read)

    desk = Desk(
        way=Way(given.allowed, names, trusted),
        tag=given.tag,
        snapshot=given.snapshot,
        ask=ask,
        workspace=given.workspace,
        public_url=given.public_url,
    )
    try:
        report = await checking.examine(desk, url, id_=f"check-{secrets.token_hex(16)}")
        found = report.findings
        say("\n".join(told(report)))
        if watch and report.urls:
            say(f"\nOpen {report.urls[-1]} in a browser now; waiting up to {watch:g} s for its events ...")
            found.append(await checking.watch(desk, report.urls, since=now(), seconds=watch))
            say("\n".join(lines(found[-1:])))
    finally:
        engine.dispose()
        names.close()
    return 1 if worst(found) == "bad" else 0


def told(report: Report) -> Iterator[str]:
    """The report as lines: what was found, how long each leg took, and what it comes to."""
    yield from lines(report.findings)
    if report.legs:
        yield ""
        yield from (f"{leg.seconds * 1000:9,.0f} ms  {leg.what}" for leg in report.legs)
    yield ""
    yield summary(report.findings)


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Each finding behind its level and subject, its advice below it."""
    for one in findings:
        head = f"{one.level:<6}{one.subject:<{INDENT - 6}}"
        yield from _wrapped(one.message, head)
        if one.advice and one.level != "ok":
            yield from _wrapped(one.advice, " " * INDENT + "-> ")


def _wrapped(text: str, head: str) -> list[str]:
    # Addresses and lines to paste stay whole: a break within them would be copied.
    return wrap(
        text,
        WIDE,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def summary(findings: Sequence[Finding]) -> str:
    bad, warn = (sum(one.level == level for one in findings) for level in ("bad", "warn"))
    if bad:
        return f"{bad} to be mended" + (f", {warn} to look at." if warn else ".")
    return f"It works; {warn} to look at." if warn else "It works."
