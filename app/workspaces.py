"""Workspaces: a key's owner and its settings, and the configuration snapshot the doors live on.

The snapshot is everything a door must know (keys, origins, campaigns, landing URLs, the signing secret),
in one small file, so that a slow or dead database can neither slow nor lose an event or a redirect.
Whoever changes the configuration writes it at once; every other process notices within a second.
"""

import hashlib
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, Engine, Row, select, update

from app import db, tables
from app.model import QUARTER, SECOND, Scope
from app.model import slug_key as slug_key  # where most rooms look for it

PREFIXES: dict[str, Scope] = {
    "ct_pub_": "public", "ct_srv_": "server", "ct_read_": "read", "ct_adm_": "admin",
}  # fmt: skip
SCOPES: tuple[Scope, ...] = ("public", "server", "read", "admin")

#: A snapshot that nobody has confirmed against the database for this long is stale.
STALE_AFTER = 10 * SECOND


class WorkspaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a workspace that is JSON in its row. Windows are days; every field has its default."""

    origins: list[str] = []
    hosts: list[str] = []
    browser_sales: str = "pending"  # pending, approved
    consent_default: str = "granted"  # granted, denied
    dnt: str = "ignore"  # ignore, deny
    visitors: str = "cookies"  # cookies, daily
    billing_model: str = "last_click"
    windows: dict[str, float] = msgspec.field(
        default_factory=lambda: {"click": 30, "visit": 3, "impression": 1}
    )
    billing_window: float = 30
    tier_rule: str = "click_over_view"  # click_over_view, all_kinds
    direct: str = "last_resort"  # last_resort, count, exclude
    collapse: bool = False
    reset_after_conversion: bool = False
    first_conversion_only: bool = False
    half_life_hours: int = 168
    position_shares: tuple[int, int, int] = (40, 20, 40)
    join_limit: int = 20  # an identifier that would join more visitors than this joins none
    ignored_referrers: list[str] = []  # payment providers: never a touch
    lead_count: str = "once_per_person"
    fx_max_age_days: int = 7


class Ad(msgspec.Struct, frozen=True):
    id: int
    landing_url: str


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    slug: str
    status: str
    landing_url: str
    fallback_url: str
    allowed_hosts: list[str]
    pass_parameters: bool
    starts_on: int | None
    ends_on: int | None
    ads: dict[str, Ad]


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """One workspace as a door sees it; slugs are keyed by `slug_key`."""

    id: int
    slug: str
    timezone: str
    reporting_currency: str
    secret: bytes
    settings: WorkspaceSettings
    goals: dict[str, str]  # slug -> lead | sale
    campaigns: dict[str, Campaign]
    partners: dict[str, int]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    first: int  # the workspace of a redirect that names none
    keys: dict[str, tuple[int, int, Scope]]  # hex SHA-256 -> key id, workspace, scope
    hosts: dict[str, int]
    workspaces: dict[int, Workspace]


def digest(key: str) -> str:
    """The hex SHA-256 under which a key is known; the key itself is stored nowhere."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_key(scope: Scope) -> str:
    """A fresh key: its scope's prefix and 192 random bits."""
    prefix = next(p for p, s in PREFIXES.items() if s == scope)
    return prefix + secrets.token_urlsafe(24)


def add_key(connection: Connection, workspace: int, scope: Scope, *, name: str, now: int, key: str) -> int:
    """Store a key's digest; the same key twice is one row. Returns its id."""
    existing = connection.scalar(select(tables.keys.c.id).where(tables.keys.c.digest == digest(key)))
    if existing is not None:
        return int(existing)
    row = {
        "workspace": workspace, "scope": scope, "name": name,
        "digest": digest(key), "prefix": key[:12], "created_at": now,
    }  # fmt: skip
    made = connection.execute(tables.keys.insert().values(row).returning(tables.keys.c.id)).scalar_one()
    changed(connection)
    return int(made)


def keys_of(connection: Connection, workspace: int) -> Sequence[Row[Any]]:
    """All keys of a workspace, revoked ones too, oldest first; none holds the key itself."""
    c = tables.keys.c
    return connection.execute(select(tables.keys).where(c.workspace == workspace).order_by(c.id)).all()


def revoke_key(connection: Connection, workspace: int, key: int, *, now: int) -> bool:
    """Let a key in no longer. False when the workspace has no such active key."""
    c = tables.keys.c
    active = (c.workspace == workspace) & (c.id == key) & c.revoked_at.is_(None)
    if connection.execute(update(tables.keys).where(active).values(revoked_at=now)).rowcount == 0:
        return False
    changed(connection)
    return True


def add_workspace(connection: Connection, slug: str, *, now: int, **fields: object) -> int:
    """A new workspace with its own signing secret. Returns its id."""
    row = {"slug": slug, "name": slug, "secret": secrets.token_bytes(32), "created_at": now, **fields}
    statement = tables.workspaces.insert().values(row).returning(tables.workspaces.c.id)
    made = connection.execute(statement).scalar_one()
    changed(connection)
    return int(made)


def changed(connection: Connection) -> None:
    """Say, inside the transaction, that the configuration changed: caches everywhere reload."""
    c = tables.config.c
    if connection.execute(update(tables.config).values(version=c.version + 1)).rowcount == 0:
        connection.execute(tables.config.insert().values(id=1, version=1))
    connection.info["config_changed"] = True


def config_version(connection: Connection) -> int:
    """0 until something was configured; grows with every change."""
    return int(connection.scalar(select(tables.config.c.version)) or 0)


def settings_of(text: str) -> WorkspaceSettings:
    return msgspec.json.decode(text, type=WorkspaceSettings)


@lru_cache(maxsize=10_000)
def ascii_host(name: str) -> str:
    """A host name (or `*.name`) as browsers send it: lower case, Punycode; "" if it is none."""
    try:
        return name.lower().encode("idna").decode().lower()
    except ValueError:
        return ""


def take(connection: Connection) -> Snapshot:
    """The snapshot of what the database holds now."""
    t = tables
    goals: dict[int, dict[str, str]] = {}
    for ws, slug, kind in connection.execute(
        select(t.goals.c.workspace, t.goals.c.slug, t.goals.c.kind).where(
            t.goals.c.known == 1, t.goals.c.archived_at.is_(None)
        )
    ):
        goals.setdefault(ws, {})[slug_key(slug)] = kind
    partners: dict[int, dict[str, int]] = {}
    for ws, slug, id_ in connection.execute(
        select(t.partners.c.workspace, t.partners.c.slug, t.partners.c.id).where(t.partners.c.known == 1)
    ):
        partners.setdefault(ws, {})[slug_key(slug)] = id_
    ads: dict[int, dict[str, Ad]] = {}
    a = t.ads.c
    for campaign_id, slug, id_, landing in connection.execute(
        select(a.campaign_id, a.slug, a.id, a.landing_url).where(a.known == 1, a.archived_at.is_(None))
    ):
        ads.setdefault(campaign_id, {})[slug_key(slug)] = Ad(id_, landing)
    campaigns: dict[int, dict[str, Campaign]] = {}
    for row in connection.execute(
        select(t.campaigns).where(t.campaigns.c.known == 1, t.campaigns.c.archived_at.is_(None))
    ):
        campaigns.setdefault(row.workspace, {})[slug_key(row.slug)] = Campaign(
            id=row.id,
            slug=row.slug,
            status=row.status,
            landing_url=row.landing_url,
            fallback_url=row.fallback_url,
            allowed_hosts=msgspec.json.decode(row.allowed_hosts),
            pass_parameters=bool(row.pass_parameters),
            starts_on=row.starts_on,
            ends_on=row.ends_on,
            ads=ads.get(row.id, {}),
        )
    found: dict[int, Workspace] = {}
    for row in connection.execute(select(t.workspaces).where(t.workspaces.c.archived_at.is_(None))):
        found[row.id] = Workspace(
            id=row.id,
            slug=row.slug,
            timezone=row.timezone,
            reporting_currency=row.reporting_currency,
            secret=row.secret,
            settings=settings_of(row.settings),
            goals=goals.get(row.id, {}),
            campaigns=campaigns.get(row.id, {}),
            partners=partners.get(row.id, {}),
        )
    keys = {
        row.digest: (row.id, row.workspace, row.scope)
        for row in connection.execute(select(t.keys).where(t.keys.c.revoked_at.is_(None)))
        if row.workspace in found
    }
    return Snapshot(
        version=config_version(connection),
        first=min(found, default=0),
        keys=keys,
        hosts={ascii_host(host): ws.id for ws in found.values() for host in ws.settings.hosts},
        workspaces=found,
    )


class Snapshots:
    """This process's view of the snapshot file: `current` is always a whole, consistent snapshot.

    `refresh` takes a new one from the database and writes it (atomically, mode 0600); `poll` notices
    what another process wrote. Both are cheap when nothing changed. Neither is called by a door.
    """

    def __init__(self, path: Path, *, clock: Callable[[], int]) -> None:
        self.path = path
        self.clock = clock
        self.current = Snapshot(version=-1, first=0, keys={}, hosts={}, workspaces={})
        self._stamp = (0, 0)
        self._confirmed_at = 0
        self._lock = threading.Lock()

    @property
    def stale(self) -> bool:
        """True when nobody could confirm the snapshot against the database lately."""
        return self.clock() - self._confirmed_at > STALE_AFTER

    def refresh(self, engine: Engine) -> Snapshot:
        """Take, write and adopt the snapshot of the database; on no change only confirm the file."""
        with db.reading(engine) as connection:
            known = config_version(connection)
            fresh = self.current if known == self.current.version else take(connection)
        with self._lock:
            if fresh is not self.current or not self.path.exists():
                self._write(fresh)
                self.current = fresh
            else:
                os.utime(self.path)
            self._stamp = self._stat()
            self._confirmed_at = self.clock()
        return fresh

    def poll(self) -> None:
        """Adopt the file when it is newer than what this process holds; its mtime is the confirmation."""
        stamp = self._stat()
        if stamp == self._stamp:
            return
        with self._lock:
            if stamp[0]:
                data = msgspec.msgpack.decode(self.path.read_bytes(), type=Snapshot)
                if data.version >= self.current.version:
                    self.current = data
                self._confirmed_at = max(self._confirmed_at, stamp[0] // 1000)
            self._stamp = stamp

    def _stat(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_ino)

    def _write(self, snapshot: Snapshot) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".snapshot-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.msgpack.encode(snapshot))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            os.unlink(name)
            raise


@lru_cache(maxsize=200_000)
def _day_of_quarter(zone: str, quarter: int) -> int:
    from datetime import datetime

    moment = datetime.fromtimestamp(quarter * 900, ZoneInfo(zone))
    return moment.toordinal() - _EPOCH


_EPOCH = date(1970, 1, 1).toordinal()


def local_day(zone: str, at: int) -> int:
    """The local date of an instant, as days since 1970. Zones change only on quarter hours, so it caches."""
    return _day_of_quarter(zone, at // QUARTER)


def to_date(day: int) -> date:
    return date.fromordinal(day + _EPOCH)


def from_date(value: date) -> int:
    return value.toordinal() - _EPOCH
