"""Our own click ids in a person's rows: the clicks they name, and what else names them.

A click id is made for whoever clicked, but a link that holds one can be passed on. So a click is followed
only when nobody else names it, and a visit of no visitor is theirs only where it can be nobody else's: for
the clicker one other visitor may be themselves on the shop's pages, two are others. Reads only.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from app import tables
from app.campaigns.clickid import ClickId, read_click_id
from app.identity.graph import CHUNK
from app.model import DAY


@dataclass(frozen=True, slots=True)
class Followed:
    """Visitors who clicked, with the instant; and events of no visitor, by their rows."""

    clickers: frozenset[tuple[int, int]] = frozenset()
    rows: frozenset[int] = frozenset()


def follow(
    connection: Connection,
    workspace: int,
    texts: Iterable[str],
    *,
    theirs: Set[int],
    click: tuple[int, int] | None,
) -> Followed:
    """What the click ids among `texts` lead to: `theirs` are the person's nodes, `click` is theirs too."""
    known = _read(connection, workspace, texts)
    naming: dict[str, list[Any]] = {text: [] for text in known}
    for row in _naming(connection, workspace, known):
        naming[row.click_id].append(row)
    clickers: set[tuple[int, int]] = set()
    rows: set[int] = set()
    for text, found in known.items():
        made = (found.occurred_at, found.no)
        clicked = {row.visitor for row in naming[text] if (row.occurred_at, row.no) == made}
        others = {row.visitor for row in naming[text] if (row.occurred_at, row.no) != made} - theirs - {0}
        for_them = made == click or not clicked.isdisjoint(theirs)
        if not others:
            clickers |= {(found.occurred_at, visitor) for visitor in clicked - theirs - {0}}
        if len(others) <= for_them:
            rows |= {row.id for row in naming[text] if not row.visitor}
    return Followed(frozenset(clickers), frozenset(rows))


def _read(connection: Connection, workspace: int, texts: Iterable[str]) -> dict[str, ClickId]:
    w = tables.workspaces.c
    secret = bytes(connection.scalar(select(w.secret).where(w.id == workspace)) or b"")
    read = {text: read_click_id(text, secret) for text in set(texts)}
    return {text: click for text, click in read.items() if click and click.workspace == workspace}


def _naming(connection: Connection, workspace: int, clicks: dict[str, ClickId]) -> Iterable[Any]:
    """The events that hold one of these click ids: no index tells, so all since the first click are read."""
    e = tables.events.c
    ordered = sorted(clicks)
    for start in range(0, len(ordered), CHUNK):
        part = ordered[start : start + CHUNK]
        since = min(clicks[text].occurred_at for text in part) - DAY  # senders' clocks are not ours
        yield from connection.execute(
            select(e.id, e.occurred_at, e.no, e.visitor, e.click_id).where(
                e.workspace == workspace, e.occurred_at >= since, e.click_id.in_(part)
            )
        )
