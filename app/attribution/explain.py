"""Why a conversion's credit went where it went: the same rules, asked of every touch of one person.

Nothing is read from what was settled except to compare: the explanation is computed from the facts, by
the very functions that settle. It only reads.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Table, func, select

from app import tables, workspaces
from app.attribution import gather, store
from app.attribution.credits import credits
from app.attribution.gather import People
from app.attribution.journeys import CLICK, PRIORITY, Asks, Ints, Journeys, Pairs, merged, taken
from app.attribution.ledger import Conversions, Rows, changed
from app.attribution.rules import REJECTION_NAMES, Verdict, judge
from app.attribution.store import Setup
from app.attribution.tasks import asking, days, standing, standing_still
from app.conversions.reading import goal_names, shown
from app.events.relational import journeys
from app.model import DAY, FLAGS, HOUR, KIND_NAMES, MODELS, REASONS
from app.money import MICROS, allocate

#: Candidates that an answer shows; a person may have had a hundred thousand.
SHOWN = 1000

REASON_NAMES = {number: name for name, number in REASONS.items()}
LABELS: dict[str, Table] = {
    "channel": tables.channels, "campaign": tables.campaigns, "ad": tables.ads, "partner": tables.partners,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One conversion before the rules: every touch of its person around it, and the verdicts."""

    setup: Setup
    row: Row[Any]
    conversions: Conversions
    asks: Asks
    journeys: Journeys
    pairs: Pairs
    verdict: Verdict
    rows: Rows


def touch_id(no: int) -> str:
    return f"ev_{no:016x}"


def why(connection: Connection, row: Row[Any], *, model: str, without: str = "") -> dict[str, Any]:
    """schemas.Why of a row of tables.conversions. `without`: as if the touch of this id had not been."""
    case = _case(connection, row, without)
    stored = store.ledger(connection, row.workspace, case.conversions, {})
    frozen = case.setup.frozen(case.conversions)
    if not without:
        case = replace(case, rows=standing_still(case.rows, stored.rows, frozen))
    labels = _labels(connection, case)
    candidates, not_shown = _candidates(case, model, labels)
    kept = case.verdict.code == 0
    clicks = case.journeys.touches.kind[case.pairs.touch] == CLICK
    return {
        "conversion": shown(row, goal_names(connection, row.workspace)),
        "model": model,
        "fell_back": bool(model == "last_click" and kept.any() and not (kept & clicks).any()),
        "settled": not without and not changed(case.rows, stored.rows, 1).any(),
        "frozen": bool(frozen.any()),
        "configuration": _configuration(connection, case.setup, row.goal_id),
        "touches": candidates,
        "not_shown": not_shown,
        "unattributed": _unattributed(case, model),
        "models": {name: _shares(case.rows, name, labels["campaign"]) for name in MODELS},
        "versions": _versions(connection, row, model),
    }


def _case(connection: Connection, row: Row[Any], without: str) -> Case:
    setup = store.setup(connection, row.workspace)
    conversions = store.conversions(connection, row.workspace, [row.id])
    people = gather.people(connection, row.workspace, conversions)
    known = gather.results(connection, row.workspace, people) if setup.exhaustible else {}
    asks = asking(setup, conversions, people, known)
    found = _around(connection, setup, conversions, people)
    found = _leave_out(gather.with_signed(connection, row.workspace, found, conversions.clicks), without)
    found = found.in_order()
    every = np.arange(len(found.touches.at))
    pairs = merged(
        np.zeros(len(every) + len(found.signed), dtype=np.int64),
        np.r_[every, found.signed],
        signed=np.arange(len(every) + len(found.signed)) >= len(every),
        touches=len(every),
    )
    pairs = replace(pairs, held=np.isin(pairs.touch, found.held))
    verdict = judge(pairs, asks, found.touches, setup.rules)
    rows = credits(
        asks,
        found,
        standing(conversions),
        rules=setup.rules,
        parameters=setup.parameters,
        day_of=partial(days, setup.zone),
    )
    return Case(setup, row, conversions, asks, found, pairs, verdict, rows)


def _around(connection: Connection, setup: Setup, conversions: Conversions, people: People) -> Journeys:
    """Every touch of these nodes, flagged and foreign ones too, from well before until well after."""
    at, longest = int(conversions.occurred_at[0]), setup.rules.longest
    since = dict.fromkeys(PRIORITY, at - 2 * longest)
    found = journeys(
        connection, np.unique(people.members[1]).tolist(), since=since, until=at + longest, flags=-1
    )
    visitor, touches = gather.touches_of(found)
    _, touch, mine = gather.held(visitor, touches.at, people.members)
    own = np.unique(touch[mine])
    return Journeys(touches, np.zeros(len(own), dtype=np.int64), own, gather.NONE, gather.NONE)


def _leave_out(found: Journeys, without: str) -> Journeys:
    """The journeys without one touch; indices that pointed at it go, later ones move up."""
    stays = np.array([touch_id(no) != without for no in found.touches.no.tolist()], dtype=np.bool_)
    moved = np.cumsum(stays) - 1
    held, signed = stays[found.held], stays[found.signed]
    return Journeys(
        taken(found.touches, stays),
        found.holder[held],
        moved[found.held[held]],
        found.bearer[signed],
        moved[found.signed[signed]],
    )


# --- What is shown ----------------------------------------------------------------------------------


def _candidates(
    case: Case, model: str, labels: Mapping[str, Mapping[int, str]]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Every candidate in order; if there are too many, those kept and the latest others, and a count."""
    parts = _parts(case, model)
    codes = case.verdict.code.tolist()
    first = max(0, len(codes) - SHOWN)
    found = []
    not_shown: Counter[str] = Counter()
    for i, code in enumerate(codes):
        if code and i < first:
            not_shown[REJECTION_NAMES[code]] += 1
        else:
            found.append(_candidate(case, i, parts, labels))
    return found, dict(not_shown)


def _candidate(
    case: Case, i: int, parts: Mapping[int, dict[str, int]], labels: Mapping[str, Mapping[int, str]]
) -> dict[str, Any]:
    touches, t = case.journeys.touches, int(case.pairs.touch[i])
    code, no, at = int(case.verdict.code[i]), int(touches.no[t]), int(touches.at[t])
    nothing = dict.fromkeys(("weight", "share_ppm", "units", "value", "net_units", "remainder"), 0)
    return {
        "id": touch_id(no),
        "kind": KIND_NAMES[int(touches.kind[t])],
        "occurred_at": at,
        "age_hours": round((case.row.occurred_at - at) / HOUR, 3),
        "flags": [name for name, bit in FLAGS.items() if int(touches.flags[t]) & bit],
        "signed": bool(case.pairs.signed[i]),
        "kept": code == 0,
        "reason": REJECTION_NAMES.get(code),
        "billed": bool(case.verdict.billed[i]),
        **{name: known.get(int(getattr(touches, name)[t]), "") for name, known in labels.items()},
        **parts.get(no, nothing),
    }


def _parts(case: Case, model: str) -> dict[int, dict[str, int]]:
    """By touch number (0: unattributed), what the model gives it: exactly what the rollups hold."""
    weights = getattr(case.rows, model).tolist()
    total = sum(weights)
    value = case.row.value or 0
    columns = zip(
        case.rows.no.tolist(),
        weights,
        allocate(MICROS, weights),
        allocate(value, weights),
        allocate(value - case.row.refunded, weights),
        strict=True,
    )
    return {
        no: {
            "weight": weight,
            "share_ppm": share,
            "units": units,
            "value": units,
            "net_units": net,
            "remainder": value * weight % total,
        }
        for no, weight, share, units, net in columns
    }


def _unattributed(case: Case, model: str) -> dict[str, Any] | None:
    first = case.rows.ordinal[0] == 0 and getattr(case.rows, model)[0] > 0
    if not first:
        return None
    return {"reason": REASON_NAMES[int(case.rows.reason[0])], **_parts(case, model)[0]}


def _shares(rows: Rows, model: str, campaigns: Mapping[int, str]) -> list[dict[str, Any]]:
    names = [campaigns.get(id_, "") for id_ in rows.campaign_id.tolist()]
    weights = getattr(rows, model).tolist()
    return _divided(zip(rows.ordinal.tolist(), rows.no.tolist(), names, weights, strict=True))


def _divided(rows: Iterable[tuple[int, int, str, int]]) -> list[dict[str, Any]]:
    """Credit rows (ordinal, no, campaign, weight) of one conversion as schemas.Share."""
    whole = list(rows)
    shares = allocate(MICROS, [weight for _, _, _, weight in whole])
    return [
        {"touch": touch_id(no) if ordinal else None, "campaign": campaign, "share_ppm": share}
        for (ordinal, no, campaign, weight), share in zip(whole, shares, strict=True)
        if weight
    ]


def _versions(connection: Connection, row: Row[Any], model: str) -> list[dict[str, Any]]:
    """Every version of the stored credits, latest first."""
    c, campaigns = tables.credits.c, tables.campaigns
    found: dict[int, list[tuple[int, int, str, int]]] = {}
    for version, ordinal, no, campaign, weight in connection.execute(
        select(c.version, c.ordinal, c.no, func.coalesce(campaigns.c.slug, ""), c[model])
        .outerjoin(campaigns, campaigns.c.id == c.campaign_id)
        .where(c.workspace == row.workspace, c.conversion == row.id)
        .order_by(c.version.desc(), c.ordinal)
    ):
        found.setdefault(version, []).append((ordinal, no, campaign, weight))
    return [
        {"version": version, "current": version == row.credit_version, "credits": _divided(credit)}
        for version, credit in found.items()
    ]


def _labels(connection: Connection, case: Case) -> dict[str, dict[int, str]]:
    """Slugs of what the touches were of, by the name of the column."""
    found = {}
    for name, table in LABELS.items():
        ids: Ints = np.union1d(getattr(case.journeys.touches, name), getattr(case.rows, f"{name}_id"))
        statement = select(table.c.id, table.c.slug).where(
            table.c.workspace == case.setup.workspace, table.c.id.in_(ids.tolist())
        )
        found[name] = dict(connection.execute(statement).all())
    return found


def _configuration(connection: Connection, setup: Setup, goal: int) -> dict[str, Any]:
    settings, rules = setup.settings, setup.rules
    c = tables.campaigns.c
    ids = sorted(rules.campaign_windows)
    slugs = dict(connection.execute(select(c.id, c.slug).where(c.id.in_(ids))).all())
    return {
        "version": workspaces.config_version(connection),
        "windows": _days(rules.windows),
        "goal_windows": _days(rules.goal_windows.get(goal, {})),
        "campaign_windows": {slugs[id_]: _days(rules.campaign_windows[id_]) for id_ in ids},
        "billing_model": settings.billing_model,
        "billing_window": settings.billing_window,
        "tier_rule": settings.tier_rule,
        "direct": settings.direct,
        "collapse": settings.collapse,
        "reset_after_conversion": settings.reset_after_conversion,
        "first_conversion_only": settings.first_conversion_only,
        "position_shares": list(settings.position_shares),
        "half_life_hours": settings.half_life_hours,
        "cap": rules.cap,
    }


def _days(windows: Mapping[int, int]) -> dict[str, float]:
    return {KIND_NAMES[kind]: window / DAY for kind, window in windows.items()}
