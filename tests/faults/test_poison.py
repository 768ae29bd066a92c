"""A record that cannot be stored, at every position of a batch of 500: it costs only itself."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import func, select

from app import db, tables
from app.model import Event, number
from app.pipeline import run
from app.pipeline.run import Pipeline
from tests.faults import planted
from tests.house import FILE, NOON, House, event

pytestmark = pytest.mark.faults

SIZE = 500


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house that does not wait for its disk: nothing is cut off here."""
    built = House.build(tmp_path)
    sqlalchemy_event.listen(built.engine, "connect", _careless)
    built.engine.dispose()
    yield built
    built.engine.dispose()


def _careless(connection: object, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()  # type: ignore[attr-defined]


def poison(id_: str) -> Event:
    """More than a column holds: no door lets it through, and the database refuses it."""
    return event("sale", id=id_, order_id=id_, value=2**63 + 5, currency="EUR")
