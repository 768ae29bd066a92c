"""P7: once its day is over, who a visitor without cookies was can be worked out from no file whatever."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from sqlalchemy import select

from app import db, tables
from app.collect import visitor
from app.consent import DAILY
from app.salt import PREFIX
from tests import engines
from tests.conftest import Clicktrail, wait_until
from tests.security.test_secrets import written
from tests.time.conftest import Clock

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0"


def salts(data: Path) -> list[Path]:
    return sorted(data.glob(PREFIX + "*"))


def visitors(service: Clicktrail) -> set[str]:
    """The identifiers of the day that are stored."""
    engine = db.connect(engines.url(service.data), pool=1)
    with db.reading(engine) as connection:
        found = set(connection.scalars(select(tables.events.c.visitor_id)))
    engine.dispose()
    return {one for one in found if one.startswith(DAILY)}


def recomputed(service: Clicktrail, salt: bytes) -> str:
    """The identifier of the visitor of this test, by whoever knows the address, the browser and a salt."""
    headers = {b"host": urlsplit(service.url).netloc.encode(), b"user-agent": BROWSER.encode()}
    return visitor.daily(headers, workspace=1, address="127.0.0.1", salt=salt, local=True).id


def backed_up(service: Clicktrail, folder: Path) -> Path:
    command = [sys.executable, "-m", "app.cli", "backup", str(folder), "--data", str(service.data)]
    environment = os.environ | engines.environment(service.data)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder


def spellings(salt: bytes) -> tuple[bytes, ...]:
    return (salt, salt.hex().encode(), base64.b64encode(salt), repr(salt).encode())


def everything(service: Clicktrail, *folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the service and of its backups, its log, and every row of every table."""
    yield from written(service.data)
    for folder in folders:
        yield from ((str(file), file.read_bytes()) for file in folder.rglob("*") if file.is_file())


def test_who_visited_yesterday_can_be_worked_out_from_no_file(
    start_clicktrail: Callable[..., Clicktrail],
    clock: Clock,
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    service = start_clicktrail(**clock.environment(), CLICKTRAIL_WEB_PROCESSES="2")
    pixel = {"k": service.keys["public"], "e": "visit"}
    with service.client("admin") as client:
        assert client.patch("/v1/workspace", json={"visitors": "daily"}).status_code == 200

    def visited() -> bool:
        """Both processes are to be asked, so each time by a connection of its own."""
        httpx.get(f"{service.url}/p.gif", params=pixel, headers={"User-Agent": BROWSER}, timeout=30)
        return bool(salts(service.data) and visitors(service))

    wait_until(visited)
    (file,) = salts(service.data)
    salt = file.read_bytes()
    assert visitors(service) == {recomputed(service, salt)}, "as long as the day lasts, it can be"
    first = backed_up(service, tmp_path / "before")
    assert [name for name, said in everything(service, first) if salt in said] == [file.name]

    clock.set("+86400")
    wait_until(lambda: not file.exists())  # nobody asked for anything
    wait_until(lambda: visited() and len(visitors(service)) == 2)
    assert salts(service.data) != [file]
    second = backed_up(service, tmp_path / "after")
    running = [*everything(service, first, second)]
    service.stop()
    stopped = [*everything(service, first, second)]
    found = [name for name, said in (*running, *stopped) if any(one in said for one in spellings(salt))]
    assert found == []
    report(f"P7: the salt of yesterday searched in {len(running) + len(stopped)} files and tables: 0 found")
