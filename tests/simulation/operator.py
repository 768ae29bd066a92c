"""The operator of a simulation, who changes what has effect on what was: settings, rates, campaigns."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from app import db, workspaces
from app.admin import workspace as rows
from app.campaigns import changes, store
from app.campaigns.changes import Desk
from app.model import DAY
from app.spend import store as spend
from app.spend.schemas import RateRow
from tests.simulation.loop import START, World
from tests.simulation.store import Store

SECRET = b"s" * 32

#: One of each is chosen. None decides only what comes: those could not be told from the order of arrival.
SETTINGS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("timezone", ("Asia/Kathmandu", "America/St_Johns", "UTC", "Europe/Oslo")),
    ("windows", ({"click": 30}, {"click": 3, "impression": 20}, {"visit": 0})),
    ("billing_model", ("last_click", "first_click", "last_touch", "first_touch")),
    ("billing_window", (1, 30)),
    ("tier_rule", ("click_over_view", "all_kinds")),
    ("direct", ("last_resort", "count", "exclude")),
    ("collapse", (True, False)),
    ("reset_after_conversion", (True, False)),
    ("first_conversion_only", (True, False)),
    ("half_life_hours", (24, 168)),
    ("position_shares", ([40, 20, 40], [0, 100, 0])),
    ("browser_sales", ("approved", "pending")),
    ("join_limit", (1, 2, 20)),
)


def found(store_: Store, chance: Any) -> dict[str, str]:
    """The workspace, its campaigns, and its keys by scope."""
    keys = {scope: f"ct_{scope[:3]}_{chance.randbytes(12).hex()}" for scope in ("public", "server")}
    with db.begin(store_.engine) as connection:
        workspaces.add_workspace(
            connection, "main", now=START, secret=SECRET, timezone="Asia/Tehran", reporting_currency="EUR"
        )
        for scope, key in keys.items():
            workspaces.add_key(connection, 1, scope, name=scope, now=START, key=key)  # type: ignore[arg-type]
        desk = changes.changing_desk(connection, workspace=1, key=0, now=START)
        for slug in ("spring", "autumn"):
            values = store.CAMPAIGNS.shown.model_fields  # every field has its default on the wire
            assert "slug" in values
            _campaign(desk, slug)
    return keys


def _campaign(desk: Desk, slug: str) -> None:
    from app.campaigns.routes import all_of_it, told
    from app.campaigns.schemas import NewCampaign

    body = NewCampaign(slug=slug, name=slug.title(), landing_url="https://shop.example/")
    store.create(desk, store.CAMPAIGNS, told(body, all_of_it(body)))


class Operator:
    def __init__(self, world: World, store_: Store) -> None:
        self.world, self.store = world, store_

    async def work(self, seconds: float, edits: int) -> None:
        for _ in range(edits):
            await self.world.sleep(0, 2 * seconds / edits)
            edit = self._edit()
            while not self._done(edit):
                await self.world.sleep(0.05, 0.3)

    def _done(self, edit: Callable[[Desk], object]) -> bool:
        """Try; once more when the database was in trouble, since nobody knows what became of it."""
        engine: Engine = self.store.engine
        try:
            with self.store.turn(abort=0.1), db.begin(engine) as connection:
                edit(changes.changing_desk(connection, workspace=1, key=0, now=self.world.now))
        except OperationalError:
            return False
        return True

    def _edit(self) -> Callable[[Desk], object]:
        chance = self.world.chance
        drawn = chance.random()
        if drawn < 0.25:
            day = START // DAY - chance.randrange(1, 26)
            row = RateRow(
                date=workspaces.to_date(day).isoformat(), currency="USD", rate=f"0.{chance.randrange(70, 99)}"
            )
            self.world.note("operator", f"rate {row.rate} of day {day}")
            return lambda desk: spend.load_rates(desk, [row])
        if drawn < 0.45:
            slug, change = chance.choice(("spring", "autumn")), self._campaign_change()
            self.world.note("operator", f"{slug}: {change}")
            return lambda desk: store.change(desk, store.CAMPAIGNS, slug, dict(change))
        name, values = chance.choice(SETTINGS)
        value = chance.choice(values)
        self.world.note("operator", f"{name} = {value}")
        return lambda desk: rows.change(desk, {name: value})

    def _campaign_change(self) -> dict[str, Any]:
        chance = self.world.chance
        return chance.choice(
            (
                {"status": "paused"},
                {"status": "active"},
                {"name": f"Named {self.world.steps}"},
                {"windows": chance.choice(({"click": 1}, {}, {"click": 30, "impression": 5}))},
            )
        )
