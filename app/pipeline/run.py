"""One batch: read, refine, write, move the cursor; all in one transaction.

A batch that fails for what is in it is halved until the culprit stands alone and is quarantined, so a
poison record costs only itself. A batch that fails for what the database is (busy, gone, full) is left
where it is: the inbox keeps it and the worker tries again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, Engine, exc, select, update

from app import consent, db, tables
from app.events import relational as event_store
from app.inbox.records import Slice
from app.model import KINDS, RESULTS, TRAFFIC, Event, Record, Refusal, Rejected
from app.pipeline import engagement, rules, sources, store
from app.pipeline import facts as made
from app.pipeline import names as slugs
from app.pipeline.facts import Facts
from app.pipeline.landings import Landing, RedirectClick
from app.pipeline.steps import Item, Known, refine
from app.telemetry import RECORDS, logger

log = logger("pipeline")

_decoder = msgspec.msgpack.Decoder(Record)
_body = msgspec.json.Encoder().encode

#: `rejected.replayed_at` of a record that an operator wants replayed.
WANTED = -1

#: How often a batch is tried again at once because another machine's came between.
RACES = 5


class Moved(Exception):
    """The configuration changed while the batch was on its way: it must be read anew."""


@dataclass(slots=True)
class Pipeline:
    """What lasts from batch to batch: the engine, the names read so far, the place look-up."""

    engine: Engine
    clock: Callable[[], int]
    country_of: Callable[[str], str] = lambda ip: ""
    names: slugs.Names = field(default_factory=slugs.Names)
    after: dict[bytes, int] = field(default_factory=dict)  # cursors as last committed; {}: to be read

    def cursors(self) -> dict[bytes, int]:
        """How far each inbox file is drained. Nobody else moves them, so they are read once."""
        if not self.after:
            with db.reading(self.engine) as connection:
                self.after = store.cursors(connection)
        return self.after

    def advance(self, file: bytes, sequence: int) -> None:
        """Move one cursor and nothing else."""
        with db.begin(self.engine) as connection:
            store.advance(connection, file, sequence, self.clock())
        self.after[file] = sequence

    def take(self, slices: Sequence[Slice]) -> None:
        """Process every record of `slices`; afterwards the cursors stand behind them."""
        try:
            self._persist(slices)
            self.after |= {part.file: part.sequences[-1] for part in slices}
        except Exception as error:
            self.names = slugs.Names()
            self.after = {}
            if isinstance(error, Moved) or db.passing(error):
                raise  # it says nothing about the batch: again, as it is
            if sum(len(s.sequences) for s in slices) > 1:
                first, second = _halves(slices)
                self.take(first)
                self.take(second)
            else:
                self._quarantine(slices[0], error)

    def _persist(self, slices: Sequence[Slice]) -> None:
        """Commit, again when another transaction came between: it may have stored the same ids or slugs."""
        for attempt in range(RACES):
            try:
                return self._commit(slices)
            except (Moved, exc.DBAPIError) as error:
                self.names = slugs.Names()
                if attempt == RACES - 1 or not (isinstance(error, Moved) or db.raced(error)):
                    raise

    def replay(self) -> int:
        """Send quarantined records that an operator asked for through the steps again; returns how many.

        Each in a transaction of its own: one that fails again keeps its row, and says so.
        """
        r = tables.rejected.c
        with db.reading(self.engine) as connection:
            wanted = connection.execute(
                select(r.id, r.body).where(r.replayed_at == WANTED, r.kind == "quarantined").limit(500)
            ).all()
        for id_, body in wanted:
            done = update(tables.rejected).where(r.id == id_)
            try:
                event = msgspec.convert(msgspec.json.decode(body), Event)
                with db.begin(self.engine) as connection:
                    self.names = slugs.current(connection, self.names)
                    batch = _Batch(connection, self.names, self.country_of, self.clock())
                    batch.events.append((b"", id_, event))
                    batch.run()
                    connection.execute(done.values(replayed_at=self.clock()))
            except Exception as error:
                self.names = slugs.Names()
                if db.passing(error):
                    raise
                log.error("replay_failed", rejected=id_, error=repr(error)[:300])
                with db.begin(self.engine) as connection:
                    connection.execute(done.values(replayed_at=None, code="replay_failed"))
        return len(wanted)

    def _commit(self, slices: Sequence[Slice]) -> None:
        now = self.clock()
        with db.begin(self.engine) as connection:
            self.names = slugs.current(connection, self.names)
            batch = _Batch(connection, self.names, self.country_of, now)
            for part in slices:
                batch.read(part)
            batch.run()
            for part in slices:
                store.advance(connection, part.file, part.sequences[-1], now)
        batch.report()

    def _quarantine(self, part: Slice, error: Exception) -> None:
        log.error("record_quarantined", sequence=part.sequences[0], error=repr(error)[:300])
        now = self.clock()
        with db.begin(self.engine) as connection:
            row = _poison_row(part.payloads[0], now, type(error).__name__)
            store.reject(connection, [row], now)
            facts = Facts(outcomes=[(part.file, part.sequences[0], "quarantined", now)])
            store.write(connection, facts, now)
            store.advance(connection, part.file, part.sequences[0], now)
        RECORDS.labels("pipeline", "quarantined").inc()


def _halves(slices: Sequence[Slice]) -> tuple[list[Slice], list[Slice]]:
    """The slices cut in two, by records, in order."""
    left = sum(len(s.sequences) for s in slices) // 2
    first: list[Slice] = []
    second: list[Slice] = []
    for part in slices:
        cut = min(left, len(part.sequences))
        left -= cut
        for kept, low, high in ((first, 0, cut), (second, cut, len(part.sequences))):
            if low < high:
                kept.append(Slice(part.file, part.sequences[low:high], part.payloads[low:high]))
    return first, second


def _poison_row(payload: bytes, now: int, code: str) -> dict[str, object]:
    """What is kept of a record that could not be stored; decoded if it can be."""
    try:
        record = _decoder.decode(payload)
    except msgspec.MsgspecError:
        return {
            "workspace": 0, "at": now, "kind": "quarantined", "door": "", "code": "unreadable",
            "field": "", "message": "the record could not be read", "event_id": "", "body": payload.hex(),
        }  # fmt: skip
    if isinstance(record, Refusal):
        return store.refused_row(record)
    if record.key_digest or consent.denied(record.consent):  # it may have failed before any step looked at it
        record = consent.impersonal(record, consent.nowhere)
    return _quarantined(record, Rejected("poison", f"storing it failed: {code}"), now)


def _quarantined(event: Event, why: Rejected, now: int, workspace: int | None = None) -> dict[str, object]:
    return {
        "workspace": event.workspace if workspace is None else workspace, "at": now, "kind": "quarantined",
        "door": event.door, "code": why.code, "field": why.field, "message": why.message,
        "event_id": event.id, "body": _body(msgspec.to_builtins(event)).decode(),
    }  # fmt: skip


class _Batch:
    """The records of one transaction on their way to facts."""

    def __init__(
        self, connection: Connection, known: slugs.Names, country_of: Callable[[str], str], now: int
    ) -> None:
        self.connection = connection
        self.names = known
        self.country_of = country_of
        self.now = now
        self.facts = Facts()
        self.events: list[tuple[bytes, int, Event]] = []
        self.results = {"stored": 0, "duplicate": 0, "quarantined": 0, "refused": 0}

    def read(self, part: Slice) -> None:
        """Decode; refusals and unreadable records go straight to the rejected."""
        for sequence, payload in zip(part.sequences, part.payloads, strict=True):
            try:
                record = _decoder.decode(payload)
            except msgspec.MsgspecError:
                self.facts.rejected.append(_poison_row(payload, self.now, "unreadable"))
                self._outcome(part.file, sequence, "quarantined")
                continue
            if isinstance(record, Refusal):
                self.facts.rejected.append(store.refused_row(record))
                self.results["refused"] += 1
            else:
                self.events.append((part.file, sequence, record))

    def run(self) -> None:
        """Preload, refine, gather, write."""
        keys = [rules.dedupe_key(self._workspace(e), e.id) if e.id else b"" for _, _, e in self.events]
        known = Known(
            workspaces=self.names.views,
            keys=self.names.keys,
            seen=store.seen(self.connection, (key for key in keys if key)),
            country_of=self.country_of,
        )
        items: list[Item] = []
        for (file, sequence, event), key in zip(self.events, keys, strict=True):
            item = Item(event, key=key)
            refusal = refine(item, known)
            if refusal is not None:
                row = _quarantined(item.event, refusal, self.now, item.workspace)
                self.facts.rejected.append(row)
                conflict = refusal.code == "id_conflict"
                self._outcome(file, sequence, "id_conflict" if conflict else "quarantined")
            elif item.outcome:
                self._outcome(file, sequence, item.outcome)
            else:
                items.append(item)
        self._lock(items)
        self._unflag(items)
        engagement.settle(self.connection, self.names, self.facts, items)
        for item in items:
            self._gather(item)
        # Clicks that came before are lifted first, and landings looked for last: each sees what is stored.
        carrying = [
            (i.workspace, i.click.occurred_at, i.click.no)
            for i in items
            if i.click and i.event.kind != "click"
        ]
        store.lift_prefetched(self.connection, self.names, self.facts, carrying)
        landing_work = self._landing_work(items)
        if landing_work:
            event_store.append(self.connection, self.facts.events)
            self.facts.events = []
            for workspace, (fresh, redirects) in sorted(landing_work.items()):
                store.settle_landings(self.connection, self.names, self.facts, workspace, fresh, redirects)
        store.write(self.connection, self.facts, self.now)
        engagement.write(self.connection, self.facts)
        sources.write(self.connection, self.facts, self.names.sites)
        self.results["stored"] = len(items)

    def _lock(self, items: Sequence[Item]) -> None:
        """Be the only pipeline that writes to these workspaces, from what is read next to the commit.

        Two machines would otherwise miss what the other is about to store: a prefetched click and the
        visit that brings it back, a landing and the redirect that explains it. Decoding and the steps,
        most of the work, lie before it.
        """
        if self.connection.dialect.name == "sqlite":
            return
        for workspace in sorted({item.workspace for item in items}):
            db.lock(self.connection, db.Lock.FACTS, workspace)
        if slugs.current(self.connection, self.names) is not self.names:
            raise Moved

    def _workspace(self, event: Event) -> int:
        return self.names.keys.get(event.key_digest, (0, ""))[0] if event.key_digest else event.workspace

    def _outcome(self, file: bytes, sequence: int, outcome: str) -> None:
        if file:
            self.facts.outcomes.append((file, sequence, outcome, self.now))
        self.results["duplicate" if outcome == "duplicate" else "quarantined"] += 1

    def _unflag(self, items: Sequence[Item]) -> None:
        """A prefetched click whose id was brought back, before or in this batch, was looked at."""
        suspects = [i for i in items if i.event.kind == "click" and made.lifted(i.flags) != i.flags]
        if not suspects:
            return
        brought = {(i.workspace, i.click.no) for i in items if i.click}
        brought |= store.was_carried(self.connection, ((i.workspace, i.event.no) for i in suspects))
        for item in suspects:
            if (item.workspace, item.event.no) in brought:
                item.flags = made.lifted(item.flags)
                item.billable = rules.is_billable(item.event.door, item.flags, item.event.hints)

    def _gather(self, item: Item) -> None:
        event, facts = item.event, self.facts
        if item.key:
            facts.seen.append((item.key, item.digest))
        if item.click is not None:
            facts.carried.add((item.workspace, item.click.no))
        if event.kind not in TRAFFIC and event.kind not in RESULTS:
            facts.adjustments.append(made.adjustment_row(item))
            facts.conversions.add((item.workspace, item.conversion))
            sources.heard(facts, item.workspace, event, item.flags)
            return
        ids = self._ids(item)
        sources.heard(facts, item.workspace, event, item.flags, partner=ids[3])
        facts.link(item)
        facts.ignore(item)
        if event.kind in TRAFFIC:
            facts.events.append(made.event_row(item, ids))
            facts.count(made.traffic_of(item, ids))
            if KINDS[event.kind] <= KINDS["visit"]:
                facts.touch(item.workspace, item.visitor, event.occurred_at)
            if event.door == "redirect":
                facts.touch(item.workspace, event.no, event.occurred_at)
        else:
            goal = self.names.goal(self.connection, item.workspace, event.goal, kind=event.kind)
            facts.sightings.append(made.sighting_row(item, ids, goal))
            facts.conversions.add((item.workspace, item.conversion))

    def _ids(self, item: Item) -> tuple[int, int, int, int]:
        """Channel, campaign, ad and partner of an item: what it names, else what its click id says."""
        event, find, connection = item.event, self.names, self.connection
        campaign, channel = find.campaign(connection, item.workspace, item.campaign)
        ad = find.ad(connection, item.workspace, campaign, event.ad)
        partner = find.partner(connection, item.workspace, event.partner)
        click = item.click
        if click is not None and not item.campaign:
            campaign, ad = click.campaign_id, ad or click.ad_id
            partner = partner or click.partner_id
            channel = find.channel_of(campaign)
        if item.channel:
            channel = find.channel(connection, item.workspace, item.channel)
        return channel, campaign, ad, partner

    def _landing_work(
        self, items: Sequence[Item]
    ) -> dict[int, tuple[dict[int, list[Landing]], list[RedirectClick]]]:
        work: dict[int, tuple[dict[int, list[Landing]], list[RedirectClick]]] = {}
        for item in items:
            event = item.event
            redirect = event.kind == "click" and event.door == "redirect" and item.visitor
            if not item.landing and not redirect:
                continue
            fresh, redirects = work.setdefault(item.workspace, ({}, []))
            campaign, _ = self.names.campaign(self.connection, item.workspace, item.campaign)
            if redirect:
                redirects.append(RedirectClick(item.visitor, campaign, event.occurred_at))
            else:
                key = rules.landing_key(item.workspace, event, item.visitor, item.campaign)
                landing = Landing(event.occurred_at, event.no, item.visitor, campaign)
                fresh.setdefault(key, []).append(landing)
        return work

    def report(self) -> None:
        for result, count in self.results.items():
            if count:
                RECORDS.labels("pipeline", result).inc(count)
