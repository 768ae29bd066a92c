"""Whatever stands in an address: a GIF, or a redirect that the campaign allows, and never an exception."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from app.collect import destinations
from tests.conftest import impossible
from tests.hostile.fuzz import BEGINNINGS, Doorstep

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
RUNS = 10_000_000 if LONG else 20_000

WORDS = r"""
% %00 %ff %ed%a0%80 %0d%0aX:1 & = + \ @ # { {sub1} :// k= e= c=a sub1= v=1e309 url=//evil.example 😀
https://evil.example@offers.example
""".split()
QUERIES = some.binary(max_size=200) | some.lists(some.sampled_from(WORDS), max_size=12).map(
    lambda found: "".join(found).encode()
)

step = Doorstep()


@pytest.mark.parametrize("beginning", range(len(BEGINNINGS)))
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(query=QUERIES)
@example(query=b"offers.example@evil.example/")
@example(query=b"offers.example\\@evil.example/")
@example(query=b"\xed\xa0\x80&k=\x00")
@example(query=b"gpp=%ff&gdpr_consent=%ed%a0%80")
def test_any_query_is_answered(beginning: int, query: bytes) -> None:
    step.check(bytes([beginning]) + query)


def test_a_redirect_that_follows_any_url_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "chosen", lambda campaign, ad, secret, said, paused: said.get("url"))
    with pytest.raises(AssertionError):
        step.check(bytes([7]) + b"evil.example/")


@pytest.mark.faults
def test_queries_found_by_coverage_are_answered(tmp_path: Path, report: Callable[[str], None]) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.hostile.fuzz",
        f"-runs={RUNS}",
        "-max_len=400",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named" in done.stderr:
        impossible(done.stderr)
    assert done.returncode == 0, done.stderr[-4000:]
    (runs,) = re.findall(r"Done (\d+) runs", done.stderr)
    report(f"any query: {runs} executions, 0 exceptions")
