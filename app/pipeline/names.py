"""Slugs and their small integers, kept in memory between batches; unknown slugs are registered.

A slug that nobody registered gets a row of its own (`known` 0), so that what was sent under it is kept
and reported. A workspace has at most `MOST` of them in each collection: public keys stand in web pages,
and must not be able to grow a table without end. Beyond it an event keeps its slug in its details only.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, Table, func, literal, select

from app import tables as t
from app.model import KINDS, Scope
from app.pipeline.rules import CHANNELS, CLICK_CHANNELS
from app.pipeline.steps import Match, View
from app.workspaces import config_version, settings_of, slug_key

MOST = 10_000

STANDARD_CHANNELS = {slug for slug, _, _ in CHANNELS} | set(CLICK_CHANNELS.values())


@dataclass(slots=True)
class Names:
    """What the batch's slugs mean. Reloaded when the configuration's version moves."""

    version: int = -1
    views: dict[int, View] = field(default_factory=dict)
    keys: dict[str, tuple[int, Scope]] = field(default_factory=dict)
    channels: dict[tuple[int, str], int] = field(default_factory=dict)
    campaigns: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)  # id, channel
    campaign_channels: dict[int, int] = field(default_factory=dict)
    ads: dict[tuple[int, str], int] = field(default_factory=dict)  # by (campaign id, slug)
    partners: dict[tuple[int, str], int] = field(default_factory=dict)
    goals: dict[tuple[int, str], int] = field(default_factory=dict)
    newest: dict[tuple[str, int], int] = field(default_factory=dict)  # id, by (table, workspace)
    sites: set[tuple[int, int, str]] = field(default_factory=set)  # that are listed: sources.Sites
    others: dict[tuple[str, int, int, str], int] = field(default_factory=dict)  # by other machines since

    def channel(self, connection: Connection, workspace: int, slug: str) -> int:
        """The channel's id, registered if need be; 0 for none."""
        key = (workspace, slug_key(slug))
        if slug and key not in self.channels:
            known = int(slug in STANDARD_CHANNELS)
            self.channels[key] = self._register(connection, t.channels, workspace, slug=slug, known=known)
        return self.channels.get(key, 0)

    def campaign(self, connection: Connection, workspace: int, slug: str) -> tuple[int, int]:
        """(campaign id, its channel's id), registered if need be; zeros for none."""
        key = (workspace, slug_key(slug))
        if slug and key not in self.campaigns:
            self.campaigns[key] = (self._register(connection, t.campaigns, workspace, slug=slug, known=0), 0)
        return self.campaigns.get(key, (0, 0))

    def channel_of(self, campaign_id: int) -> int:
        """The channel of a campaign by its id; 0 for none."""
        return self.campaign_channels.get(campaign_id, 0)

    def ad(self, connection: Connection, workspace: int, campaign_id: int, slug: str) -> int:
        """The ad's id within its campaign (0: an ad told without a campaign)."""
        key = (campaign_id, slug_key(slug)) if campaign_id else (-workspace, slug_key(slug))
        if slug and key not in self.ads:
            self.ads[key] = self._register(
                connection, t.ads, workspace, slug=slug, campaign_id=campaign_id, known=0
            )
        return self.ads.get(key, 0)

    def partner(self, connection: Connection, workspace: int, slug: str) -> int:
        key = (workspace, slug_key(slug))
        if slug and key not in self.partners:
            self.partners[key] = self._register(connection, t.partners, workspace, slug=slug, known=0)
        return self.partners.get(key, 0)

    def goal(self, connection: Connection, workspace: int, slug: str, *, kind: str) -> int:
        """The goal's id. The goals "lead" and "sale" are there unasked, and primary."""
        slug = slug or kind
        key = (workspace, slug_key(slug))
        if key not in self.goals:
            standard = int(slug in KINDS)
            count = self.views[workspace].lead_count if kind == "lead" else "every"
            self.goals[key] = self._register(
                connection, t.goals, workspace,
                slug=slug, kind=kind, known=standard, primary=standard, count=count,
            )  # fmt: skip
        return self.goals.get(key, 0)

    def _register(self, connection: Connection, table: Table, workspace: int, **fields: object) -> int:
        """The id of a new row; of the row there is, when another machine or an operator was first."""
        c, place = table.c, (table.name, workspace)
        campaign = c.campaign_id if "campaign_id" in c else literal(0)
        since = select(campaign, c.slug, c.id).where(
            c.workspace == workspace, c.id > self.newest.get(place, 0)
        )
        for of, slug, id_ in connection.execute(since.order_by(c.id)):
            self.others[*place, of, slug_key(slug)] = id_
            self.newest[place] = id_
        same = (*place, int(str(fields.get("campaign_id", 0))), slug_key(str(fields["slug"])))
        if same in self.others:
            return self.others[same]
        total = select(func.count()).select_from(table).where(c.workspace == workspace, c.known == 0)
        if (connection.scalar(total) or 0) >= MOST:
            return 0
        name = {"name": fields["slug"]} if fields.get("known") else {}
        row = {"workspace": workspace, **name, **fields}
        made = int(connection.execute(table.insert().values(row).returning(c.id)).scalar_one())
        self.newest[place] = made
        return made


def current(connection: Connection, names: Names) -> Names:
    """`names`, or new ones when the configuration has changed since they were read."""
    version = config_version(connection)
    return names if version == names.version else load(connection, version)


def load(connection: Connection, version: int) -> Names:
    """Everything the pipeline must know of the configuration, as of this transaction."""
    names = Names(version=version)
    for table in (t.channels, t.campaigns, t.ads, t.partners, t.goals):  # first: what comes later is others'
        newest = select(table.c.workspace, func.max(table.c.id)).group_by(table.c.workspace)
        names.newest |= {(table.name, workspace): id_ for workspace, id_ in connection.execute(newest)}

    def slugs(table: Table) -> Iterable[tuple[tuple[int, str], int]]:
        c = table.c
        for workspace, slug, id_ in connection.execute(select(c.workspace, c.slug, c.id)):
            yield (workspace, slug_key(slug)), id_

    names.channels = dict(slugs(t.channels))
    names.partners = dict(slugs(t.partners))
    names.goals = dict(slugs(t.goals))
    c = t.campaigns.c
    matches: dict[int, list[Match]] = {}
    registered: dict[int, dict[str, tuple[int, int]]] = {}
    columns = (c.workspace, c.slug, c.id, c.channel_id, c.known, c.match)
    for workspace, slug, id_, channel_id, known, match in connection.execute(select(*columns)):
        names.campaigns[workspace, slug_key(slug)] = (id_, channel_id)
        names.campaign_channels[id_] = channel_id
        if known:
            registered.setdefault(workspace, {})[slug_key(slug)] = (id_, channel_id)
            matches.setdefault(workspace, []).extend(_matches(slug, match))
    a = t.ads.c
    for workspace, campaign_id, slug, id_ in connection.execute(
        select(a.workspace, a.campaign_id, a.slug, a.id)
    ):
        names.ads[campaign_id or -workspace, slug_key(slug)] = id_
    w = t.workspaces.c
    for id_, zone, secret, settings in connection.execute(
        select(w.id, w.timezone, w.secret, w.settings).where(w.archived_at.is_(None))
    ):
        chosen = settings_of(settings)
        names.views[id_] = View(
            id=id_,
            timezone=zone,
            secret=secret,
            campaigns=registered.get(id_, {}),
            matches=tuple(matches.get(id_, ())),
            ignored_referrers=tuple(chosen.ignored_referrers),
            lead_count=chosen.lead_count,
            consent_default=chosen.consent_default,
            dnt=chosen.dnt,
            visitors=chosen.visitors,
        )
    k = t.keys.c
    for digest, workspace, scope in connection.execute(
        select(k.digest, k.workspace, k.scope).where(k.revoked_at.is_(None))
    ):
        names.keys[digest] = (workspace, scope)
    return names


def _matches(campaign: str, text: str) -> list[Match]:
    """The rules of a campaign's `match`: a list of {source, medium, campaign, click_id}."""
    return [
        Match(
            campaign=campaign,
            source=str(rule.get("source", "")).casefold(),
            medium=str(rule.get("medium", "")).casefold(),
            name=slug_key(str(rule.get("campaign", ""))),
            click_id=str(rule.get("click_id", "")),
        )
        for rule in msgspec.json.decode(text or "[]", type=list[dict[str, str]])
    ]
