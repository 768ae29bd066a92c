"""S2 from outside: sqlmap, level 3, on parameters of reports and lists. Minutes a route: only at length."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Clicktrail

SECONDS = int(os.environ.get("CLICKTRAIL_SQLMAP_SECONDS", "600"))  # for one route

ROUTES = {
    "metrics": "/v1/metrics?metrics=clicks&dimensions=campaign&from=2026-11-01&to=2026-11-20&model=last_touch"
    "&by=touch&status=booked&timezone=UTC&currency=EUR&order_by=clicks&limit=10&offset=0&format=records",
    "conversions": "/v1/conversions?kind=sale&state=approved&limit=10&cursor=WzEsMV0",
    "rejected": "/v1/rejected?kind=refused&code=x&limit=10",
    "spend": "/v1/spend?limit=10&campaign=spring&source=x",
    "order": "/v1/conversions/o1*/why?model=linear",
}


@pytest.mark.skipif(os.environ.get("CLICKTRAIL_FAULTS") != "long", reason="minutes a route; make soak")
@pytest.mark.faults
@pytest.mark.parametrize("name", ROUTES)
def test_sqlmap_finds_nothing(
    clicktrail: Clicktrail, name: str, tmp_path: Path, report: Callable[[str], None]
) -> None:
    program = [str(Path(sys.executable).parent / "sqlmap"), "--batch", "--level=3", "--risk=2"]
    target = ["-u", clicktrail.url + ROUTES[name], "-H", f"Authorization: Bearer {clicktrail.keys['admin']}"]
    where = ["--output-dir", str(tmp_path), "--threads=4", "--ignore-code=400,404", "--disable-coloring"]
    only = [] if "*" in ROUTES[name] else ["-p", ",".join(_names(ROUTES[name]))]
    said = ""
    try:
        command = [*program, *target, *where, *only]
        said = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False).stdout
        ended = "to the end"
    except subprocess.TimeoutExpired as stopped:
        said = (stopped.stdout or b"").decode()
        ended = f"until stopped after {SECONDS} s"
    assert said.count("testing '") > 20, said[-2000:]
    assert "is vulnerable" not in said and "Type: " not in said, said[-2000:]
    with clicktrail.client() as client:
        assert client.get("/readyz").status_code == 200
    report(f"S2 sqlmap level 3 on {name}: nothing found ({said.count('testing ')} tests, {ended})")


def _names(target: str) -> list[str]:
    return [pair.partition("=")[0] for pair in target.partition("?")[2].split("&")]
